// Capability names to bits. Pure; an unknown name is an error that names it.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"

namespace burstlet::sandbox {

/// In the order of their numbers (capabilities(7)), without "CAP_".
inline constexpr std::array<const char*, 41> kCapabilityNames = {"CHOWN",
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

/// Accepts "CHOWN", "CAP_CHOWN" in any case, and "ALL".
absl::StatusOr<std::uint64_t> CapabilityBits(const std::vector<std::string>& names);

/// The bit's number, from <linux/capability.h>.
inline constexpr std::uint64_t CapabilityBit(int capability) { return 1ull << capability; }

/// All capabilities this kernel knows.
std::uint64_t AllCapabilities();

}  // namespace burstlet::sandbox
