#include "sandbox/native/capabilities.h"

#include <algorithm>
#include <array>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "sandbox/os/safe_path.h"

namespace burstlet::sandbox {

std::uint64_t AllCapabilities() {
  static const std::uint64_t all = [] {
    absl::StatusOr<std::string> text = ReadFile("/proc/sys/kernel/cap_last_cap");
    int last = 40;
    if (text.ok() && !absl::SimpleAtoi(*text, &last)) last = 40;
    return last >= 63 ? ~0ull : (1ull << (last + 1)) - 1;
  }();
  return all;
}

absl::StatusOr<std::uint64_t> CapabilityBits(const std::vector<std::string>& names) {
  std::uint64_t bits = 0;
  for (const std::string& given : names) {
    std::string name = absl::AsciiStrToUpper(given);
    if (name.rfind("CAP_", 0) == 0) name = name.substr(4);
    if (name == "ALL") {
      bits |= AllCapabilities();
      continue;
    }
    auto found = std::find(kCapabilityNames.begin(), kCapabilityNames.end(), name);
    if (found == kCapabilityNames.end())
      return absl::InvalidArgumentError(absl::StrCat("unknown capability \"", given, "\""));
    bits |= 1ull << (found - kCapabilityNames.begin());
  }
  return bits & AllCapabilities();
}

}  // namespace burstlet::sandbox
