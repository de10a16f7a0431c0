// The one nftables table of an agent: host ports, hairpin, masquerade, and a guard against forged pod packets.
//
//   chain guard         prerouting, raw: pods may neither forge a source nor talk to the node's 127.0.0.0/8
//   chain hostports-in  prerouting, nat: (address | any, protocol, port) -> pod address, port, by map lookup
//   chain hostports-out output, nat: the same for the node's own connections, 127.0.0.1 among them
//   chain postrouting   srcnat: a pod that reaches itself, 127.0.0.1 to a pod, and what leaves the pod ranges
//
// The number of rules never grows; pods with host ports are elements of maps. Other tables are never touched.
// Owner: PodNetwork, under its lock. Failure: Status; every change is one transaction of the kernel, whole or not.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "sandbox/net/address.h"
#include "sandbox/net/netlink.h"

namespace burstlet::sandbox {

/// A published port. `host_ip` of 0.0.0.0 or :: means every local address of that family.
struct PublishedPort {
  std::uint8_t protocol = 0;  // IPPROTO_*
  IpAddress host_ip;
  std::uint16_t host_port = 0;
  IpAddress pod_ip;
  std::uint16_t pod_port = 0;
};

struct NatTableSpec {
  std::string table;
  std::string interface_prefix;     // of the host's ends of the pods' veths
  std::vector<Cidr> ranges;         // at most one per family
  std::vector<IpAddress> gateways;  // one per range, an address of the node
  bool masquerade = true;
};

class NatTable {
 public:
  /// Opens the socket in the calling thread's network namespace; changes nothing yet.
  static absl::StatusOr<NatTable> Open(NatTableSpec spec);

  /// Puts the rules in place. Ports that an earlier run of the agent published stay until Replace.
  absl::Status Install();
  /// Makes the whole table anew with exactly these ports, in one transaction.
  absl::Status Replace(const std::vector<PublishedPort>& ports);
  absl::Status Add(const std::vector<PublishedPort>& ports);
  absl::Status Remove(const std::vector<PublishedPort>& ports);
  /// Deletes the table. One that is gone already is no failure.
  absl::Status Drop();

 private:
  NatTable(NatTableSpec spec, NetlinkSocket socket) : spec_(std::move(spec)), socket_(std::move(socket)) {}

  void BeginTransaction(NetlinkBatch& batch);
  absl::Status Commit(NetlinkBatch& batch);
  absl::Status PutTable(NetlinkBatch& batch, std::uint16_t type);
  absl::Status PutFrame(NetlinkBatch& batch);
  absl::Status PutSets(NetlinkBatch& batch);
  absl::Status PutChains(NetlinkBatch& batch);
  absl::Status PutRules(NetlinkBatch& batch);
  /// `type`: NFT_MSG_NEWSETELEM or NFT_MSG_DELSETELEM.
  absl::Status PutPorts(NetlinkBatch& batch, std::uint16_t type, const std::vector<PublishedPort>& ports);

  NatTableSpec spec_;
  NetlinkSocket socket_;
};

}  // namespace burstlet::sandbox
