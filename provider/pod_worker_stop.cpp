// TerminatingPod and TerminatedPod: stop with grace, publish the end, leave nothing.
#include <algorithm>
#include <chrono>
#include <utility>

#include "absl/strings/str_cat.h"
#include "metrics/log.h"
#include "metrics/status.h"
#include "provider/pod_files.h"
#include "provider/pod_worker.h"
#include "provider/termination_message.h"

namespace burstlet::provider {
namespace {

using std::chrono::steady_clock;

/// How long a killed container may take to be reaped before that is worth a log line.
constexpr std::chrono::seconds kKillPatience{30};
/// When a signal that found no handler is sent again: soon at first, since programs start quickly.
constexpr std::chrono::milliseconds kFirstRetry{10};
constexpr std::chrono::milliseconds kLastRetry{1000};
/// Nobody gets less: a force delete would otherwise not even deliver SIGTERM.
constexpr std::chrono::seconds kMinimumGrace{1};

}  // namespace

std::chrono::seconds PodWorker::GracePeriod() const {
  std::chrono::seconds grace{pod_->spec.terminationGracePeriodSeconds.value_or(30)};
  if (pod_->metadata.deletionGracePeriodSeconds)
    grace = std::chrono::seconds{*pod_->metadata.deletionGracePeriodSeconds};
  if (grace_override_) grace = *grace_override_;
  return std::max(grace, kMinimumGrace);
}

void PodWorker::RequestTermination(std::optional<std::chrono::seconds> grace) {
  if (grace) grace_override_ = grace_override_ ? std::min(*grace_override_, *grace) : *grace;
  // A second request may only shorten what is left.
  stop_deadline_ = std::min(stop_deadline_, steady_clock::now() + GracePeriod());
  terminate_requested_ = true;
  cancel_.Cancel();
  wake_.Set();
}

kube::Task<void> PodWorker::StopContainers() {
  view_.terminating = true;
  SyncProbes();  // only readiness goes on
  if (stop_deadline_ == kube::SteadyTime::max()) stop_deadline_ = steady_clock::now() + GracePeriod();
  std::vector<std::string> ordinary;
  for (const auto& [name, view] : view_.containers) {
    const kube::Container* container = FindContainer(*pod_, name);
    const bool sidecar = view.kind == ContainerKind::kInit && container != nullptr && IsSidecar(*container);
    if (!sidecar && IsRunning(view)) ordinary.push_back(name);
  }
  co_await StopGroup(std::move(ordinary));
  // Sidecars serve the others: they end last, in reverse order of their start (KEP-753).
  for (auto it = pod_->spec.initContainers.rbegin(); it != pod_->spec.initContainers.rend(); ++it) {
    const std::string name = it->name;
    if (!IsSidecar(*it) || !IsRunning(View(name))) continue;
    std::vector<std::string> one;
    one.push_back(name);
    co_await StopGroup(std::move(one));
  }
}

kube::Task<PodWorker::Signals> PodWorker::SendSignals(Signals signals) {
  auto handle = sandbox_;
  if (handle == nullptr) co_return Signals{};
  auto send = [handle, signals = std::move(signals)] {
    Signals deaf;
    for (const auto& [id, number] : signals) {
      const absl::Status status = handle->With([&](sandbox::Sandbox& sandbox) { return sandbox.Signal(id, number); });
      if (absl::IsUnavailable(status)) {
        deaf.emplace_back(id, number);
      } else if (!absl::IsNotFound(status)) {
        LogIfError(status, "Stop signal not delivered");
      }
    }
    return deaf;
  };
  co_return co_await kube::Offload(context_.loop, context_.pool, std::move(send));
}

kube::Task<void> PodWorker::StopGroup(std::vector<std::string> names) {
  if (names.empty()) co_return;
  Signals targets;
  for (const std::string& name : names) {
    const ContainerInstance& instance = View(name).instances.front();
    targets.emplace_back(instance.id, instance.stop_signal);
    Event(name, "Normal", "Killing", absl::StrCat("Stopping container ", name));
  }
  auto deaf = co_await SendSignals(targets);
  kube::SteadyTime again = steady_clock::now() + kFirstRetry;
  std::chrono::milliseconds retry = kFirstRetry;
  bool killed = false;
  while (true) {
    const bool running =
        std::any_of(names.begin(), names.end(), [this](const std::string& name) { return IsRunning(View(name)); });
    if (!running) co_return;
    kube::SteadyTime until = killed ? steady_clock::now() + kKillPatience : stop_deadline_;
    if (!killed && !deaf.empty()) until = std::min(until, again);
    const bool woken = co_await wake_.WaitUntil(until);
    if (woken || sandbox_ == nullptr) continue;
    if (!killed && steady_clock::now() < stop_deadline_) {
      // A program that has just been started may not have come to install its handler: the signal was lost on it.
      deaf = co_await SendSignals(deaf);
      retry = std::min(retry * 2, kLastRetry);
      again = steady_clock::now() + retry;
      continue;
    }
    if (killed)
      Error("Killed container does not end", {{"pod", ObjectName(pod_->metadata)}, {"podUID", pod_->metadata.uid}});
    killed = true;
    auto current = sandbox_;
    auto kill = [current, targets] {
      for (const auto& target : targets) {
        const absl::Status status =
            current->With([&](sandbox::Sandbox& sandbox) { return sandbox.Kill(target.first); });
        if (!absl::IsNotFound(status)) LogIfError(status, "Container not killed");
      }
      return true;
    };
    co_await kube::Offload(context_.loop, context_.pool, std::move(kill));
  }
}

kube::Task<void> PodWorker::TearDown() {
  view_.terminated = true;
  view_.terminating = true;
  view_.sandbox_ready = false;
  pleg_.reset();
  // The status is on its way while the sandbox goes.
  Publish();
  auto handles = std::exchange(dead_sandboxes_, {});
  if (sandbox_ != nullptr) handles.push_back(std::exchange(sandbox_, nullptr));
  if (!handles.empty() || !view_.containers.empty()) {
    PodWorkerContext* context = &context_;
    auto remove = [context, handles, record = MakeRecord()]() -> absl::Status {
      // Written before the sandbox goes: from here on nothing of this pod may be started again. On a full disk the
      // sandbox goes all the same, since it may be what fills it.
      const absl::Status written = WritePodRecord(context->paths, record);
      for (const auto& handle : handles) {
        RETURN_IF_ERROR(handle->With([](sandbox::Sandbox& sandbox) { return sandbox.Remove(); }));
      }
      if (!written.ok()) LogIfError(WritePodRecord(context->paths, record), "Pod record not written");
      return absl::OkStatus();
    };
    absl::Status removed = co_await kube::Offload(context_.loop, context_.pool, remove);
    while (!removed.ok()) {
      Error("Sandbox not removed",
            {{"pod", ObjectName(pod_->metadata)}, {"podUID", pod_->metadata.uid}, {"err", removed.ToString()}});
      failure_backoff_.Next("remove", steady_clock::now());
      co_await kube::SleepUntil(context_.loop, steady_clock::now() + failure_backoff_.Get("remove"));
      removed = co_await kube::Offload(context_.loop, context_.pool, remove);
    }
  }
  absl::Status unmounted = co_await context_.volumes.Unmount(pod_->metadata.uid);
  while (!unmounted.ok()) {
    Error("Volumes not removed", {{"pod", ObjectName(pod_->metadata)}, {"podUID", pod_->metadata.uid}, {"err", unmounted.ToString()}});
    failure_backoff_.Next("unmount", steady_clock::now());
    co_await kube::SleepUntil(context_.loop, steady_clock::now() + failure_backoff_.Get("unmount"));
    unmounted = co_await context_.volumes.Unmount(pod_->metadata.uid);
  }
  // An ended pod may stay in the API for long; it needs no watches for that.
  context_.objects.Release(pod_->metadata.uid);
}

kube::Task<void> PodWorker::AwaitRemoval() {
  bool delete_sent = false;
  while (!removed_) {
    if (pod_->metadata.deletionTimestamp && !delete_sent) {
      delete_sent = true;
      context_.statuses.DeletePod(pod_);
    }
    co_await wake_.Wait();
    // Foreign conditions and generations may change after the end; the status answers for itself.
    if (!removed_) Publish();
  }
  context_.statuses.Forget(pod_->metadata.uid);
  context_.images.Forget(*pod_);
  AgentPaths paths = context_.paths;
  auto sweep = [paths, pod = pod_] {
    RemoveTree(paths.PodLogDir(*pod));
    RemoveTree(paths.PodDir(pod->metadata.uid));
    return true;
  };
  co_await kube::Offload(context_.loop, context_.pool, std::move(sweep));
}

}  // namespace burstlet::provider
