// /metrics: the catalog's series, the gauges that are only known when asked, and claims' volumes.
//
// Loop thread only.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "kube/client.h"
#include "metrics/catalog.h"
#include "provider/pod_workers.h"
#include "provider/stats/disk_scanner.h"

namespace burstlet::provider {

/// `disks` is asked only when a pod has a claim, since asking has disks measured.
std::string AgentMetricsText(Metrics& metrics, PodWorkers& workers,
                             const std::function<std::shared_ptr<const DiskSnapshot>()>& disks);

/// kubelet_volume_stats_*: a claim that several pods use is told once.
std::string VolumeStatsText(const DiskSnapshot& disks);

/// rest_client_*: each answer of the API server to a client made of `config` is counted.
void MeterClient(Metrics& metrics, kube::ClientConfig& config);

/// Counts a request of the kubelet port while the result lives, and how long that was. Any thread.
std::shared_ptr<void> MeterRequest(Metrics& metrics, const std::string& method, const std::string& path,
                                   bool long_running);

}  // namespace burstlet::provider
