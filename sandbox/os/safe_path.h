// Files below a directory that somebody else fills: opened by the kernel's own confinement (openat2), read with
// bounds, deleted without following a link or crossing a mount.
//
// Threads: any. Failure: ErrnoError statuses that name the path.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"
#include "sandbox/os/unique_fd.h"

namespace burstlet::sandbox {

/// Opens `path` as a process chrooted to `root` would see it; magic links are refused.
absl::StatusOr<UniqueFd> OpenInRoot(int root, const std::string& path, std::uint64_t flags);

/// Opens `path` below `base`, refusing whatever leads out of it.
absl::StatusOr<UniqueFd> OpenBeneath(int base, const std::string& path, std::uint64_t flags);

/// The whole regular file `path` in `root`; kResourceExhausted when larger than `limit`.
absl::StatusOr<std::string> ReadFileInRoot(int root, const std::string& path, std::size_t limit);

/// A small file of our own, /proc or /sys.
absl::StatusOr<std::string> ReadFile(const std::string& path, std::size_t limit = 1 << 20);
absl::Status WriteFile(const std::string& path, const std::string& content);
/// Written beside, then renamed over `path`.
absl::Status WriteFileAtomically(const std::string& path, const std::string& content, mode_t mode);

/// mkdir -p for the agent's own directories.
absl::Status MakeDirectory(const std::string& path, mode_t mode);

/// Deletes `name` in `directory` with all below it. Mount points are left, with an error (CVE-2017-1002102).
absl::Status RemoveTree(int directory, const std::string& name);

}  // namespace burstlet::sandbox
