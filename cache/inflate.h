// Decompression of a layer: gzip (ISA-L, concatenated members too), zstd (window capped), or plain, told by magic.
//
// A hostile stream costs bounded memory (one output block, one zstd window) and no more output than the reader takes:
// the reader's own limit is the bomb guard. Threads: one. Failure: kDataLoss (broken or cut off stream, trailing
// garbage), kResourceExhausted (window).
#pragma once

#include <memory>

#include "cache/byte_source.h"

namespace burstlet::cache {

enum class Compression { kPlain, kGzip, kZstd };

/// A source of `from`'s decompressed bytes; `from` must outlive it. The first bytes decide about the format: media
/// types are known to lie both ways.
std::unique_ptr<ByteSource> Inflate(ByteSource& from);

}  // namespace burstlet::cache
