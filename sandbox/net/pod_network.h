// The built-in pod network of one node: addresses from the pod CIDR, one routed veth per pod, host ports and
// masquerading by nftables sets. No bridge, no rule per pod, no helper program.
//
// Owner: the native driver. Threads: any (one lock inside, never held over a wait for user code). Failure: Status;
// a failed Attach has undone what it did. State: addresses live in memory and are told again after a restart with
// Reserve (the sandboxes' own records are the truth), so a crash can never leave two owners for one address.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "sandbox/net/bandwidth.h"
#include "sandbox/spec.h"

namespace burstlet::sandbox {

struct PodNetworkConfig {
  std::vector<std::string> pod_cidrs;  // one IPv4, optionally one IPv6 range: "10.88.0.0/16", "fd00::/64"
  std::string instance;  // short [a-z0-9]+, unique per agent on this host: names interfaces and the nftables table
  std::chrono::seconds address_rest{30};  // a freed address is not reused earlier, unless the range runs out
  unsigned mtu = 0;                       // 0 = that of the default route, or 1500
  bool masquerade = true;                 // traffic of pods that leaves the pod CIDRs takes the node's address
};

struct PodAddresses {
  std::vector<std::string> addresses;  // primary family first, without prefix length
  std::string host_interface;          // the host's end of the veth
};

class PodNetwork {
 public:
  /// Prepares the host once: forwarding, the gateway address, the nftables table (replaced whole, atomically).
  static absl::StatusOr<std::unique_ptr<PodNetwork>> Open(const PodNetworkConfig& config);
  virtual ~PodNetwork() = default;

  /// Attach can come before it is known whose the namespace will be: sandboxes wait in a pool with their network. Else
  /// AttachPod is called when one is handed out, and Attach, Rename and AddHostPorts never.
  virtual bool made_ahead() const { return true; }
  virtual absl::StatusOr<PodAddresses> AttachPod(int, const SandboxSpec&) {
    return absl::UnimplementedError("this network is made ahead");
  }

  /// Gives the network namespace behind `netns_fd` lo, eth0, its addresses and routes. `owner` is any unique text.
  virtual absl::StatusOr<PodAddresses> Attach(int netns_fd, const std::string& owner) = 0;
  /// The holder of an address changes its name (a pooled sandbox is handed to a pod).
  virtual absl::Status Rename(const std::string& owner, const std::string& new_owner) = 0;
  /// Takes addresses back into the books after a restart of the agent. kAlreadyExists: another owner has one.
  virtual absl::Status Reserve(const std::string& owner, const PodAddresses& addresses) = 0;
  /// Publishes host ports of an attached owner. kAlreadyExists names the port that is taken.
  virtual absl::Status AddHostPorts(const std::string& owner, const std::vector<SandboxSpec::HostPort>& ports) = 0;
  /// Limits an attached owner's traffic. A process of the pod that may administer its network (CAP_NET_ADMIN) can lift
  /// the limit of what it sends.
  virtual absl::Status LimitBandwidth(const std::string&, int /*netns_fd*/, const Bandwidth&) {
    return absl::UnimplementedError("this network has no limits of bandwidth");
  }
  /// Frees addresses and host ports; the veth goes with its namespace. Never waits for the kernel's RCU.
  virtual absl::Status Detach(const std::string& owner) = 0;
  /// Deletes interfaces of this instance that no owner holds (after Reserve of all survivors).
  virtual absl::Status SweepInterfaces() = 0;
  /// Removes everything the instance made on the host; for uninstall and tests.
  virtual absl::Status Close() = 0;
  /// The address by which pods reach the node ("169.254.1.1"-like gateways are not it).
  virtual std::vector<std::string> gateway_addresses() const = 0;
};

}  // namespace burstlet::sandbox
