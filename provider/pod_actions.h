// What to do next for a pod: the kubelet's computePodActions as a pure function.
//
// Init containers run one after another, sidecars (restartable init containers) stay, app containers follow; ephemeral
// containers start once, beside whatever is there. Nothing here knows time: back-off is the caller's. Source:
// pkg/kubelet/kuberuntime/kuberuntime_manager.go, kuberuntime_container.go (computeInitContainerActions).
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "kube/api/pod.h"
#include "provider/runtime_view.h"
#include "provider/translate/resources.h"

namespace burstlet::provider {

/// A container to be started now (subject to its back-off).
struct StartAction {
  std::string name;
  ContainerKind kind = ContainerKind::kApp;
  bool is_restart = false;  // it has run before: back-off applies
};

/// A running container that is not what the pod asks for any more: ended with its grace, then started anew.
struct KillAction {
  std::string name;
  std::string message;  // of the event Killing
};

struct PodActions {
  std::vector<StartAction> start;
  std::vector<KillAction> kill;
  /// A rule with action RestartAllContainers has matched: nothing else counts until all containers are gone.
  bool restart_all = false;
  /// Nothing runs that matters and nothing will be started again: the pod has ended.
  bool finished = false;
};

PodActions ComputePodActions(const kube::Pod& pod, const PodRuntimeView& view);

bool IsRunning(const ContainerView& view);
/// The app, init or ephemeral container of that name, ephemeral ones by their common part.
std::optional<kube::Container> FindContainer(const kube::Pod& pod, const std::string& name);

}  // namespace burstlet::provider
