// Who has published which port of the node: the books behind the nftables maps.
//
// Owner: PodNetwork, under its lock; not thread-safe by itself. Failure: kAlreadyExists names the port and its
// holder's owner text; a failed claim changes nothing.
#pragma once

#include <map>
#include <set>
#include <string>
#include <tuple>
#include <vector>

#include "absl/status/statusor.h"
#include "sandbox/net/address.h"
#include "sandbox/net/nat_table.h"
#include "sandbox/spec.h"

namespace burstlet::sandbox {

/// What `ports` mean for a pod of these addresses. No host IP: every address of the node, in each family the pod has.
/// kInvalidArgument names a port with an unknown protocol, a zero port, or a host IP of a family the pod lacks.
absl::StatusOr<std::vector<PublishedPort>> ResolveHostPorts(const std::vector<SandboxSpec::HostPort>& ports,
                                                            const std::vector<IpAddress>& pod_addresses);

class HostPortBook {
 public:
  /// Two claims collide when protocol and port agree, and the host IPs agree or one of them stands for all. The same
  /// owner may repeat a claim of its own. Returns the ports that are new.
  absl::StatusOr<std::vector<PublishedPort>> Claim(const std::string& owner, const std::vector<PublishedPort>& ports);
  /// Takes back what one call of Claim added.
  void Withdraw(const std::string& owner, const std::vector<PublishedPort>& ports);
  /// Forgets an owner; returns what it had.
  std::vector<PublishedPort> Release(const std::string& owner);
  void Rename(const std::string& owner, const std::string& new_owner);
  std::vector<PublishedPort> All() const;

 private:
  struct Claimed {
    std::string owner;
    PublishedPort port;
  };
  using Key = std::tuple<std::uint8_t, std::uint16_t, IpAddress>;  // protocol, host port, host IP
  static Key KeyOf(const PublishedPort& port) { return {port.protocol, port.host_port, port.host_ip}; }
  /// The claim that `port` collides with, or nullptr.
  const Claimed* Collision(const PublishedPort& port) const;

  std::map<Key, Claimed> claims_;
};

}  // namespace burstlet::sandbox
