// /stats/summary: the kubelet's Summary API as JSON. Pure.
//
// Source: k8s.io/kubelet/pkg/apis/stats/v1alpha1/types.go; who fills what: pkg/kubelet/stats/cri_stats_provider.go,
// helper.go and pkg/kubelet/server/stats/summary.go.
#pragma once

#include <string>

#include "provider/stats/samples.h"

namespace burstlet::provider {

/// `only_cpu_and_memory` leaves out what the query of that name leaves out: disks, volumes, network, processes.
std::string SummaryJson(const StatsSample& sample, bool only_cpu_and_memory);

/// Ephemeral storage of a pod: writable layers, logs, emptyDirs and its own files. Absent before a first measurement.
std::optional<DiskUsage> EphemeralStorage(const PodSample& pod);

}  // namespace burstlet::provider
