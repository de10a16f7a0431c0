// Detached mounts: made by the agent, never attached to its own tree, handed to a warden as descriptors.
//
// Threads: any. A detached mount lives as long as its descriptor or until somebody attaches it, so a dead pod leaves
// nothing. Failure: ErrnoError statuses.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "sandbox/os/unique_fd.h"

namespace burstlet::sandbox {

struct OverlaySpec {
  std::vector<std::string> lower_dirs;  // topmost first
  std::string upper_dir;                // empty: a read-only view of the lower layers
  std::string work_dir;
  /// Where an older kernel's classic mount may stand for a moment; a private directory of the agent.
  std::string scratch_dir;
  /// Layers are seen with the ids of this user namespace; -1 = as they are. Upper and work directory are not mapped:
  /// they belong to its root already. Not every file system can (EINVAL).
  int user_namespace = -1;
};

/// An overlay of any number of layers (over 100 pass). One lower layer without an upper is a read-only clone.
absl::StatusOr<UniqueFd> MountOverlay(const OverlaySpec& spec);

struct TmpfsSpec {
  std::uint64_t size_bytes = 0;       // 0 = the kernel's default
  std::uint64_t page_size_bytes = 0;  // a hugetlbfs with such pages instead
  std::uint32_t mode = 01777;
  std::int64_t uid = -1;
  std::int64_t gid = -1;
};
absl::StatusOr<UniqueFd> MountTmpfs(const TmpfsSpec& spec);

/// A recursive clone of what is at the host's `path` (links followed: it is the cluster's word, not an image's).
absl::StatusOr<UniqueFd> CloneHostPath(const std::string& path);
/// The same for `sub_path` below `path`, which must not lead out of it.
absl::StatusOr<UniqueFd> CloneHostSubPath(const std::string& path, const std::string& sub_path);

/// Whether this kernel maps ids of all that pods mount: tmpfs came last (6.3).
bool KernelMapsIds();
/// Whether the kernel takes overlay layers one by one (6.5) instead of in one string.
bool KernelHasLowerdirAppend();

}  // namespace burstlet::sandbox
