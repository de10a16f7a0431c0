#include "provider/status/restart.h"

#include <algorithm>

#include "provider/pod_actions.h"
#include "provider/status/container_statuses.h"
#include "provider/status/generate.h"

namespace burstlet::provider {
namespace {

bool PolicyAllows(const std::string& policy, int exit_code) {
  if (policy == "Never") return false;
  if (policy == "OnFailure") return exit_code != 0;
  return true;
}

/// The end of the run that counts: of this run, or of the last one when the container waits for its next.
const kube::ContainerStateTerminated* Ended(const kube::ContainerStatus& status) {
  if (status.state.running) return nullptr;
  if (status.state.terminated) return &*status.state.terminated;
  if (status.state.waiting && status.lastState.terminated) return &*status.lastState.terminated;
  return nullptr;
}

bool WillRestart(const PhaseInput& input, const kube::Container& container,
                 const kube::ContainerStateTerminated& ended) {
  return ended.reason == kRestartingAllContainers || input.restarting.contains(container.name) ||
         ContainerShouldRestart(container, input.spec, ended.exitCode);
}

struct Counts {
  int pending_init = 0;
  int failed_init = 0;  // for good
  int pending_sidecars = 0;
  int unknown = 0;
  int running = 0;
  int waiting = 0;
  int stopped = 0;
  int stopped_for_good = 0;
  int succeeded = 0;
};

void CountInit(const PhaseInput& input, const kube::Container& container, Counts& counts) {
  const kube::ContainerStatus* status = FindStatus(input.init_statuses, container.name);
  const kube::ContainerStateTerminated* ended = status == nullptr ? nullptr : Ended(*status);
  if (ended == nullptr) {
    ++counts.pending_init;
  } else if (ended->exitCode != 0 && !WillRestart(input, container, *ended)) {
    ++counts.failed_init;
  }
}

/// Sidecars that have stopped do not count: they neither hold the pod open nor decide how it ended.
void CountSidecar(const PhaseInput& input, const kube::Container& container, Counts& counts) {
  const kube::ContainerStatus* status = FindStatus(input.init_statuses, container.name);
  if (status == nullptr) {
    ++counts.unknown;
  } else if (status->state.running) {
    if (!status->started.value_or(false)) ++counts.pending_sidecars;
    ++counts.running;
  } else if (Ended(*status) != nullptr) {
    return;
  } else {
    ++counts.pending_sidecars;
    ++(status->state.waiting ? counts.waiting : counts.unknown);
  }
}

void CountApp(const PhaseInput& input, const kube::Container& container, Counts& counts) {
  const kube::ContainerStatus* status = FindStatus(input.app_statuses, container.name);
  if (status == nullptr) {
    ++counts.unknown;
  } else if (status->state.running) {
    ++counts.running;
  } else if (const kube::ContainerStateTerminated* ended = Ended(*status)) {
    ++counts.stopped;
    if (!WillRestart(input, container, *ended)) ++counts.stopped_for_good;
    if (status->state.terminated && ended->exitCode == 0) ++counts.succeeded;
  } else {
    ++(status->state.waiting ? counts.waiting : counts.unknown);
  }
}

}  // namespace

const kube::ContainerRestartRule* MatchingRestartRule(const kube::Container& container, int exit_code) {
  for (const kube::ContainerRestartRule& rule : container.restartPolicyRules) {
    if (!rule.exitCodes) continue;
    const auto& values = rule.exitCodes->values;
    const bool listed = std::find(values.begin(), values.end(), exit_code) != values.end();
    if (rule.exitCodes->operator_ == "In" && listed) return &rule;
    if (rule.exitCodes->operator_ == "NotIn" && !listed) return &rule;
  }
  return nullptr;
}

const kube::ContainerStatus* FindStatus(const std::vector<kube::ContainerStatus>& statuses, const std::string& name) {
  for (const kube::ContainerStatus& status : statuses) {
    if (status.name == name) return &status;
  }
  return nullptr;
}

bool TerminalPhase(const std::string& phase) { return phase == "Succeeded" || phase == "Failed"; }

bool ContainerShouldRestart(const kube::Container& container, const kube::PodSpec& spec, int exit_code) {
  if (!container.restartPolicy) return PolicyAllows(spec.restartPolicy, exit_code);
  if (MatchingRestartRule(container, exit_code) != nullptr) return true;  // both actions are kinds of restart
  return PolicyAllows(*container.restartPolicy, exit_code);
}

bool HasRestartAllRule(const kube::PodSpec& spec) {
  for (const auto* containers : {&spec.initContainers, &spec.containers}) {
    for (const kube::Container& container : *containers) {
      for (const kube::ContainerRestartRule& rule : container.restartPolicyRules) {
        if (rule.action == "RestartAllContainers") return true;
      }
    }
  }
  return false;
}

std::string PodPhase(const PhaseInput& input) {
  Counts counts;
  for (const kube::Container& container : input.spec.initContainers) {
    if (IsSidecar(container)) {
      CountSidecar(input, container, counts);
    } else {
      CountInit(input, container, counts);
    }
  }
  for (const kube::Container& container : input.spec.containers) CountApp(input, container, counts);

  if (counts.failed_init > 0) return "Failed";
  if (counts.pending_init > 0 || (counts.pending_sidecars > 0 && !input.initialized) || counts.waiting > 0) {
    return "Pending";
  }
  if (counts.unknown > 0) return "Pending";
  if (counts.running > 0) return "Running";
  if (counts.stopped == 0) return "Pending";
  // All have stopped. A terminal pod restarts nothing whatever its policy says.
  if (!input.terminal && counts.stopped != counts.stopped_for_good) return "Running";
  return counts.stopped == counts.succeeded ? "Succeeded" : "Failed";
}

bool ShouldRestart(const kube::Pod& pod, const std::string& container, ContainerKind kind, int exit_code) {
  if (kind == ContainerKind::kEphemeral) return false;
  const auto& containers = kind == ContainerKind::kInit ? pod.spec.initContainers : pod.spec.containers;
  for (const kube::Container& spec : containers) {
    if (spec.name != container) continue;
    // A regular init container that succeeded is done, even under restartPolicy Always.
    if (kind == ContainerKind::kInit && exit_code == 0 && !IsSidecar(spec)) return false;
    return ContainerShouldRestart(spec, pod.spec, exit_code);
  }
  return false;
}

}  // namespace burstlet::provider
