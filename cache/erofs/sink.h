// Where an image goes: block 1 and what follows it in order, block 0 last, since only the end knows what it says.
//
// Threads: one. Failure: Status; the image is then rubbish.
#pragma once

#include <cstdint>
#include <span>

#include "absl/status/status.h"

namespace burstlet::cache::erofs {

class Sink {
 public:
  virtual ~Sink() = default;
  /// Appends; the first byte is the image's byte 4096.
  virtual absl::Status Write(std::span<const std::uint8_t> data) = 0;
  /// Appends zeros, as a hole where that is possible.
  virtual absl::Status Zeros(std::uint64_t count) = 0;
  /// Writes the image's first block. Nothing comes after it.
  virtual absl::Status WriteFirstBlock(std::span<const std::uint8_t> block) = 0;
};

}  // namespace burstlet::cache::erofs
