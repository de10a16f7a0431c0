// `burstlet run FILE...`: the same agent with pod files as its source and no API server.
//
// Shows progress and the pods' logs on the terminal; Ctrl-C ends the pods within their grace, a second one at once.
#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "provider/config.h"

namespace burstlet::provider {

/// The pods' outcome as an exit code: 0 when all succeeded, else the code of the first container that failed.
absl::StatusOr<int> RunStandalone(Config config, const std::vector<std::string>& files);

}  // namespace burstlet::provider
