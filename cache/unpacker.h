// One layer's tar stream becomes one directory for overlayfs.
//
// Everything happens relative to the layer directory's descriptor (rooted_tree.h): no name of an archive is ever a
// host path. Whiteouts become overlayfs' own marks. Kept: mode with setuid/setgid, owner, mtime, hard links, FIFOs,
// holes, user.* and security.capability. Dropped: trusted.*, other security.*, overlay marks from the archive. Device
// nodes are left out: a container gets its devices from the sandbox, never from an image. Names with "..", and
// whiteouts of "." or "..", are errors.
// Threads: one per call. Failure: Status; the directory is then rubbish for the caller to remove.
#pragma once

#include <atomic>
#include <cstdint>

#include "absl/status/statusor.h"
#include "cache/byte_source.h"

namespace burstlet::cache {

struct UnpackLimits {
  std::uint64_t max_bytes = 64ull << 30;  // of the tar stream, and of any one file's apparent size
  std::uint64_t max_entries = 10'000'000;
  std::uint64_t max_metadata_bytes = 512ull << 20;  // memory for names and attributes, where they are kept in memory
};

struct UnpackResult {
  std::uint64_t size_bytes = 0;  // of all regular files
  std::uint64_t entries = 0;
  std::uint64_t devices_left_out = 0;
};

/// Unpacks `tar` below `dir` and reads it to its very end (the diffID is over all of it). `cancelled` may be null.
absl::StatusOr<UnpackResult> Unpack(ByteSource& tar, int dir, const UnpackLimits& limits,
                                    const std::atomic<bool>* cancelled = nullptr);

}  // namespace burstlet::cache
