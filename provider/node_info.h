// What the node is and offers: measured once at start, plus what the configuration says.
//
// Plain data, read by node status, admission, translate and the kubelet port. Loop thread, or const after start.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "kube/api/node.h"

namespace burstlet::provider {

struct NodeInfo {
  std::string name;
  std::vector<std::string> addresses;  // InternalIP, primary family first
  std::string hostname;
  std::uint16_t kubelet_port = 10250;
  kube::ResourceList capacity;
  kube::ResourceList allocatable;
  kube::NodeSystemInfo system;
  std::map<std::string, std::string> labels;  // to register with
  std::vector<kube::Taint> taints;            // to register with
  std::vector<std::string> cluster_dns;
  std::string cluster_domain = "cluster.local";
  std::string host_resolv_conf = "/etc/resolv.conf";
  std::int64_t pids_limit = -1;
  /// CPU limits are enforced by quota, in periods of this length (cpuCFSQuota, cpuCFSQuotaPeriod).
  bool cpu_cfs_quota = true;
  std::uint64_t cpu_cfs_quota_period_us = 100000;
  /// memory.high on cgroup version 2, KEP-2570 (memoryThrottlingFactor); absent: none is set.
  std::optional<double> memory_throttling_factor;
  /// memory.min and memory.low follow memory requests (memoryReservationPolicy: TieredReservation).
  bool tiered_memory_reservation = false;
};

}  // namespace burstlet::provider
