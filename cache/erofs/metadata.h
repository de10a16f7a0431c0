// A tree's inodes and directories become blocks: first where everything lies, then the bytes, in one pass forward.
//
// The order is breadth first with sorted names, so that equal trees give equal bytes. Threads: one. Failure: Status of
// the sink, kInvalidArgument (attributes), kResourceExhausted (over 2^32 blocks).
#pragma once

#include <cstdint>
#include <vector>

#include "absl/status/statusor.h"
#include "cache/erofs/layer_tree.h"
#include "cache/erofs/sink.h"

namespace burstlet::cache::erofs {

struct MetadataInfo {
  std::uint64_t inodes = 0;
  std::uint16_t root_nid = 0;
  std::uint64_t blocks = 0;
};

/// Writes the metadata of what can be reached from the root; they begin at the sink's end, block `first_block`. At most
/// `max_bytes` are written.
absl::StatusOr<MetadataInfo> WriteMetadata(LayerTree& tree, std::uint32_t first_block, std::uint64_t max_bytes,
                                           Sink& sink);

}  // namespace burstlet::cache::erofs
