// The answer of a CNI plugin to ADD (CNI specification 1.0, section 5), of any version up to it.
//
// Threads: pure functions. Failure: kInvalidArgument naming the field.
#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "cache/json.h"
#include "sandbox/net/pod_network.h"

namespace burstlet::provider {

/// The pod's addresses at `interface`, IPv4 first, and the host's end of its wire where the answer names one.
/// An answer without an address is wrong: a pod must have one.
absl::StatusOr<sandbox::PodAddresses> PodAddressesOf(const cache::Json& result, const std::string& interface);

}  // namespace burstlet::provider
