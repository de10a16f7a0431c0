// What a restarted agent finds of its predecessor's pods: records on disk and sandboxes that live on, put together.
//
// Blocking; before the loop runs. Failure: only when the driver cannot look; what is unreadable is swept and logged.
#pragma once

#include <vector>

#include "absl/status/statusor.h"
#include "provider/paths.h"
#include "provider/pod_worker.h"
#include "sandbox/sandbox.h"

namespace burstlet::provider {

/// Every pod with a record, with its sandbox where that is alive. Sandboxes without a record are removed.
absl::StatusOr<std::vector<Recovered>> GatherRecovered(sandbox::SandboxDriver& driver, const AgentPaths& paths);

}  // namespace burstlet::provider
