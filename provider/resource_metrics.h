// /metrics/resource: CPU and memory of node, pods and containers, in the kubelet's names, with timestamps.
//
// Source: pkg/kubelet/metrics/collectors/resource_metrics.go. Pure text from plain data; the reading is the caller's.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "sandbox/sandbox.h"

namespace burstlet::provider {

struct PodUsage {
  std::string name_space;
  std::string pod;
  sandbox::SandboxStats stats;
  /// By container name: unix nanos of the start.
  std::vector<std::pair<std::string, std::int64_t>> started_at;
  std::int64_t read_at = 0;  // unix nanos
};

struct NodeUsage {
  double cpu_seconds = 0;
  std::uint64_t memory_working_set_bytes = 0;
  std::uint64_t swap_usage_bytes = 0;
  std::int64_t read_at = 0;
};

/// From /proc/stat and /proc/meminfo.
NodeUsage ReadNodeUsage();

/// `failed`: some pod could not be read (resource_scrape_error).
std::string ResourceMetricsText(const NodeUsage& node, const std::vector<PodUsage>& pods, bool failed);

}  // namespace burstlet::provider
