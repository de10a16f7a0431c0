// A stream of bytes that is pulled: registry body -> digest -> inflate -> diffID -> tar, one thread, bounded memory.
//
// A source owns its block; the span stays valid until the next call. Failure: Status, and the source is used up.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <utility>

#include "absl/status/statusor.h"
#include "cache/digest.h"

namespace burstlet::cache {

class ByteSource {
 public:
  virtual ~ByteSource() = default;
  /// The next block; an empty one is the end.
  virtual absl::StatusOr<std::span<const std::uint8_t>> Next() = 0;
};

/// Passes a stream on while hashing and counting it.
class HashingSource : public ByteSource {
 public:
  HashingSource(ByteSource& from, std::string_view algorithm) : from_(from), hasher_(algorithm) {}

  absl::StatusOr<std::span<const std::uint8_t>> Next() override {
    auto block = from_.Next();
    if (block.ok()) {
      hasher_.Update(block->data(), block->size());
      count_ += block->size();
    }
    return block;
  }

  std::uint64_t count() const { return count_; }
  Digest Finish() { return hasher_.Finish(); }

 private:
  ByteSource& from_;
  Hasher hasher_;
  std::uint64_t count_ = 0;
};

/// Bytes that are in memory already, given out in blocks.
class MemorySource : public ByteSource {
 public:
  explicit MemorySource(std::string data, std::size_t block = 65536) : data_(std::move(data)), block_(block) {}

  absl::StatusOr<std::span<const std::uint8_t>> Next() override {
    const std::size_t size = std::min(block_, data_.size() - at_);
    const auto* begin = reinterpret_cast<const std::uint8_t*>(data_.data()) + at_;
    at_ += size;
    return std::span<const std::uint8_t>(begin, size);
  }

 private:
  std::string data_;
  std::size_t block_;
  std::size_t at_ = 0;
};

}  // namespace burstlet::cache
