// Extended attributes of one inode as they follow it on disk. Pure. Failure: kInvalidArgument naming the attribute.
#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "cache/erofs/layer_tree.h"

namespace burstlet::cache::erofs {

/// Header and entries, sorted so that one list has one encoding; empty for no attributes. `opaque` adds overlayfs' mark
/// of a directory that hides what lies below.
absl::StatusOr<std::string> EncodeXattrs(const Xattrs* list, bool opaque);

}  // namespace burstlet::cache::erofs
