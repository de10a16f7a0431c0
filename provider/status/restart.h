// Restart policy and the pod's phase: what the container statuses add up to.
//
// Pure functions. Sources: pkg/kubelet/kubelet_pods.go (getPhase), pkg/api/v1/pod/util.go (ContainerShouldRestart),
// KEP-753 (sidecars), KEP-5307 and KEP-5532 (restart rules). Threads: any.
#pragma once

#include <optional>
#include <set>
#include <string>
#include <vector>

#include "kube/api/pod.h"

namespace burstlet::provider {

/// The status of `name` in `statuses`, or null.
const kube::ContainerStatus* FindStatus(const std::vector<kube::ContainerStatus>& statuses, const std::string& name);

bool TerminalPhase(const std::string& phase);

/// True when the container's rules, its own policy or the pod's ask for another run after `exit_code`.
bool ContainerShouldRestart(const kube::Container& container, const kube::PodSpec& spec, int exit_code);

/// The first rule of the container that speaks of the exit code; null: none does.
const kube::ContainerRestartRule* MatchingRestartRule(const kube::Container& container, int exit_code);

/// Any container of the pod has a rule with action RestartAllContainers.
bool HasRestartAllRule(const kube::PodSpec& spec);

struct PhaseInput {
  const kube::PodSpec& spec;
  const std::vector<kube::ContainerStatus>& init_statuses;
  const std::vector<kube::ContainerStatus>& app_statuses;
  bool terminal = false;     // nothing will be started again
  bool initialized = false;  // an app container has been started in this sandbox
  /// Containers that the node has ended, or is ending, to run them anew (runtime_view.h, restart_asked).
  std::set<std::string> restarting = {};
};

/// Pending, Running, Succeeded or Failed.
std::string PodPhase(const PhaseInput& input);

}  // namespace burstlet::provider
