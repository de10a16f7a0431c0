// Which devices a container may make and open: rules for cgroup v1's `devices`, a BPF_CGROUP_DEVICE program for v2.
//
// Threads: any. The program is assembled by hand (a dozen instructions a rule) and loaded with bpf(2); whoever
// attaches it keeps nothing: the cgroup owns it from then on. Source: kernel, Documentation/admin-guide/cgroup-v1/
// devices.rst and cgroup-v2.rst "Device controller".
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "sandbox/os/unique_fd.h"

namespace burstlet::sandbox {

struct DeviceRule {
  char type = 'a';          // 'c', 'b', 'a' for both
  std::int64_t major = -1;  // -1 = any
  std::int64_t minor = -1;
  std::string access = "rwm";
};

/// What every container may use: the null family, its terminals, and mknod without open.
std::vector<DeviceRule> DefaultDeviceRules();

/// "c 1:3 rwm"
std::string FormatDeviceRule(const DeviceRule& rule);

/// One bpf_insn as a number, for inspection in tests.
std::vector<std::uint64_t> AssembleDeviceProgram(const std::vector<DeviceRule>& rules);

absl::StatusOr<UniqueFd> LoadDeviceProgram(const std::vector<DeviceRule>& rules);
absl::Status AttachDeviceProgram(int cgroup_fd, int program_fd);

}  // namespace burstlet::sandbox
