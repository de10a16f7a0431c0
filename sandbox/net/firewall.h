// Finds firewalls of the host that keep packets from being forwarded to and from pods; for `burstlet check`.
//
// Only looks, in the network namespace of the calling thread. A chain that drops by default may still accept some
// packets by its rules, so this is advice, not proof.
#pragma once

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace burstlet::sandbox {

/// A place where forwarded packets are dropped unless a rule accepts them.
struct ForwardDropper {
  std::string description;  // "nftables table ip filter, chain FORWARD"
  std::string remedy;       // a command that lets pods through
};

/// Base chains of nftables at the forward hook with policy drop (iptables-nft's among them), and the policies of
/// iptables-legacy's FORWARD chains.
absl::StatusOr<std::vector<ForwardDropper>> FindForwardDroppers();

/// kFailedPrecondition names every dropper with its remedy.
absl::Status CheckForwarding();

}  // namespace burstlet::sandbox
