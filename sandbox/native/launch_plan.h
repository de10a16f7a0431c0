// Compiles a container into the plan that its warden carries out (sandbox/warden/plan.h): everything decided here,
// nothing decided there.
//
// Owner: NativeSandbox. Threads: any. CompileLaunch opens what the plan names by descriptor (mounts, cgroup files);
// the rest is pure. Failure: reason CreateContainerError.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "sandbox/native/plan_writer.h"
#include "sandbox/native/seccomp.h"
#include "sandbox/native/user_lookup.h"
#include "sandbox/os/device_filter.h"
#include "sandbox/os/unique_fd.h"
#include "sandbox/spec.h"

namespace burstlet::sandbox {

/// Bytes and, in the order the plan names them, descriptors.
struct LaunchPlan {
  std::string bytes;
  std::vector<UniqueFd> fds;
};

/// What a container's plan is made from.
struct LaunchInput {
  const SandboxSpec* sandbox = nullptr;
  const ContainerSpec* container = nullptr;
  ResolvedUser user;
  UniqueFd rootfs;
  std::vector<UniqueFd> cgroup_procs;
  std::vector<std::string> v1_mounts;  // empty on version 2
  SeccompFilter seccomp;
  std::string scratch_dir;  // as in OverlaySpec
  int user_namespace = -1;  // likewise
};

absl::StatusOr<LaunchPlan> CompileLaunch(LaunchInput input);

/// The device rules of a container: the default list and its own devices; everything for a privileged one.
absl::StatusOr<std::vector<DeviceRule>> ContainerDeviceRules(const ContainerSpec& container);

/// The plan of a command inside a running container (exec).
LaunchPlan CompileExec(const std::vector<std::string>& args, const std::vector<std::string>& env,
                       std::vector<UniqueFd> cgroup_procs);

/// What a restarted agent needs of a running container's plan.
struct LaunchSummary {
  std::string log_path;
  std::string pid_target;
  std::int64_t uid = 0;
  std::int64_t gid = 0;
  std::vector<std::int64_t> groups;
};
absl::StatusOr<LaunchSummary> Summarize(const std::string& plan);

}  // namespace burstlet::sandbox
