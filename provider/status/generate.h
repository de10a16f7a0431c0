// PodStatus from what is asked and what is: the kubelet's rules as a pure function.
//
// Sources: pkg/kubelet/kubelet_pods.go (getPhase, generateAPIPodStatus, convertToAPIContainerStatuses),
// pkg/kubelet/status/generate.go. No I/O, no clock: `now` is given. Threads: any.
#pragma once

#include <string>
#include <vector>

#include "kube/api/pod.h"
#include "provider/runtime_view.h"

namespace burstlet::provider {

struct HostAddresses {
  std::vector<std::string> ips;  // primary family first
};

/// The status to publish. `previous` is the last status of this pod as the API server has it, merged with what was sent
/// since: conditions owned by others, transition times and terminal phases are kept from it.
kube::PodStatus GeneratePodStatus(const kube::Pod& pod, const PodRuntimeView& view, const kube::PodStatus& previous,
                                  const HostAddresses& host, kube::Time now);

/// True when restart policy (the container's own, its rules, or the pod's) asks for another run after `exit_code`.
bool ShouldRestart(const kube::Pod& pod, const std::string& container, ContainerKind kind, int exit_code);

}  // namespace burstlet::provider
