// What a tree of files takes on its disk, as du -x counts it: blocks, and inodes once each.
//
// The tree may be a container's: no link is followed, no other file system entered, any depth is walked with one
// descriptor, and a directory that is moved away under the walk ends it there. A tree with very many directories is
// measured in part: memory stays bounded. Blocking; threads: any.
// Source: pkg/volume/util/fs/fs.go DiskUsage.
#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "provider/stats/samples.h"

namespace burstlet::provider {

/// Of a file or a directory with all below it. kNotFound: nothing there.
absl::StatusOr<DiskUsage> MeasureTree(const std::string& path);
/// The same for an open directory (or file); `fd` stays the caller's.
absl::StatusOr<DiskUsage> MeasureTreeAt(int fd);

}  // namespace burstlet::provider
