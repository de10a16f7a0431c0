// Makes connection tracking forget UDP flows, so that the next packet is translated anew.
//
// A client that keeps sending from one port is one flow for ever. Without this, a flow that began before a host port
// was published (or that still leads to the port's last owner) would never reach the pod. TCP ends by itself.
// Each call walks the kernel's whole table, about 10 ms on a large host, so it is made without any lock and only for
// UDP ports. Thread: any that is in the agent's network namespace. Failure: Status; some flows may remain.
#pragma once

#include <cstdint>
#include <functional>

#include "absl/status/status.h"
#include "sandbox/net/address.h"

namespace burstlet::sandbox {

/// Deletes the UDP flows of one family whose first packet went to an address and port that `concerns` approves.
absl::Status ForgetUdpFlows(bool v6, const std::function<bool(const IpAddress&, std::uint16_t)>& concerns);

}  // namespace burstlet::sandbox
