// A pod's limits of bandwidth in a network of plugins: those that have the capability keep them; what they cannot is
// the node's own to do, by a token bucket at each end of the pod's wire as in the built-in network.
//
// Threads: any that may block. Failure: a Status with the kernel's words.
#pragma once

#include <functional>
#include <string>

#include "absl/status/status.h"
#include "provider/cni/cni_config.h"
#include "sandbox/net/bandwidth.h"

namespace burstlet::provider {

struct CniLimits {
  sandbox::Bandwidth plugins;
  sandbox::Bandwidth node;
};

/// `has_ifb`, asked only where it matters: the plugin bandwidth needs an interface of that kind for what a pod sends,
/// and a kernel without them would keep the pod from starting.
CniLimits ShareLimits(const CniNetworkConfig& config, const sandbox::Bandwidth& asked,
                      const std::function<bool()>& has_ifb);

/// Limits the pod whose namespace that is, and its `interface` there; the other end is in the caller's own namespace.
/// kFailedPrecondition: the interface is no veth, and so what the pod receives cannot be limited.
absl::Status LimitByNode(int netns_fd, const std::string& interface, const sandbox::Bandwidth& limits);

/// This kernel makes interfaces of the kind ifb. Tries one in the namespace, and takes it away again (some 16 ms).
bool HasIfb(int netns_fd);

}  // namespace burstlet::provider
