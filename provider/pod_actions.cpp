#include "provider/pod_actions.h"

#include "provider/status/generate.h"

namespace burstlet::provider {
namespace {

const ContainerView* ViewOf(const PodRuntimeView& view, const std::string& name) {
  const auto it = view.containers.find(name);
  return it == view.containers.end() ? nullptr : &it->second;
}

/// The newest run in the sandbox that exists now, or null.
const ContainerInstance* CurrentRun(const ContainerView* view) {
  if (view == nullptr || view->instances.empty() || !view->instances.front().in_current_sandbox) return nullptr;
  return &view->instances.front();
}

bool HasRunBefore(const ContainerView* view) { return view != nullptr && !view->instances.empty(); }

/// Ended so that its next run has other resources: that run comes whatever the restart policy says.
bool EndedForResize(const ContainerView* view) {
  const ContainerInstance* run = CurrentRun(view);
  return run != nullptr && run->phase == ContainerInstance::Phase::kExited && run->restart_for_resize;
}

enum class InitOutcome { kAllDone, kWait, kFailed };

/// Walks the init containers in order; what is to be started goes into `actions`.
InitOutcome WalkInitContainers(const kube::Pod& pod, const PodRuntimeView& view, PodActions& actions) {
  for (const kube::Container& container : pod.spec.initContainers) {
    const ContainerView* state = ViewOf(view, container.name);
    const ContainerInstance* run = CurrentRun(state);
    const bool running = run != nullptr && run->phase == ContainerInstance::Phase::kRunning;
    if (IsSidecar(container)) {
      if (!running) actions.start.push_back({container.name, ContainerKind::kInit, HasRunBefore(state)});
      const bool started = running && (!container.startupProbe || state->startup_passed.value_or(false));
      if (!started) return InitOutcome::kWait;
      continue;
    }
    if (running) return InitOutcome::kWait;
    if (run == nullptr) {
      // Lost with its sandbox: that was a failure like any other.
      const int last_code = HasRunBefore(state) ? state->instances.front().exit_code : 0;
      if (last_code != 0 && !ShouldRestart(pod, container.name, ContainerKind::kInit, last_code)) {
        return InitOutcome::kFailed;
      }
      actions.start.push_back({container.name, ContainerKind::kInit, HasRunBefore(state)});
      return InitOutcome::kWait;
    }
    if (run->exit_code == 0) continue;
    if (!ShouldRestart(pod, container.name, ContainerKind::kInit, run->exit_code)) return InitOutcome::kFailed;
    actions.start.push_back({container.name, ContainerKind::kInit, true});
    return InitOutcome::kWait;
  }
  return InitOutcome::kAllDone;
}

/// Sidecars that died while app containers run come back on their own, whatever the walk's order says.
bool AnyAppStarted(const kube::Pod& pod, const PodRuntimeView& view) {
  for (const kube::Container& container : pod.spec.containers) {
    if (CurrentRun(ViewOf(view, container.name)) != nullptr) return true;
  }
  return false;
}

void RestartDeadSidecars(const kube::Pod& pod, const PodRuntimeView& view, PodActions& actions) {
  for (const kube::Container& container : pod.spec.initContainers) {
    const ContainerView* state = ViewOf(view, container.name);
    if (!IsSidecar(container) || (state != nullptr && IsRunning(*state))) continue;
    actions.start.push_back({container.name, ContainerKind::kInit, HasRunBefore(state)});
  }
}

}  // namespace

bool IsRunning(const ContainerView& view) {
  return !view.instances.empty() && view.instances.front().phase == ContainerInstance::Phase::kRunning;
}

const kube::Container* FindContainer(const kube::Pod& pod, const std::string& name) {
  for (const kube::Container& container : pod.spec.containers) {
    if (container.name == name) return &container;
  }
  for (const kube::Container& container : pod.spec.initContainers) {
    if (container.name == name) return &container;
  }
  return nullptr;
}

PodActions ComputePodActions(const kube::Pod& pod, const PodRuntimeView& view) {
  PodActions actions;
  if (view.terminating || view.terminated || view.failure) return actions;
  // Once an app container has started in this sandbox, the init containers are behind us: a failed app container must
  // not make them run again (they do only in a new sandbox).
  if (AnyAppStarted(pod, view)) {
    RestartDeadSidecars(pod, view, actions);
  } else {
    const InitOutcome init = WalkInitContainers(pod, view, actions);
    if (init == InitOutcome::kFailed) {
      actions.start.clear();
      actions.finished = true;
      return actions;
    }
    if (init == InitOutcome::kWait) return actions;
  }
  bool any_alive = false;
  for (const kube::Container& container : pod.spec.containers) {
    const ContainerView* state = ViewOf(view, container.name);
    const ContainerInstance* run = CurrentRun(state);
    if (run != nullptr && run->phase == ContainerInstance::Phase::kRunning) {
      any_alive = true;
      continue;
    }
    // What ran in a sandbox that is gone is judged by the restart policy as well: a finished Job must not run twice.
    const bool ran = HasRunBefore(state);
    if (ran && !EndedForResize(state) &&
        !ShouldRestart(pod, container.name, ContainerKind::kApp, state->instances.front().exit_code))
      continue;
    any_alive = true;
    actions.start.push_back({container.name, ContainerKind::kApp, ran});
  }
  if (!any_alive) {
    actions.start.clear();
    actions.finished = true;
  }
  return actions;
}

}  // namespace burstlet::provider
