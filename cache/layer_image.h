// One layer's tar stream becomes one EROFS image; the counterpart of unpacker.h, with the same meaning of every entry.
//
// Contents go straight from the archive to the sink; only names and attributes are kept in memory. No name of an
// archive meets a file system. Device nodes are kept (what they may do is decided by the sandbox's device filter), but
// for character devices 0:0, which would hide things. Directories that an entry uses without the archive bringing them
// have time 0. Threads: one per call. Failure: Status; what the sink has is rubbish then.
#pragma once

#include <atomic>

#include "absl/status/statusor.h"
#include "cache/byte_source.h"
#include "cache/digest.h"
#include "cache/erofs/sink.h"
#include "cache/erofs/writer.h"
#include "cache/unpacker.h"

namespace burstlet::cache {

struct LayerImageResult {
  UnpackResult content;
  erofs::ImageInfo image;
};

/// Reads `tar` to its very end. `id` (the diffID) becomes the image's UUID. `cancelled` may be null.
absl::StatusOr<LayerImageResult> WriteLayerImage(ByteSource& tar, const Digest& id, erofs::Sink& sink,
                                                 const UnpackLimits& limits,
                                                 const std::atomic<bool>* cancelled = nullptr);

}  // namespace burstlet::cache
