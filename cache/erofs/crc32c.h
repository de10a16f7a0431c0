// The superblock's checksum: CRC-32C (Castagnoli) from ~0 on, the end not inverted, as the kernel's crc32c(). Pure.
#pragma once

#include <cstdint>
#include <span>

namespace burstlet::cache::erofs {

inline std::uint32_t Crc32c(std::span<const std::uint8_t> data) {
  std::uint32_t crc = 0xFFFFFFFF;
  for (const std::uint8_t byte : data) {
    crc ^= byte;
    // 3 KiB once an image: a table would not pay.
    for (int bit = 0; bit < 8; ++bit) crc = (crc >> 1) ^ ((crc & 1) != 0 ? 0x82F63B78u : 0);
  }
  return crc;
}

}  // namespace burstlet::cache::erofs
