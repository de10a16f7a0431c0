#include "provider/status/container_statuses.h"

#include <algorithm>
#include <string>
#include <utility>

#include "kube/api/quantity.h"
#include "provider/pod_actions.h"
#include "provider/status/restart.h"
#include "provider/translate/resources.h"
#include "provider/translate/translate.h"

namespace burstlet::provider {
namespace {

constexpr char kStatusUnknown[] = "ContainerStatusUnknown";
constexpr int kUnknownExitCode = 137;
constexpr char kRemovedMessage[] = "The container is removed because RestartAllContainers in place";
// Values at or below what a cgroup can express are shown as asked (pkg/kubelet/cm/helpers_linux.go).
constexpr std::int64_t kMinMilliCpuLimit = 10;
constexpr std::int64_t kMinMilliCpuRequest = 2;

struct Builder {
  const kube::Pod& pod;
  const PodRuntimeView& view;
  bool app_started = false;  // some app container has run, so its init containers are over
};

const ContainerView* ViewOf(const PodRuntimeView& view, const std::string& name) {
  const auto it = view.containers.find(name);
  return it == view.containers.end() ? nullptr : &it->second;
}

/// Recursive read-only mounts need mount_setattr(2), which every supported kernel has.
std::vector<kube::VolumeMountStatus> MountStatuses(const kube::Container& container) {
  std::vector<kube::VolumeMountStatus> result;
  for (const kube::VolumeMount& mount : container.volumeMounts) {
    kube::VolumeMountStatus status;
    status.name = mount.name;
    status.mountPath = mount.mountPath;
    status.readOnly = mount.readOnly;
    if (mount.readOnly) {
      const std::string mode = mount.recursiveReadOnly.value_or("Disabled");
      status.recursiveReadOnly = mode == "Disabled" || mode.empty() ? "Disabled" : "Enabled";
    }
    result.push_back(std::move(status));
  }
  return result;
}

kube::ContainerState StateOf(const ContainerInstance& instance) {
  kube::ContainerState state;
  if (instance.removed_for_restart) {
    state.terminated.emplace();
    state.terminated->exitCode = kUnknownExitCode;
    state.terminated->reason = kRestartingAllContainers;
    state.terminated->message = kRemovedMessage;
    return state;
  }
  if (instance.phase == ContainerInstance::Phase::kRunning) {
    state.running = kube::ContainerStateRunning{kube::Time{instance.started_at}};
    return state;
  }
  kube::ContainerStateTerminated ended;
  ended.exitCode = instance.exit_code;
  ended.reason = instance.reason;
  if (ended.reason.empty()) {
    ended.reason = instance.oom_killed ? "OOMKilled" : instance.exit_code == 0 ? "Completed" : "Error";
  }
  ended.message = instance.message;
  ended.startedAt = kube::Time{instance.started_at};
  ended.finishedAt = kube::Time{instance.finished_at};
  if (!instance.id.empty()) ended.containerID = "burstlet://" + instance.id;
  state.terminated = std::move(ended);
  return state;
}

kube::ContainerStateTerminated LostRun(const char* message) {
  kube::ContainerStateTerminated ended;
  ended.exitCode = kUnknownExitCode;
  ended.reason = kStatusUnknown;
  ended.message = message;
  return ended;
}

/// Shows what is applied, but not for values that a cgroup can't tell apart from what is asked.
void ShowApplied(const kube::Quantity& applied, const std::string& name, std::int64_t floor_milli,
                 kube::ResourceList& shown) {
  const auto asked = shown.find(name);
  const std::int64_t asked_milli = asked == shown.end() ? 0 : kube::QuantityMilliValue(asked->second);
  if (kube::QuantityMilliValue(applied) <= floor_milli && asked_milli <= floor_milli) return;
  if (asked != shown.end() && kube::CompareQuantity(asked->second, applied) == 0) return;
  shown[name] = applied;
}

void ShowApplied(const kube::ResourceList& applied, const std::string& name, std::int64_t floor_milli,
                 kube::ResourceList& shown) {
  const auto it = applied.find(name);
  if (it != applied.end()) ShowApplied(it->second, name, floor_milli, shown);
}

kube::ResourceRequirements ShownResources(const kube::Container& container, const ContainerInstance& instance) {
  kube::ResourceRequirements shown = container.resources;
  if (instance.phase != ContainerInstance::Phase::kRunning) return shown;
  const kube::ResourceRequirements& applied = instance.resources;
  if (!shown.limits.empty()) {
    ShowApplied(applied.limits, "cpu", kMinMilliCpuLimit, shown.limits);
    ShowApplied(applied.limits, "memory", 0, shown.limits);
  }
  if (!shown.requests.empty()) {
    // Without a request of its own a container has the shares of its limit.
    const bool own = applied.requests.contains("cpu");
    ShowApplied(own ? applied.requests : applied.limits, "cpu", kMinMilliCpuRequest, shown.requests);
    ShowApplied(applied.requests, "memory", 0, shown.requests);
  }
  return shown;
}

/// What is known without a run of the container: the default, or what was published before.
kube::ContainerStatus WithoutRun(const Builder& builder, const kube::Container& container,
                                 const kube::ContainerStatus* previous, const std::string& default_reason) {
  kube::ContainerStatus status;
  status.name = container.name;
  status.image = container.image;
  status.volumeMounts = MountStatuses(container);
  status.state.waiting = kube::ContainerStateWaiting{default_reason, ""};
  if (previous == nullptr) return status;
  if (previous->state.terminated) return *previous;
  status.restartCount = previous->restartCount;
  status.lastState = previous->lastState;
  if (previous->state.running && !status.lastState.terminated) {
    // It ran and has left no trace. Shown as stopped, so that the pod does not fall back to Pending.
    status.lastState.terminated =
        LostRun("The container could not be located when the pod was deleted.  The container used to be Running");
    if (!builder.pod.metadata.deletionTimestamp) ++status.restartCount;
  }
  return status;
}

/// Between its removal by RestartAllContainers and its next run (convertToAPIContainerStatuses, podRestarting).
kube::ContainerStatus Removed(const kube::Container& container, const ContainerView& view,
                              const kube::ContainerStatus* previous) {
  kube::ContainerStatus status;
  status.name = container.name;
  status.image = container.image;
  status.volumeMounts = MountStatuses(container);
  status.state.waiting = kube::ContainerStateWaiting{kRestartingAllContainers, kRemovedMessage};
  status.lastState = StateOf(view.instances.front());
  status.restartCount = static_cast<std::int32_t>(view.restart_count) + 1;
  if (previous != nullptr) status.restartCount = std::max(status.restartCount, previous->restartCount);
  return status;
}

kube::ContainerStatus FromRuns(const kube::Container& container, const ContainerView& view,
                               const kube::ContainerStatus* previous) {
  const ContainerInstance& newest = view.instances.front();
  kube::ContainerStatus status;
  status.name = container.name;
  status.restartCount = static_cast<std::int32_t>(view.restart_count);
  status.image = !newest.image.empty() ? newest.image : !view.image.empty() ? view.image : container.image;
  status.imageID = !newest.image_id.empty() ? newest.image_id : view.image_id;
  if (!newest.id.empty()) status.containerID = "burstlet://" + newest.id;
  status.volumeMounts = MountStatuses(container);
  status.state = StateOf(newest);
  status.resources = ShownResources(container, newest);
  status.allocatedResources = container.resources.requests;
  if (newest.user) status.user = kube::ContainerUser{newest.user};
  if (view.instances.size() > 1) {
    status.lastState = StateOf(view.instances[1]);
  } else if (previous != nullptr) {
    const bool other_run = previous->containerID != status.containerID;
    if (other_run && previous->state.terminated) {
      status.lastState.terminated = previous->state.terminated;
    } else {
      status.lastState.terminated = previous->lastState.terminated;
    }
  }
  if (previous != nullptr) status.restartCount = std::max(status.restartCount, previous->restartCount);
  return status;
}

/// The reason why it does not run (image, config, back-off) replaces the state, unless it is not to run again.
void ApplyWaiting(const Builder& builder, const kube::Container& container, ContainerKind kind,
                  const ContainerView& view, kube::ContainerStatus& status) {
  if (!view.waiting || builder.view.terminating || builder.pod.metadata.deletionTimestamp) return;
  if (!view.instances.empty()) {
    const ContainerInstance& newest = view.instances.front();
    if (newest.phase == ContainerInstance::Phase::kRunning) return;
    const bool again_in_new_sandbox = !newest.in_current_sandbox;
    if (kind == ContainerKind::kInit && newest.exit_code == 0 && !IsSidecar(container) && !again_in_new_sandbox) return;
    if (kind == ContainerKind::kEphemeral) return;
    if (!again_in_new_sandbox && !newest.restart_asked() &&
        !ContainerShouldRestart(container, builder.pod.spec, newest.exit_code)) {
      return;
    }
  }
  if (status.state.terminated) status.lastState = status.state;
  status.state = kube::ContainerState{};
  status.state.waiting = kube::ContainerStateWaiting{view.waiting->reason, view.waiting->message};
}

void SetReadiness(const kube::Container& container, ContainerKind kind, const ContainerView* view,
                  kube::ContainerStatus& status) {
  if (kind == ContainerKind::kEphemeral) return;
  const bool running = status.state.running.has_value();
  const bool started =
      running && (!container.startupProbe || (view != nullptr && view->startup_passed.value_or(false)));
  status.started = started;
  if (kind == ContainerKind::kInit && !IsSidecar(container)) {
    status.ready = status.state.terminated && status.state.terminated->exitCode == 0;
    return;
  }
  status.ready = started && (!container.readinessProbe || (view != nullptr && view->readiness_passed.value_or(false)));
}

/// Ended by the node to run anew: that is no end to be shown, since an API server lets nobody leave the end of what
/// must not run twice.
bool ComesBack(const Builder& builder, const ContainerInstance& newest) {
  return newest.restart_asked() && newest.phase == ContainerInstance::Phase::kExited && !builder.view.terminating &&
         !builder.view.terminated && !builder.pod.metadata.deletionTimestamp;
}

kube::ContainerStatus MakeStatus(const Builder& builder, const kube::Container& container, ContainerKind kind,
                                 const std::vector<kube::ContainerStatus>& previous_list) {
  const ContainerView* view = ViewOf(builder.view, container.name);
  const kube::ContainerStatus* previous = FindStatus(previous_list, container.name);
  const bool has_run = view != nullptr && !view->instances.empty();
  const char* reason = builder.pod.spec.initContainers.empty() ? "ContainerCreating" : "PodInitializing";
  kube::ContainerStatus status;
  if (has_run && view->instances.front().removed_for_restart) {
    status = Removed(container, *view, previous);
  } else if (has_run) {
    status = FromRuns(container, *view, previous);
    if (ComesBack(builder, view->instances.front())) {
      status.lastState = std::exchange(status.state, {});
      status.state.waiting = kube::ContainerStateWaiting{reason, ""};
    }
  } else {
    status = WithoutRun(builder, container, previous, reason);
    if (kind == ContainerKind::kInit && !IsSidecar(container) && builder.app_started && status.state.waiting) {
      status.state = kube::ContainerState{};
      kube::ContainerStateTerminated ended;
      ended.reason = "Completed";
      ended.message =
          "Unable to get init container status from container runtime and pod has been initialized, treat it as exited "
          "normally";
      status.state.terminated = std::move(ended);
    }
  }
  if (view != nullptr) ApplyWaiting(builder, container, kind, *view, status);
  SetReadiness(container, kind, view, status);
  return status;
}

void SortByName(std::vector<kube::ContainerStatus>& statuses) {
  std::sort(statuses.begin(), statuses.end(),
            [](const kube::ContainerStatus& a, const kube::ContainerStatus& b) { return a.name < b.name; });
}

/// Evidence that the init containers are over (status_manager.go, hasPodInitialized).
bool HasInitialized(const kube::Pod& pod, const ContainerStatuses& statuses) {
  if (pod.spec.initContainers.empty()) return true;
  for (const kube::ContainerStatus& status : statuses.app) {
    if (status.lastState.terminated || !status.state.waiting) return true;
  }
  if (statuses.init.empty()) return false;
  const kube::ContainerStatus& last = statuses.init.back();
  if (IsSidecar(pod.spec.initContainers.back())) return last.state.running && last.started.value_or(false);
  for (const kube::ContainerState* state : {&last.lastState, &last.state}) {
    if (state->terminated && state->terminated->exitCode == 0) return true;
  }
  return false;
}

void EndStatus(kube::ContainerStatus& status) {
  if (status.state.terminated) return;
  status.state = kube::ContainerState{};
  status.state.terminated = LostRun("The container could not be located when the pod was terminated");
  status.ready = false;
  if (status.started) status.started = false;
}

}  // namespace

kube::ResourceRequirements PodResourcesStatus(const kube::Pod& pod, const PodRuntimeView& view,
                                              const std::string& phase) {
  const AppliedPodResources& applied = view.applied;
  if (phase != "Running" || applied.cpuShares == 0) return {PodLimits(pod), PodRequests(pod), {}};
  kube::ResourceRequirements shown = pod.spec.resources.value_or(kube::ResourceRequirements{});
  // The inverse of MilliCpuToShares, rounded up.
  const std::int64_t milli_request = (applied.cpuShares * 1000 + 1023) / 1024;
  ShowApplied(kube::QuantityFromMilli(milli_request), "cpu", kMinMilliCpuRequest, shown.requests);
  const kube::ResourceList requests = PodRequests(pod);
  const auto memory = requests.find("memory");
  if (memory != requests.end()) shown.requests.emplace("memory", memory->second);
  if (applied.cpuQuota > 0 && applied.cpuPeriod > 0) {
    const std::int64_t milli_limit = applied.cpuQuota * 1000 / applied.cpuPeriod;
    ShowApplied(kube::QuantityFromMilli(milli_limit), "cpu", kMinMilliCpuLimit, shown.limits);
  }
  if (applied.memoryLimit > 0) {
    ShowApplied(kube::QuantityFromBytes(applied.memoryLimit), "memory", 0, shown.limits);
  }
  return shown;
}

ContainerStatuses MakeContainerStatuses(const kube::Pod& pod, const PodRuntimeView& view,
                                        const kube::PodStatus& previous) {
  Builder builder{pod, view};
  for (const kube::Container& container : pod.spec.containers) {
    const ContainerView* own = ViewOf(view, container.name);
    if (own == nullptr) continue;
    for (const ContainerInstance& instance : own->instances) builder.app_started |= instance.in_current_sandbox;
  }
  ContainerStatuses result;
  for (const kube::Container& container : pod.spec.initContainers) {
    result.init.push_back(MakeStatus(builder, container, ContainerKind::kInit, previous.initContainerStatuses));
  }
  for (const kube::Container& container : pod.spec.containers) {
    result.app.push_back(MakeStatus(builder, container, ContainerKind::kApp, previous.containerStatuses));
  }
  for (const kube::EphemeralContainer& container : pod.spec.ephemeralContainers) {
    result.ephemeral.push_back(
        MakeStatus(builder, AsContainer(container), ContainerKind::kEphemeral, previous.ephemeralContainerStatuses));
  }
  SortByName(result.app);
  SortByName(result.ephemeral);
  return result;
}

bool AnyRunning(const PodRuntimeView& view) {
  for (const auto& [name, container] : view.containers) {
    if (!container.instances.empty() && container.instances.front().phase == ContainerInstance::Phase::kRunning) {
      return true;
    }
  }
  return false;
}

void EndContainerStatuses(const kube::Pod& pod, ContainerStatuses& statuses) {
  if (HasInitialized(pod, statuses)) {
    for (kube::ContainerStatus& status : statuses.app) EndStatus(status);
  }
  // All init containers up to the last that has left a trace; at least the first one.
  std::size_t count = statuses.init.size();
  while (count > 1) {
    const kube::ContainerStatus& status = statuses.init[count - 1];
    if (!status.state.waiting || status.lastState.terminated) break;
    --count;
  }
  for (std::size_t i = 0; i < count; ++i) EndStatus(statuses.init[i]);
}

}  // namespace burstlet::provider
