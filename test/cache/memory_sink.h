// An image in a string.
#pragma once

#include <cstring>
#include <string>

#include "cache/erofs/sink.h"

namespace burstlet::cache::test {

class MemorySink : public erofs::Sink {
 public:
  absl::Status Write(std::span<const std::uint8_t> data) override {
    bytes.append(reinterpret_cast<const char*>(data.data()), data.size());
    return absl::OkStatus();
  }
  absl::Status Zeros(std::uint64_t count) override {
    if (count > (32u << 20)) return absl::ResourceExhaustedError("more than this test's memory");
    bytes.append(count, '\0');
    return absl::OkStatus();
  }
  absl::Status WriteFirstBlock(std::span<const std::uint8_t> block) override {
    std::memcpy(bytes.data(), block.data(), block.size());
    return absl::OkStatus();
  }

  std::string bytes = std::string(4096, '\0');
};

}  // namespace burstlet::cache::test
