// Containers that the node itself ends to run them anew: a changed image, and the rule RestartAllContainers.
//
// Sources: pkg/kubelet/kuberuntime/kuberuntime_manager.go (computePodActions, SyncPod, getContainersToReset), KEP-5532.
#include <algorithm>
#include <chrono>
#include <utility>

#include "metrics/log.h"
#include "metrics/status.h"
#include "provider/pod_worker.h"

namespace burstlet::provider {
namespace {

using std::chrono::steady_clock;

}  // namespace

/// From here on the run's exit code decides nothing. Written down soon, so that another agent knows it too; until then
/// a crash leaves the decision to the exit code, as on a kubelet.
void PodWorker::AskRestart(const std::string& name) {
  View(name).instances.front().AskRestart();
  record_stale_ = true;
  wake_.Set();
}

void PodWorker::RestartChanged(const KillAction& action) {
  if (!IsRunning(View(action.name)) || stops_.contains(View(action.name).instances.front().id)) return;
  View(action.name).instances.front().AskRestart();
  WriteRecord();  // before the first signal: a run-once container that is ended for its image must come back
  BeginStop(action.name, action.message, steady_clock::now() + GracePeriod());
}

/// All are killed without hooks and within the least of grace, sidecars after the others; then none of them was ever
/// there, but for its log and the count of its restarts, and the pod starts from its first init container.
kube::Task<void> PodWorker::RestartAllContainers() {
  std::vector<std::string> apps;
  std::vector<std::string> inits;
  for (auto& [name, view] : view_.containers) {
    if (view.kind == ContainerKind::kEphemeral || !IsRunning(view)) continue;
    view.instances.front().AskRestart();
    (view.kind == ContainerKind::kInit ? inits : apps).push_back(name);
  }
  view_.restarting_all = true;
  WriteRecord();
  Publish();
  co_await KillForRestart(std::move(apps));
  co_await KillForRestart(std::move(inits));
  view_.restarting_all = false;
  if (terminate_requested_ || sandbox_ == nullptr) co_return;
  std::vector<std::string> ids = MarkRemoved();
  // Before they go: an agent that finds neither container nor record would count the restarts from zero.
  WriteRecord();
  auto handle = sandbox_;
  auto remove = [handle, ids = std::move(ids)] {
    for (const std::string& id : ids) {
      LogIfError(handle->With([&](sandbox::Sandbox& sandbox) { return sandbox.RemoveContainer(id); }),
                 "Container not removed before the restart of all");
    }
    return true;
  };
  co_await kube::Offload(context_.loop, context_.pool, std::move(remove));
  Publish();
  wake_.Set();
}

kube::Task<void> PodWorker::KillForRestart(std::vector<std::string> names) {
  const kube::SteadyTime now = steady_clock::now();
  for (const std::string& name : names) BeginStop(name, "killing", now);
  const auto running = [&] {
    return std::any_of(names.begin(), names.end(), [this](const std::string& name) { return IsRunning(View(name)); });
  };
  while (running() && !terminate_requested_) {
    co_await wake_.Wait();
  }
}

/// The ids of what the sandbox still holds of them.
std::vector<std::string> PodWorker::MarkRemoved() {
  std::vector<std::string> ids;
  for (auto& [name, view] : view_.containers) {
    if (view.kind == ContainerKind::kEphemeral) continue;
    view.waiting.reset();
    view.startup_passed.reset();
    view.readiness_passed.reset();
    for (ContainerInstance& instance : view.instances) {
      if (instance.in_current_sandbox) ids.push_back(instance.id);
      instance.in_current_sandbox = false;
      instance.AskRestart();
      instance.removed_for_restart = true;
    }
  }
  return ids;
}

}  // namespace burstlet::provider
