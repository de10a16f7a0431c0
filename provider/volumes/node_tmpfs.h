// The node's one tmpfs for what comes from the API server: secrets never reach a disk, and a reboot loses them.
//
// Mounted at <root-dir>/volumes with private propagation (so that no container's mount namespace keeps a copy in
// step), mode 0700, nosuid and nodev; found again after an agent restart. Blocking; threads: any.
#pragma once

#include <string>

#include "absl/status/status.h"

namespace burstlet::provider {

/// Makes the directory and mounts the tmpfs unless it is there already.
absl::Status EnsureNodeTmpfs(const std::string& path);

/// Unmounts it, for an agent that leaves the host for good (`burstlet run`, tests). No error when it is not mounted.
absl::Status RemoveNodeTmpfs(const std::string& path);

}  // namespace burstlet::provider
