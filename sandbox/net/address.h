// IP addresses and ranges as the pod network needs them: parsed from text once, then plain bytes in network order.
//
// Values without an owner; any thread. Failure: a text that is no address or range gives an error that quotes it.
#pragma once

#include <array>
#include <compare>
#include <cstddef>
#include <cstdint>
#include <string>

#include "absl/status/statusor.h"

namespace burstlet::sandbox {

/// An IPv4 or IPv6 address. The default value is 0.0.0.0.
struct IpAddress {
  bool v6 = false;
  std::array<std::uint8_t, 16> bytes{};  // IPv4 uses the first four

  std::size_t size() const { return v6 ? 16 : 4; }
  /// AF_INET or AF_INET6.
  std::uint8_t family() const;
  /// 0.0.0.0 or ::, which stand for "every address of the host".
  bool IsAny() const { return bytes == std::array<std::uint8_t, 16>{}; }
  std::string ToString() const;
  auto operator<=>(const IpAddress&) const = default;
};

/// A range, cut to its first address: "10.88.3.9/16" is 10.88.0.0/16.
struct Cidr {
  IpAddress base;
  unsigned prefix_length = 0;

  bool Contains(const IpAddress& address) const;
  /// The address `offset` places after the first one. The caller keeps it inside the range.
  IpAddress At(std::uint64_t offset) const;
  /// The inverse of At for a contained address (the low 63 bits count).
  std::uint64_t OffsetOf(const IpAddress& address) const;
  /// All ones in the prefix, zeros after it.
  std::array<std::uint8_t, 16> Mask() const;
  std::string ToString() const;
};

absl::StatusOr<IpAddress> ParseAddress(const std::string& text);
absl::StatusOr<Cidr> ParseCidr(const std::string& text);

}  // namespace burstlet::sandbox
