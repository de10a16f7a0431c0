// /metrics/resource: what metrics-server and autoscalers read. Pure.
//
// Names, labels, order and timestamps as the kubelet's; CPU and memory samples carry the moment they were read, since
// metrics-server makes rates of them. Source: pkg/kubelet/metrics/collectors/resource_metrics.go.
#pragma once

#include <string>

#include "provider/stats/samples.h"

namespace burstlet::provider {

std::string ResourceMetricsText(const StatsSample& sample);

}  // namespace burstlet::provider
