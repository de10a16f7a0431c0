#include "provider/container_id.h"

#include <sys/random.h>

#include <array>
#include <cstdlib>

namespace burstlet::provider {

std::string NewContainerId() {
  std::array<unsigned char, 32> bytes{};
  // Never fails for so few bytes once the kernel's pool is up (getrandom(2)); without randomness nothing may be named.
  if (getrandom(bytes.data(), bytes.size(), 0) != static_cast<ssize_t>(bytes.size())) std::abort();
  constexpr char kHex[] = "0123456789abcdef";
  std::string id;
  id.reserve(64);
  for (const unsigned char byte : bytes) {
    id += kHex[byte >> 4];
    id += kHex[byte & 15];
  }
  return id;
}

}  // namespace burstlet::provider
