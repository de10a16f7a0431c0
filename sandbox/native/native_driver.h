// The native driver: containers by Linux namespaces and cgroups, carried out by one warden per pod.
//
// Owner: node_agent. Threads: any. On disk: sandbox/paths.h. Failure: OpenNativeDriver says what the host lacks;
// Create and Start carry the kubelet's reasons. The driver outlives its sandboxes. See README.md of this folder.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "sandbox/net/pod_network.h"
#include "sandbox/sandbox.h"

namespace burstlet::sandbox {

struct NativeDriverConfig {
  std::string root_dir;  // the agent's; made when missing
  std::string cgroup_root = "/burstlet";
  std::string warden_path;        // the burstlet-warden program
  PodNetwork* network = nullptr;  // null: pods get a namespace with lo and nothing else
  unsigned pool_size = 8;         // wardens kept ready
  /// Told of each operation on a cgroup (CgroupTree::Observe). Any thread; may be empty.
  std::function<void(const char* operation, double seconds)> cgroup_done = {};
};

absl::StatusOr<std::unique_ptr<SandboxDriver>> OpenNativeDriver(const NativeDriverConfig& config);

}  // namespace burstlet::sandbox
