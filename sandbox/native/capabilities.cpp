#include "sandbox/native/capabilities.h"

#include <algorithm>
#include <array>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "sandbox/os/safe_path.h"

namespace burstlet::sandbox {
namespace {

// In the order of their numbers (capabilities(7)).
constexpr std::array<const char*, 41> kNames = {"CHOWN",
                                                "DAC_OVERRIDE",
                                                "DAC_READ_SEARCH",
                                                "FOWNER",
                                                "FSETID",
                                                "KILL",
                                                "SETGID",
                                                "SETUID",
                                                "SETPCAP",
                                                "LINUX_IMMUTABLE",
                                                "NET_BIND_SERVICE",
                                                "NET_BROADCAST",
                                                "NET_ADMIN",
                                                "NET_RAW",
                                                "IPC_LOCK",
                                                "IPC_OWNER",
                                                "SYS_MODULE",
                                                "SYS_RAWIO",
                                                "SYS_CHROOT",
                                                "SYS_PTRACE",
                                                "SYS_PACCT",
                                                "SYS_ADMIN",
                                                "SYS_BOOT",
                                                "SYS_NICE",
                                                "SYS_RESOURCE",
                                                "SYS_TIME",
                                                "SYS_TTY_CONFIG",
                                                "MKNOD",
                                                "LEASE",
                                                "AUDIT_WRITE",
                                                "AUDIT_CONTROL",
                                                "SETFCAP",
                                                "MAC_OVERRIDE",
                                                "MAC_ADMIN",
                                                "SYSLOG",
                                                "WAKE_ALARM",
                                                "BLOCK_SUSPEND",
                                                "AUDIT_READ",
                                                "PERFMON",
                                                "BPF",
                                                "CHECKPOINT_RESTORE"};

}  // namespace

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
    auto found = std::find(kNames.begin(), kNames.end(), name);
    if (found == kNames.end()) return absl::InvalidArgumentError(absl::StrCat("unknown capability \"", given, "\""));
    bits |= 1ull << (found - kNames.begin());
  }
  return bits & AllCapabilities();
}

}  // namespace burstlet::sandbox
