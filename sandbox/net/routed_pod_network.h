// The one body of PodNetwork: books in memory, the kernel told by rtnetlink and nftables (README.md draws it).
//
// Owner, threads and failure as in pod_network.h. Two locks: one for the books, one for the kernel's sockets.
#pragma once

#include <cstdint>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "sandbox/net/address.h"
#include "sandbox/net/host_ports.h"
#include "sandbox/net/ipam.h"
#include "sandbox/net/links.h"
#include "sandbox/net/nat_table.h"
#include "sandbox/net/pod_network.h"

namespace burstlet::sandbox {

class RoutedPodNetwork final : public PodNetwork {
 public:
  /// How all host ends of an instance's veths begin.
  static std::string InterfacePrefix(const std::string& instance);

  RoutedPodNetwork(PodNetworkConfig config, std::vector<AddressPool> pools, Links links, NatTable nat);

  /// Prepares the host; once, before anything else.
  absl::Status Prepare();

  absl::StatusOr<PodAddresses> Attach(int netns_fd, const std::string& owner) override;
  absl::Status Rename(const std::string& owner, const std::string& new_owner) override;
  absl::Status Reserve(const std::string& owner, const PodAddresses& addresses) override;
  absl::Status AddHostPorts(const std::string& owner, const std::vector<SandboxSpec::HostPort>& ports) override;
  absl::Status LimitBandwidth(const std::string& owner, int netns_fd, const Bandwidth& bandwidth) override;
  absl::Status Detach(const std::string& owner) override;
  absl::Status SweepInterfaces() override;
  absl::Status Close() override;
  std::vector<std::string> gateway_addresses() const override;

 private:
  struct Pod {
    std::vector<IpAddress> addresses;
    std::string host_interface;
  };

  std::string GatewayInterface() const { return absl::StrCat(prefix_, "gw"); }
  absl::Status RefuseForeignAddresses();
  /// The number in an interface name of ours, or nullopt.
  std::optional<std::uint64_t> NumberOf(const std::string& interface) const;
  std::string NextInterfaceName();
  std::optional<AddressPool*> PoolOf(const IpAddress& address);
  absl::StatusOr<std::vector<IpAddress>> Allocate();
  void Free(const std::vector<IpAddress>& addresses);
  std::vector<IpAddress> SourcesFor(const std::vector<IpAddress>& addresses) const;

  absl::Status Wire(int netns_fd, Pod& pod);
  absl::StatusOr<std::uint32_t> CreateVeth(int netns_fd, Pod& pod);
  absl::Status ForgetFlows(const std::vector<PublishedPort>& ports);
  absl::Status RemoveInterfaces(bool keep_held);

  static PodAddresses Describe(const Pod& pod);

  const PodNetworkConfig config_;
  const std::string prefix_;
  const bool ipv6_available_;
  std::uint32_t mtu_ = 1500;

  // Taken before books_mutex_ where both are needed. Netlink answers at once, so neither is held for long.
  std::mutex kernel_mutex_;
  std::mutex books_mutex_;
  // Under books_mutex_.
  std::vector<AddressPool> pools_;
  std::map<std::string, Pod> pods_;
  HostPortBook ports_;
  std::uint64_t next_number_ = 1;
  // Under kernel_mutex_.
  Links links_;
  NatTable nat_;
};

}  // namespace burstlet::sandbox
