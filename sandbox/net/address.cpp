#include "sandbox/net/address.h"

#include <arpa/inet.h>

#include <charconv>
#include <utility>

#include "absl/strings/str_cat.h"
#include "metrics/status.h"

namespace burstlet::sandbox {

std::uint8_t IpAddress::family() const { return v6 ? AF_INET6 : AF_INET; }

std::string IpAddress::ToString() const {
  char text[INET6_ADDRSTRLEN] = {};
  inet_ntop(family(), bytes.data(), text, sizeof text);
  return text;
}

std::array<std::uint8_t, 16> Cidr::Mask() const {
  std::array<std::uint8_t, 16> mask{};
  for (unsigned bit = 0; bit < prefix_length; ++bit) mask[bit / 8] |= static_cast<std::uint8_t>(0x80u >> (bit % 8));
  return mask;
}

bool Cidr::Contains(const IpAddress& address) const {
  if (address.v6 != base.v6) return false;
  const auto mask = Mask();
  for (std::size_t i = 0; i < address.size(); ++i) {
    if ((address.bytes[i] & mask[i]) != base.bytes[i]) return false;
  }
  return true;
}

IpAddress Cidr::At(std::uint64_t offset) const {
  IpAddress address = base;
  for (std::size_t i = address.size(); i > 0 && offset != 0; --i) {
    offset += address.bytes[i - 1];
    address.bytes[i - 1] = static_cast<std::uint8_t>(offset & 0xff);
    offset >>= 8;
  }
  return address;
}

std::uint64_t Cidr::OffsetOf(const IpAddress& address) const {
  const auto mask = Mask();
  std::uint64_t offset = 0;
  for (std::size_t i = 0; i < address.size(); ++i) {
    offset = (offset << 8) | static_cast<std::uint8_t>(address.bytes[i] & ~mask[i]);
  }
  return offset & (~std::uint64_t{0} >> 1);
}

std::string Cidr::ToString() const { return absl::StrCat(base.ToString(), "/", prefix_length); }

absl::StatusOr<IpAddress> ParseAddress(const std::string& text) {
  IpAddress address;
  // inet_pton stops at a zero byte, which must not hide the rest of the text.
  const bool whole = text.find('\0') == std::string::npos;
  if (whole && inet_pton(AF_INET, text.c_str(), address.bytes.data()) == 1) return address;
  address = IpAddress{.v6 = true, .bytes = {}};
  if (whole && inet_pton(AF_INET6, text.c_str(), address.bytes.data()) == 1) return address;
  return absl::InvalidArgumentError(absl::StrCat("\"", text, "\" is not an IP address"));
}

absl::StatusOr<Cidr> ParseCidr(const std::string& text) {
  const absl::Status bad =
      absl::InvalidArgumentError(absl::StrCat("\"", text, "\" is not an address range such as 10.88.0.0/16"));
  const std::size_t slash = text.find('/');
  if (slash == std::string::npos) return bad;
  const absl::StatusOr<IpAddress> address = ParseAddress(text.substr(0, slash));
  if (!address.ok()) return bad;
  Cidr cidr{.base = *address, .prefix_length = 0};
  const char* end = text.data() + text.size();
  const auto [rest, error] = std::from_chars(text.data() + slash + 1, end, cidr.prefix_length);
  if (error != std::errc{} || rest != end || cidr.prefix_length > cidr.base.size() * 8) return bad;
  const auto mask = cidr.Mask();
  for (std::size_t i = 0; i < mask.size(); ++i) cidr.base.bytes[i] &= mask[i];
  return cidr;
}

}  // namespace burstlet::sandbox
