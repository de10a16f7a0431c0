// The child's side of a start: a freshly cloned copy of the warden carries out a plan and becomes the program.
//
// Everything here runs in the child, single-threaded, and ends in exec or in Fail. The order of the process steps is
// fixed here and not by the plan: it is the part where a mistake is a hole.
#pragma once

#include <cstddef>
#include <cstdint>

#include "sandbox/warden/plan.h"
#include "sandbox/warden/warden.h"

namespace burstlet::warden {

/// What a child works with. Descriptors named by the plan are `fds`.
struct Child {
  int status_fd = -1;
  const int* fds = nullptr;
  std::size_t fd_count = 0;
  int null_fd = -1;
  int root_fd = -1;  // the container's root while it is being built
  int proc_fd = -1;  // its procfs
  int standard[3] = {-1, -1, -1};
  bool die_with_warden = false;  // not in a pid namespace whose init the warden is
  bool tty = false;
  std::uint16_t columns = 0;
  std::uint16_t rows = 0;
  int slave_fd = -1;
  /// The pod's user namespace, joined last; -1 = the host's. Until then the child is the host's root, and what it
  /// makes in the file system belongs to the pod's (fsuid).
  int user_namespace_fd = -1;
  std::uint32_t id_base = 0;
  std::uint32_t id_count = 0;
  bool own_mounts = false;  // its mount and cgroup namespaces go to the user namespace too
  StepKind step = StepKind::kNone;
};

/// The process steps of a plan, collected.
struct ProcessPlan {
  static constexpr std::size_t kMaxCgroups = 16;
  static constexpr std::size_t kMaxGroups = 65536;
  std::uint64_t cgroup_fds[kMaxCgroups];
  std::size_t cgroups = 0;
  bool cgroup_namespace = false;
  bool has_user = false;
  std::uint32_t uid = 0;
  std::uint32_t gid = 0;
  std::uint32_t* groups = nullptr;
  std::size_t group_count = 0;
  bool has_capabilities = false;
  std::uint64_t bounding = 0;
  std::uint64_t permitted = 0;
  std::uint64_t ambient = 0;
  bool no_new_privileges = false;
  const char* seccomp = nullptr;
  std::size_t seccomp_size = 0;
  std::uint64_t seccomp_flags = 0;
  const char* app_armor = nullptr;
  bool has_oom_score = false;
  std::int64_t oom_score_adj = 0;
  const char* working_dir = "/";
  char** arguments = nullptr;
  std::size_t argument_count = 0;
  char** environment = nullptr;
  std::size_t environment_count = 0;
};

/// Reports and ends the child.
[[noreturn]] void Fail(const Child& child, int error, const char* format, ...) __attribute__((format(printf, 3, 4)));

/// Maps a plan's memfd; fails the child when it is bad.
PlanReader MapPlan(const Child& child, int plan_fd);
/// Collects the process steps of `plan` into `process`; arguments and environment replace what was there before.
void CollectProcess(const Child& child, PlanReader plan, ProcessPlan& process);

/// From here on files are made in the name of the pod's root (user namespaces only).
void BecomeFileOwner(const Child& child, bool host);
/// Lowers or raises oom_score_adj; by a procfs of its own where `child` has none yet.
void SetOomScore(const Child& child, const ProcessPlan& process);
/// Asks for the AppArmor profile that exec is to give; like the above.
void SetAppArmor(const Child& child, const ProcessPlan& process);
/// Joins the cgroups; before the file system steps, so that what they allocate is the container's.
void EnterCgroups(const Child& child, const ProcessPlan& process);
/// Makes the directory `path` below `base` with all its parents, resolved as RESOLVE_* says; dangling links in it are
/// followed inside `base` (runc and containerd do: /var/run -> /run in images without /run). An O_PATH descriptor or
/// -1.
int MakeDirectories(int base, std::uint64_t resolve, const char* path, unsigned mode);
/// rootfs.cpp: the file system steps, then pivot_root.
void BuildRootfs(Child& child, PlanReader plan);
/// Opens a new pseudo terminal of the devpts at `root`/dev/pts, sends its master to the warden, keeps the slave.
void OpenTerminal(Child& child, int root);
/// Rlimits, session, terminal, identity, seccomp, working directory, exec.
[[noreturn]] void BecomeProgram(Child& child, PlanReader plan, const ProcessPlan& process);

}  // namespace burstlet::warden
