// A file that one process at a time may hold, however it ends.
//
// Threads: any. Failure: kFailedPrecondition, the file is held by another; errno statuses that name it.
#pragma once

#include <chrono>
#include <string>

#include "absl/status/statusor.h"
#include "sandbox/os/unique_fd.h"

namespace burstlet::sandbox {

/// Makes the file where it is missing, and holds it for as long as the descriptor is open. A holder that was killed may
/// have left a child that has not come to its exec yet, and so has the descriptor, too: for up to `patience` its end is
/// waited for.
absl::StatusOr<UniqueFd> LockFile(const std::string& path, std::chrono::milliseconds patience);

}  // namespace burstlet::sandbox
