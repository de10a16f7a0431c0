// The one place where the agent starts processes: clone3 with CLONE_VM | CLONE_VFORK, then exec. Never fork: copying
// the page tables of a big agent costs milliseconds per start.
//
// Threads: any. The caller sleeps until the child has exec'ed, which is what CLONE_VFORK means. Failure: the errno of
// the clone or of the exec.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "sandbox/os/unique_fd.h"

namespace burstlet::sandbox {

struct SubprocessSpec {
  std::string path;     // absolute; unused with program_fd
  int program_fd = -1;  // executed instead of path
  std::vector<std::string> args;
  std::vector<std::string> env;
  /// Child's descriptor number <- ours. 0, 1 and 2 that are not named become /dev/null; all others are closed.
  std::vector<std::pair<int, int>> fds;
  std::uint64_t clone_flags = 0;  // CLONE_NEW*
  int cgroup_fd = -1;             // v2: born into this cgroup
  bool new_session = true;
};

struct Subprocess {
  pid_t pid = 0;
  UniqueFd pidfd;
};

/// Starts a program; the caller reaps it (waitid(P_PIDFD) once pidfd is readable).
absl::StatusOr<Subprocess> Spawn(const SubprocessSpec& spec);

}  // namespace burstlet::sandbox
