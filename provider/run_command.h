// A command in a container whose whole output is wanted at its end: /run of the kubelet port.
//
// Blocking; threads: any but the loop. Source: pkg/kubelet/kuberuntime RunInContainer.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "provider/sandbox_handle.h"

namespace burstlet::provider {

/// stdout, then stderr. kInternal: it ended with another code than 0 (the message has code and stderr).
/// kResourceExhausted: it wrote more than 16 MiB. kDeadlineExceeded: it ran for more than ten minutes; it is killed
/// then.
absl::StatusOr<std::string> RunCommand(const std::shared_ptr<SandboxHandle>& sandbox, const std::string& container_id,
                                       const std::vector<std::string>& command);

}  // namespace burstlet::provider
