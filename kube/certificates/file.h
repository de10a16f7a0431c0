// The few file operations that certificates need: whole small files, atomically, by this folder's rules of failure.
//
// Threads: any; calls block. Failure: ErrnoError statuses that name the path.
#pragma once

#include <sys/types.h>

#include <string>

#include "absl/status/statusor.h"

namespace burstlet::kube {

/// A file of at most 1 MiB.
absl::StatusOr<std::string> ReadSmallFile(const std::string& path);
/// Written beside with fsync, then renamed over `path`; the folder is synced, so that it is there after a power cut.
absl::Status WriteFileDurably(const std::string& path, const std::string& content, mode_t mode);
/// `link` points to `target` afterwards, whatever it was before; never is it missing in between.
absl::Status SwapSymlink(const std::string& target, const std::string& link);
/// mkdir -p.
absl::Status MakeFolder(const std::string& path, mode_t mode);

}  // namespace burstlet::kube
