// What to do next for a pod: the kubelet's computePodActions as a pure function.
//
// Init containers run one after another, sidecars (restartable init containers) stay, app containers follow. Nothing
// here knows time: back-off is asked through `delay`. Source: pkg/kubelet/kuberuntime/kuberuntime_manager.go,
// kuberuntime_container.go (computeInitContainerActions).
#pragma once

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

struct PodActions {
  std::vector<StartAction> start;
  /// Nothing runs that matters and nothing will be started again: the pod has ended.
  bool finished = false;
};

PodActions ComputePodActions(const kube::Pod& pod, const PodRuntimeView& view);

bool IsRunning(const ContainerView& view);
/// The app or init container of that name; null when there is none.
const kube::Container* FindContainer(const kube::Pod& pod, const std::string& name);

}  // namespace burstlet::provider
