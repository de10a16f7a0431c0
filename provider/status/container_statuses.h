// ContainerStatus of each container: its newest run as `state`, the one before as `lastState`.
//
// Pure functions. Source: pkg/kubelet/kubelet_pods.go (convertToAPIContainerStatuses), status_manager.go
// (TerminatePod), prober_manager.go (UpdatePodStatus: started and ready). Threads: any.
#pragma once

#include <vector>

#include "kube/api/pod.h"
#include "provider/runtime_view.h"

namespace burstlet::provider {

/// Reason of a container that RestartAllContainers has taken away and that has not started again.
inline constexpr char kRestartingAllContainers[] = "RestartingAllContainers";

struct ContainerStatuses {
  std::vector<kube::ContainerStatus> init;       // in spec order
  std::vector<kube::ContainerStatus> app;        // by name
  std::vector<kube::ContainerStatus> ephemeral;  // by name
};

ContainerStatuses MakeContainerStatuses(const kube::Pod& pod, const PodRuntimeView& view,
                                        const kube::PodStatus& previous);

/// status.resources: of a running pod what its cgroup has been given (as far as that can be told from what is asked),
/// of others what is asked. Source: kubelet_pods.go, convertToAPIPodLevelResourcesStatus.
kube::ResourceRequirements PodResourcesStatus(const kube::Pod& pod, const PodRuntimeView& view,
                                              const std::string& phase);

/// Some run of an init, app or ephemeral container is going on.
bool AnyRunning(const PodRuntimeView& view);

/// The pod has ended: what has no end of its own is said to have failed, unless the pod never came so far.
void EndContainerStatuses(const kube::Pod& pod, ContainerStatuses& statuses);

}  // namespace burstlet::provider
