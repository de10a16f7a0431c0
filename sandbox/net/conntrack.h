// Makes connection tracking forget UDP flows, so that the next packet is translated anew.
//
// A client that keeps sending from one port is one flow for ever. Without this, a flow that began before a host port
// was published (or that still leads to the port's last owner) would never reach the pod. TCP ends by itself.
// Owner and thread as for its NetlinkSocket (NETLINK_NETFILTER). Failure: Status; some flows may remain.
#pragma once

#include <cstdint>
#include <functional>

#include "absl/status/status.h"
#include "sandbox/net/address.h"
#include "sandbox/net/netlink.h"

namespace burstlet::sandbox {

/// Deletes the flows whose first packet went to `port` at an address that `concerns` approves.
absl::Status ForgetUdpFlows(NetlinkSocket& socket, bool v6, std::uint16_t port,
                            const std::function<bool(const IpAddress&)>& concerns);

}  // namespace burstlet::sandbox
