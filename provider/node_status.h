// What the node says of itself: capacity and identity measured once, pressure measured again and again, and the
// NodeStatus made of both.
//
// MeasureNode and MeasurePressure read /proc, /sys, /etc and the root directory's file system (milliseconds, no
// network). BuildNodeStatus is pure. Threads: any. Failure: kInvalidArgument names a reservation or threshold that
// can't be read; a fact that the host does not tell stays empty. Sources: pkg/kubelet/nodestatus/setters.go,
// cm/node_container_manager_linux.go, eviction/defaults_linux.go.
#pragma once

#include <chrono>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "kube/api/node.h"
#include "provider/node_info.h"

namespace burstlet::provider {

struct NodeStatusConfig {
  std::string name;
  std::vector<std::string> addresses;  // primary family first
  std::string hostname;                // empty: the host's own
  std::uint16_t kubelet_port = 10250;
  std::string root_dir = "/var/lib/burstlet";
  std::int64_t max_pods = 500;
  std::int64_t pids_limit = -1;
  bool cpu_cfs_quota = true;
  std::uint64_t cpu_cfs_quota_period_us = 100000;
  std::optional<double> memory_throttling_factor;
  bool tiered_memory_reservation = false;
  std::map<std::string, std::string> system_reserved;
  std::map<std::string, std::string> kube_reserved;
  std::map<std::string, std::string> eviction_hard;  // over the kubelet's defaults
  std::map<std::string, std::string> labels;         // over the default ones
  std::vector<kube::Taint> taints;
  std::vector<std::string> cluster_dns;
  std::string cluster_domain = "cluster.local";
  std::string resolv_conf = "/etc/resolv.conf";
  std::string version = "0.1.0";  // of burstlet
  std::string host_root;          // put before /proc, /sys and /etc
};

absl::StatusOr<NodeInfo> MeasureNode(const NodeStatusConfig& config);

/// Below a hard eviction threshold, right now.
struct NodePressure {
  bool memory = false;
  bool disk = false;
  bool pid = false;
};
absl::StatusOr<NodePressure> MeasurePressure(const NodeStatusConfig& config);

/// Pressure that was seen is shown for five minutes more, so that pods do not come and go with it
/// (evictionPressureTransitionPeriod).
class PressureHold {
 public:
  using Clock = std::chrono::steady_clock;
  explicit PressureHold(std::chrono::seconds hold = std::chrono::minutes(5)) : hold_(hold) {}
  NodePressure Update(const NodePressure& seen, Clock::time_point now);

 private:
  bool Held(bool seen, Clock::time_point now, Clock::time_point& until) const;
  std::chrono::seconds hold_;
  Clock::time_point memory_until_{};
  Clock::time_point disk_until_{};
  Clock::time_point pid_until_{};
};

/// What changes while the agent runs.
struct NodeConditionsInput {
  NodePressure pressure;
  std::vector<std::string> not_ready;         // why, if it is not
  std::vector<kube::ContainerImage> images;   // any number; the biggest 50 are shown
  std::vector<std::string> runtime_handlers;  // besides the default
  bool user_namespaces = false;               // pods can have their own
};

/// `previous` is the Node's status as the API server has it: times of transitions, foreign conditions, extended
/// resources and attached volumes are kept.
kube::NodeStatus BuildNodeStatus(const NodeInfo& info, const NodeConditionsInput& input,
                                 const kube::NodeStatus& previous, kube::Time now);

/// Something but heartbeats differs.
bool NodeStatusChanged(const kube::NodeStatus& old_status, const kube::NodeStatus& new_status);

}  // namespace burstlet::provider
