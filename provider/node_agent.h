// `burstlet node`: the agent of one node in a cluster. It constructs everything and shows boot and stop order.
//
// Boot: identity and client -> node measured -> pods of a former agent adopted -> kubelet port -> Node registered ->
// pods and services watched. Stop (SIGTERM, SIGINT): the other way round; pods run on.
// Failure: one line that names what is wrong; nothing has been touched then.
#pragma once

#include "absl/status/status.h"
#include "provider/config.h"

namespace burstlet::provider {

/// Runs until a signal asks for the end. The calling thread becomes the control loop.
absl::Status RunNodeAgent(Config config);

}  // namespace burstlet::provider
