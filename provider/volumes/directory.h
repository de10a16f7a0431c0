// Directories of the agent's own, by descriptor: made step by step, read whole, deleted however deep they are.
//
// Nothing here follows a symbolic link or leaves the directory it is given (openat2 RESOLVE_BENEATH |
// RESOLVE_NO_SYMLINKS). Threads: any, all calls block. Failure: ErrnoError statuses.
#pragma once

#include <sys/types.h>

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "sandbox/os/unique_fd.h"

namespace burstlet::provider {

/// Opens `path` below `base` for reading; `flags` are added (O_DIRECTORY, ...).
absl::StatusOr<sandbox::UniqueFd> OpenInside(int base, const std::string& path, int flags);

/// Opens the absolute path of a directory that the agent made; its last element may not be a link.
absl::StatusOr<sandbox::UniqueFd> OpenOwnDirectory(const std::string& path);

/// Makes `path` ("a/b/c") below `base` where it is missing, each new directory with `mode` whatever the umask, and
/// returns the last one. Existing directories keep their mode.
absl::StatusOr<sandbox::UniqueFd> MakeInside(int base, const std::string& path, mode_t mode);

/// Names in a directory without "." and "..", sorted.
absl::StatusOr<std::vector<std::string>> ListNames(int directory);

/// Deletes `name` in `base` with all that is below: any depth with few descriptors, since a container may have nested
/// directories beyond every limit. Mount points and what they hold stay, with an error (CVE-2017-1002102).
absl::Status DeleteTree(int base, const std::string& name);

/// One path element: not empty, no slash, neither "." nor "..".
bool IsPlainName(const std::string& name);

}  // namespace burstlet::provider
