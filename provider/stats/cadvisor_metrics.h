// /metrics/cadvisor: cadvisor's names and labels as a kubelet 1.37 exports them. Pure.
//
// A row is a cgroup: the machine "/", the agent's root, each pod (container=""), each container. A pod's network is
// told in its own row, since there is no pause container. Source: cadvisor's
// lib/metrics/{prometheus,prometheus_machine}.go with the metric set of pkg/kubelet/server/server.go; labels:
// containerPrometheusLabelsFunc there.
#pragma once

#include <string>

#include "provider/stats/samples.h"

namespace burstlet::provider {

std::string CadvisorMetricsText(const StatsSample& sample, const MachineInfo& machine);

}  // namespace burstlet::provider
