// Interfaces, addresses, neighbours and routes of one network namespace, by rtnetlink(7).
//
// Owner: PodNetwork, under its lock (host), or the thread that works inside a pod's namespace. Not thread-safe.
// Failure: Status with the kernel's words; nothing is undone here.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "sandbox/net/address.h"
#include "sandbox/net/netlink.h"

namespace burstlet::sandbox {

using MacAddress = std::array<std::uint8_t, 6>;

/// A veth pair whose peer is born inside another namespace.
struct VethSpec {
  std::string host_name;
  std::string pod_name;
  int netns_fd = -1;
  MacAddress host_mac{};
  MacAddress pod_mac{};
  std::uint32_t mtu = 1500;
};

struct Link {
  std::uint32_t index = 0;
  std::string name;
  std::uint32_t mtu = 0;
  std::uint32_t peer = 0;  // index of what it is tied to, in that one's namespace; of a veth its other end
};

struct InterfaceAddress {
  std::uint32_t index = 0;
  IpAddress address;
};

/// What a pod's end of the veth gets. `gateways` belong to the addresses, in the same order.
struct PodEnd {
  std::string name;
  std::vector<IpAddress> addresses;
  std::vector<IpAddress> gateways;
  MacAddress gateway_mac{};
  bool ipv6_available = true;  // the kernel has IPv6 at all
};

class Links {
 public:
  /// Opened in the calling thread's network namespace.
  static absl::StatusOr<Links> Open();

  /// Makes the pair; the host's end is up and has no IPv6 address of its own. Returns its index.
  absl::StatusOr<std::uint32_t> CreateVeth(const VethSpec& spec, bool ipv6_available);
  absl::Status BringUpLoopback();
  /// lo up, the pod's end up, its addresses, default routes and the gateways as permanent neighbours.
  absl::Status ConfigurePodEnd(const PodEnd& end);
  /// Routes each address to the interface, with the pod's MAC as a permanent neighbour. `sources` are the host's
  /// own addresses to talk from, one per address. Replaces older routes of the same addresses.
  absl::Status RouteToPod(std::uint32_t index, const std::vector<IpAddress>& addresses,
                          const std::vector<IpAddress>& sources, const MacAddress& pod_mac);
  /// Drops what RouteToPod routed. Routes that are gone already are no failure.
  absl::Status UnrouteFromPod(const std::vector<IpAddress>& addresses);

  /// Makes a carrier for addresses that belong to no wire, or finds it. Returns its index.
  absl::StatusOr<std::uint32_t> EnsureAddressHolder(const std::string& name);
  absl::Status AddAddress(std::uint32_t index, const IpAddress& address);
  /// Addresses of a range that no pod has answer "unreachable" instead of leaving by the default route.
  absl::Status AddUnreachable(const Cidr& range);
  absl::Status RemoveUnreachable(const Cidr& range);

  absl::StatusOr<std::optional<Link>> Find(const std::string& name);
  absl::StatusOr<std::vector<Link>> List(const std::string& kind, const std::string& name_prefix);
  absl::StatusOr<std::vector<InterfaceAddress>> ListAddresses();
  /// The kernel makes interfaces of that kind: one is made here, and removed (which waits for a grace period).
  absl::StatusOr<bool> Makes(const std::string& kind);
  /// The MTU towards the default route, or nullopt when there is none.
  std::optional<std::uint32_t> DefaultRouteMtu();
  /// Waits for the kernel's grace period (about 16 ms): not for the way of a pod.
  absl::Status Delete(const std::vector<std::string>& names);

 private:
  explicit Links(NetlinkSocket socket) : socket_(std::move(socket)) {}
  absl::StatusOr<std::optional<Link>> FindIndex(std::uint32_t index);
  absl::StatusOr<std::optional<Link>> FindBy(NetlinkBatch& batch);

  NetlinkSocket socket_;
};

}  // namespace burstlet::sandbox
