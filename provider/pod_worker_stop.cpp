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
#include "provider/user_namespaces.h"

namespace burstlet::provider {
namespace {

using std::chrono::steady_clock;

/// Nobody gets less: a force delete would otherwise not even deliver SIGTERM.
constexpr std::chrono::seconds kMinimumGrace{1};
/// An end that takes longer shows that the node has seen it begin; a quicker one saves the API server one write.
constexpr std::chrono::milliseconds kTellAfter{250};

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

void PodWorker::Evict(const std::string& message, std::chrono::seconds grace) {
  Event("", "Warning", "Evicted", message);
  Fail("Evicted", message, grace);
}

kube::Task<void> PodWorker::StopContainers() {
  view_.terminating = true;
  SyncProbes();  // only readiness goes on
  if (stop_deadline_ == kube::SteadyTime::max()) stop_deadline_ = steady_clock::now() + GracePeriod();
  stop_status_due_ = steady_clock::now() + kTellAfter;
  std::vector<std::string> ordinary;
  std::vector<std::string> sidecars;  // last first: that is the order in which they end
  for (const auto& [name, view] : view_.containers) {
    const std::optional<kube::Container> container = FindContainer(*pod_, name);
    const bool sidecar = view.kind == ContainerKind::kInit && container && IsSidecar(*container);
    if (!sidecar && IsRunning(view)) ordinary.push_back(name);
  }
  for (auto it = pod_->spec.initContainers.rbegin(); it != pod_->spec.initContainers.rend(); ++it) {
    if (IsSidecar(*it) && IsRunning(View(it->name))) sidecars.push_back(it->name);
  }
  co_await StopGroup(std::move(ordinary), sidecars);
  // Sidecars serve the others: they end last, in reverse order of their start (KEP-753).
  while (!sidecars.empty()) {
    std::vector<std::string> one;
    one.push_back(sidecars.front());
    sidecars.erase(sidecars.begin());
    co_await StopGroup(std::move(one), sidecars);
  }
}

/// Ends `names`. The hooks of those whose turn is later run already: all hooks begin when the pod begins to end.
kube::Task<void> PodWorker::StopGroup(std::vector<std::string> names, std::vector<std::string> waiting) {
  const auto running = [&] {
    return std::any_of(names.begin(), names.end(), [this](const std::string& name) { return IsRunning(View(name)); });
  };
  const auto stopping = [](const std::string& name) { return absl::StrCat("Stopping container ", name); };
  // Sidecars that come to their turn when the grace is used up still get their signal and a moment for it.
  const kube::SteadyTime at_least = steady_clock::now() + kMinimumGrace;
  while (running()) {
    // Also after a wake-up: a second request may have left less time.
    const kube::SteadyTime deadline = std::max(stop_deadline_, at_least);
    for (const std::string& name : names) BeginStop(name, stopping(name), deadline);
    for (const std::string& name : waiting) BeginStop(name, stopping(name), deadline, false);
    const bool woken = co_await wake_.WaitUntil(stop_status_due_);
    if (woken) continue;
    stop_status_due_ = kube::SteadyTime::max();
    Publish();
  }
}

kube::Task<void> PodWorker::TearDown() {
  view_.terminated = true;
  view_.terminating = true;
  view_.sandbox_ready = false;
  pleg_.reset();
  // The status is on its way while the sandbox goes.
  Publish();
  if (context_.resources_freed) context_.resources_freed();
  auto handles = std::exchange(dead_sandboxes_, {});
  if (sandbox_ != nullptr) handles.push_back(std::exchange(sandbox_, nullptr));
  const bool ran = std::any_of(view_.containers.begin(), view_.containers.end(),
                               [](const auto& entry) { return !entry.second.instances.empty(); });
  if (ran || !handles.empty()) {
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
  images_.clear();
  absl::Status unmounted = co_await context_.volumes.Unmount(pod_->metadata.uid);
  while (!unmounted.ok()) {
    Error("Volumes not removed",
          {{"pod", ObjectName(pod_->metadata)}, {"podUID", pod_->metadata.uid}, {"err", unmounted.ToString()}});
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
  auto sweep = [paths, pod = pod_, namespaces = context_.user_namespaces] {
    RemoveTree(paths.PodLogDir(*pod));
    RemoveTree(paths.PodDir(pod->metadata.uid));
    if (namespaces != nullptr) namespaces->Release(pod->metadata.uid);
    return true;
  };
  co_await kube::Offload(context_.loop, context_.pool, std::move(sweep));
}

}  // namespace burstlet::provider
