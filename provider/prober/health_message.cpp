// The two messages of the health protocol: one field each, so that no generated code is needed.
// Source: protobuf.dev/programming-guides/encoding.
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "provider/prober/grpc_runner.h"

namespace burstlet::provider {
namespace {

enum WireType : unsigned { kVarint = 0, kFixed64 = 1, kLengthDelimited = 2, kFixed32 = 5 };

std::optional<std::uint64_t> TakeVarint(std::string_view& bytes) {
  std::uint64_t value = 0;
  for (unsigned shift = 0; shift < 64 && !bytes.empty(); shift += 7) {
    const auto byte = static_cast<unsigned char>(bytes.front());
    bytes.remove_prefix(1);
    value |= static_cast<std::uint64_t>(byte & 0x7f) << shift;
    if ((byte & 0x80) == 0) return value;
  }
  return std::nullopt;
}

bool Skip(std::string_view& bytes, std::uint64_t size) {
  if (size > bytes.size()) return false;
  bytes.remove_prefix(size);
  return true;
}

bool SkipField(std::string_view& bytes, unsigned type) {
  switch (type) {
    case kVarint:
      return TakeVarint(bytes).has_value();
    case kFixed64:
      return Skip(bytes, 8);
    case kFixed32:
      return Skip(bytes, 4);
    case kLengthDelimited: {
      const auto size = TakeVarint(bytes);
      return size && Skip(bytes, *size);
    }
    default:
      return false;
  }
}

}  // namespace

std::string EncodeHealthRequest(const std::string& service) {
  if (service.empty()) return "";
  std::string bytes(1, '\x0a');  // field 1, length-delimited
  std::size_t size = service.size();
  for (; size >= 0x80; size >>= 7) bytes += static_cast<char>((size & 0x7f) | 0x80);
  bytes += static_cast<char>(size);
  return bytes + service;
}

std::optional<std::uint64_t> ParseHealthStatus(std::string_view message) {
  std::uint64_t status = 0;
  while (!message.empty()) {
    const auto key = TakeVarint(message);
    if (!key) return std::nullopt;
    const auto type = static_cast<unsigned>(*key & 7);
    if (*key >> 3 == 1 && type == kVarint) {
      const auto value = TakeVarint(message);
      if (!value) return std::nullopt;
      status = *value;  // the last one counts
    } else if (!SkipField(message, type)) {
      return std::nullopt;
    }
  }
  return status;
}

}  // namespace burstlet::provider
