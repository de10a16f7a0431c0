#include "provider/pod_actions.h"

#include "absl/strings/str_cat.h"
#include "provider/status/generate.h"
#include "provider/status/restart.h"
#include "provider/translate/translate.h"

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

/// Another run follows the one that has ended.
bool RunsAgain(const kube::Pod& pod, const std::string& name, ContainerKind kind, const ContainerInstance& ended) {
  return ended.restart_asked() || ShouldRestart(pod, name, kind, ended.exit_code);
}

/// Source: pkg/kubelet/container/helpers.go, ShouldAllContainersRestart.
bool RestartsAll(const kube::Pod& pod, const PodRuntimeView& view) {
  for (const auto* list : {&pod.spec.initContainers, &pod.spec.containers}) {
    for (const kube::Container& container : *list) {
      const ContainerInstance* run = CurrentRun(ViewOf(view, container.name));
      if (run == nullptr || run->phase != ContainerInstance::Phase::kExited) continue;
      if (run->restart_asked()) continue;  // the node ended it: its exit code says nothing
      const kube::ContainerRestartRule* rule = MatchingRestartRule(container, run->exit_code);
      if (rule != nullptr && rule->action == "RestartAllContainers") return true;
    }
  }
  return false;
}

void StartEphemeralContainers(const kube::Pod& pod, const PodRuntimeView& view, PodActions& actions) {
  if (!view.sandbox_ready) return;  // they join what is there; nothing is made for them
  for (const kube::EphemeralContainer& container : pod.spec.ephemeralContainers) {
    if (!HasRunBefore(ViewOf(view, container.name))) {
      actions.start.push_back({container.name, ContainerKind::kEphemeral, false});
    }
  }
}

/// The kubelet's hash of a container is that of its name and its image.
bool RunsOldImage(const kube::Container& container, const ContainerView* view) {
  const ContainerInstance* run = CurrentRun(view);
  return run != nullptr && run->phase == ContainerInstance::Phase::kRunning && run->image != container.image;
}

void KillChangedContainers(const kube::Pod& pod, const PodRuntimeView& view, PodActions& actions) {
  for (const kube::Container& container : pod.spec.initContainers) {
    const ContainerView* state = ViewOf(view, container.name);
    if (!IsSidecar(container) || !RunsOldImage(container, state)) continue;
    if (container.startupProbe && !state->startup_passed.value_or(false)) continue;
    actions.kill.push_back({container.name, absl::StrCat("Init container ", container.name, " definition changed")});
  }
  for (const kube::Container& container : pod.spec.containers) {
    if (!RunsOldImage(container, ViewOf(view, container.name))) continue;
    actions.kill.push_back(
        {container.name, absl::StrCat("Container ", container.name, " definition changed, will be restarted")});
  }
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
      const ContainerInstance* lost = HasRunBefore(state) ? &state->instances.front() : nullptr;
      if (lost != nullptr && lost->exit_code != 0 && !RunsAgain(pod, container.name, ContainerKind::kInit, *lost)) {
        return InitOutcome::kFailed;
      }
      actions.start.push_back({container.name, ContainerKind::kInit, HasRunBefore(state)});
      return InitOutcome::kWait;
    }
    if (run->exit_code == 0) continue;
    if (!RunsAgain(pod, container.name, ContainerKind::kInit, *run)) return InitOutcome::kFailed;
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

std::optional<kube::Container> FindContainer(const kube::Pod& pod, const std::string& name) {
  for (const kube::Container& container : pod.spec.containers) {
    if (container.name == name) return container;
  }
  for (const kube::Container& container : pod.spec.initContainers) {
    if (container.name == name) return container;
  }
  for (const kube::EphemeralContainer& container : pod.spec.ephemeralContainers) {
    if (container.name == name) return AsContainer(container);
  }
  return std::nullopt;
}

PodActions ComputePodActions(const kube::Pod& pod, const PodRuntimeView& view) {
  PodActions actions;
  if (view.terminating || view.terminated || view.failure) return actions;
  if (RestartsAll(pod, view)) {
    actions.restart_all = true;
    return actions;
  }
  StartEphemeralContainers(pod, view, actions);
  KillChangedContainers(pod, view, actions);
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
    if (ran && !RunsAgain(pod, container.name, ContainerKind::kApp, state->instances.front())) continue;
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
