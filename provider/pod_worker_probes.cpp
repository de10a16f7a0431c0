// What probes mean for the pod, and the stop of one container within its grace.
#include <algorithm>
#include <chrono>
#include <utility>

#include "absl/strings/str_cat.h"
#include "metrics/log.h"
#include "metrics/status.h"
#include "provider/pod_worker.h"

namespace burstlet::provider {
namespace {

using std::chrono::steady_clock;

/// How long a killed container may take to be reaped before that is worth a log line.
constexpr std::chrono::seconds kKillPatience{30};
/// Between the stop signal and SIGKILL there is never less (kuberuntime_container.go, minimumGracePeriodInSeconds).
constexpr std::chrono::seconds kMinimumStopTime{2};

}  // namespace

/// A container on its way down, shared by its coroutine and whoever shortens its time.
struct PodWorker::ContainerStop {
  ContainerStop(kube::Loop& loop, std::string i, kube::SteadyTime d) : id(std::move(i)), deadline(d), changed(loop) {}
  std::string id;
  kube::SteadyTime deadline;
  kube::SignalEvent changed;
};

std::string PodWorker::PodIp() const {
  if (!view_.pod_ips.empty()) return view_.pod_ips.front();
  return context_.node.addresses.empty() ? "" : context_.node.addresses.front();
}

bool PodWorker::Runs(const std::string& name, const std::string& id) const {
  const auto found = view_.containers.find(name);
  return found != view_.containers.end() && IsRunning(found->second) && found->second.instances.front().id == id;
}

void PodWorker::SyncProbes() {
  for (const auto& [id, stop] : stops_) stop->changed.Set();
  if (!PodProber::Wanted(*pod_)) return;
  if (prober_ == nullptr) {
    if (sandbox_ == nullptr) return;
    PodProber::Callbacks callbacks;
    callbacks.changed = [this] {
      Publish();
      wake_.Set();
    };
    callbacks.failed = [this](const ProbeSubject& subject) { ProbeFailed(subject); };
    callbacks.event = [this](const std::string& container, const std::string& reason, const std::string& message) {
      Event(container, "Warning", reason, message);
    };
    prober_ = std::make_unique<PodProber>(ProbeServices{context_.loop, context_.pool, context_.tasks}, view_,
                                          std::move(callbacks));
    if (!first_start_) prober_->Adopt(*pod_);
  }
  prober_->Sync(*pod_, sandbox_, PodIp());
}

/// Source: kuberuntime_manager.go computePodActions, kuberuntime_container.go setTerminationGracePeriod.
void PodWorker::ProbeFailed(const ProbeSubject& subject) {
  const std::string& name = subject.container.name;
  if (view_.terminating || !Runs(name, subject.container_id)) return;
  std::chrono::seconds grace = GracePeriod();
  if (!pod_->metadata.deletionGracePeriodSeconds && subject.probe.terminationGracePeriodSeconds) {
    grace = std::chrono::seconds(*subject.probe.terminationGracePeriodSeconds);
  }
  const char* kind = subject.kind == ProbeKind::kStartup ? "startup" : "liveness";
  std::string message = absl::StrCat("Container ", name, " failed ", kind, " probe");
  const ContainerKind list = View(name).kind;
  if (ShouldRestart(*pod_, name, list, 1)) absl::StrAppend(&message, ", will be restarted");
  BeginStop(name, message, steady_clock::now() + grace);
}

void PodWorker::BeginStop(const std::string& name, const std::string& message, kube::SteadyTime deadline) {
  if (!IsRunning(View(name)) || sandbox_ == nullptr) return;
  const std::string id = View(name).instances.front().id;
  if (const auto under_way = stops_.find(id); under_way != stops_.end()) {
    under_way->second->deadline = std::min(under_way->second->deadline, deadline);
    under_way->second->changed.Set();
    return;
  }
  Event(name, "Normal", "Killing", message);
  auto stop = std::make_shared<ContainerStop>(context_.loop, id, deadline);
  stops_.emplace(id, stop);
  context_.tasks.Spawn(absl::StrCat("stop ", name), StopOne(shared_from_this(), name, stop));
}

kube::Task<void> PodWorker::StopOne(std::shared_ptr<PodWorker> self, std::string name,
                                    std::shared_ptr<ContainerStop> stop) {
  auto handle = self->sandbox_;
  const std::string id = stop->id;
  const int number = View(name).instances.front().stop_signal;
  auto signal = [handle, id, number] {
    const absl::Status status = handle->With([&](sandbox::Sandbox& sandbox) { return sandbox.Signal(id, number); });
    if (!absl::IsNotFound(status)) LogIfError(status, "Stop signal not delivered");
    return true;
  };
  auto kill = [handle, id] {
    const absl::Status status = handle->With([&](sandbox::Sandbox& sandbox) { return sandbox.Kill(id); });
    if (!absl::IsNotFound(status)) LogIfError(status, "Container not killed");
    return true;
  };
  const kube::SteadyTime earliest = steady_clock::now() + kMinimumStopTime;
  co_await kube::Offload(context_.loop, context_.pool, std::move(signal));
  bool killed = false;
  while (Runs(name, id)) {
    const kube::SteadyTime until =
        killed ? steady_clock::now() + kKillPatience : std::max(stop->deadline, earliest);
    const bool woken = co_await stop->changed.WaitUntil(until);
    if (woken) continue;
    if (killed) {
      Error("Killed container does not end",
            {{"pod", ObjectName(pod_->metadata)}, {"podUID", pod_->metadata.uid}, {"containerName", name}});
    }
    killed = true;
    co_await kube::Offload(context_.loop, context_.pool, kill);
  }
  stops_.erase(id);
  wake_.Set();
}

}  // namespace burstlet::provider
