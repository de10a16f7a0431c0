// A child on its way to being the container's program: cgroups, terminal, identity, seccomp, exec.
#include <grp.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/magic.h>
#include <linux/seccomp.h>
#include <linux/securebits.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/sysmacros.h>
#include <csignal>
#include <cstdarg>
#include <cstdio>
#include <cstdlib>

#include "sandbox/os/syscalls.h"
#include "sandbox/warden/child.h"

namespace burstlet::warden {
namespace {

constexpr int kLastKnownCapability = 63;

void SetCapabilities(const Child& child, std::uint64_t permitted, std::uint64_t effective) {
  __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
  __user_cap_data_struct data[2] = {};
  // Nothing is ever inheritable (CVE-2022-29162).
  data[0].permitted = static_cast<std::uint32_t>(permitted);
  data[1].permitted = static_cast<std::uint32_t>(permitted >> 32);
  data[0].effective = static_cast<std::uint32_t>(effective);
  data[1].effective = static_cast<std::uint32_t>(effective >> 32);
  if (::syscall(SYS_capset, &header, data) != 0) Fail(child, errno, "capset");
}

std::uint64_t PermittedNow(const Child& child) {
  __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
  __user_cap_data_struct data[2] = {};
  if (::syscall(SYS_capget, &header, data) != 0) Fail(child, errno, "capget");
  return data[0].permitted | (static_cast<std::uint64_t>(data[1].permitted) << 32);
}

void InstallSeccomp(const Child& child, const ProcessPlan& process) {
  if (process.seccomp == nullptr) return;
  sock_fprog program{};
  program.len = static_cast<unsigned short>(process.seccomp_size / sizeof(sock_filter));
  program.filter = reinterpret_cast<sock_filter*>(const_cast<char*>(process.seccomp));
  if (::syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, process.seccomp_flags, &program) != 0)
    Fail(child, errno, "seccomp filter");
}

/// The order matters: the bounding set shrinks while CAP_SETPCAP is there; ids change while capabilities are kept;
/// without no_new_privs the filter needs CAP_SYS_ADMIN and so comes before the last capset.
void TakeIdentity(const Child& child, const ProcessPlan& process) {
  if (process.has_capabilities) {
    for (int capability = 0; capability <= kLastKnownCapability; ++capability) {
      if ((process.bounding >> capability & 1) != 0) continue;
      if (::prctl(PR_CAPBSET_DROP, capability, 0, 0, 0) != 0) {
        if (errno == EINVAL) break;  // past the kernel's last one
        Fail(child, errno, "drop capability %d", capability);
      }
    }
  }
  if (::prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0) != 0) Fail(child, errno, "keep capabilities");
  if (process.has_user) {
    // The raw calls: libc's versions signal other threads, of which there are none.
    if (::syscall(SYS_setgroups, process.group_count, process.groups) != 0) Fail(child, errno, "setgroups");
    if (::syscall(SYS_setresgid, process.gid, process.gid, process.gid) != 0)
      Fail(child, errno, "setgid %u", process.gid);
    if (::syscall(SYS_setresuid, process.uid, process.uid, process.uid) != 0)
      Fail(child, errno, "setuid %u", process.uid);
  }
  std::uint64_t all = PermittedNow(child);
  SetCapabilities(child, all, all);
  if (process.no_new_privileges && ::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) Fail(child, errno, "no_new_privs");
  InstallSeccomp(child, process);
  if (!process.has_capabilities) return;
  std::uint64_t permitted = process.permitted & all;
  if (process.ambient != 0) {
    // An ambient capability must be inheritable while it is raised.
    __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
    __user_cap_data_struct data[2] = {};
    for (int word = 0; word < 2; ++word) {
      data[word].permitted = static_cast<std::uint32_t>(permitted >> (32 * word));
      data[word].effective = data[word].permitted;
      data[word].inheritable = static_cast<std::uint32_t>((process.ambient & permitted) >> (32 * word));
    }
    if (::syscall(SYS_capset, &header, data) != 0) Fail(child, errno, "capset");
    for (int capability = 0; capability <= kLastKnownCapability; ++capability) {
      if ((process.ambient >> capability & 1) != 0 &&
          ::prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, capability, 0, 0) != 0)
        Fail(child, errno, "ambient capability %d", capability);
    }
    return;
  }
  SetCapabilities(child, permitted, permitted);
}

void SetRlimits(const Child& child, PlanReader plan) {
  StepKind kind;
  FieldReader fields;
  while (plan.Next(kind, fields)) {
    if (kind != StepKind::kRlimit) continue;
    int resource = static_cast<int>(fields.Number());
    rlimit limit{};
    limit.rlim_cur = fields.Number();
    limit.rlim_max = fields.Number();
    // Raising needs CAP_SYS_RESOURCE; without it the limit stays as it is.
    if (!fields.ok() ||
        (::prlimit(0, static_cast<__rlimit_resource>(resource), &limit, nullptr) != 0 && errno != EPERM))
      Fail(child, fields.ok() ? errno : EBADMSG, "rlimit %d", resource);
  }
}

void TakeStandardStreams(const Child& child) {
  for (int i = 0; i < 3; ++i) {
    int from = child.tty ? child.slave_fd : child.standard[i];
    if (from < 0) from = child.null_fd;
    if (::dup2(from, i) < 0) Fail(child, errno, "standard streams");
  }
}

/// Makes and enters the working directory. Magic links (/proc/1/root, /proc/self/fd/N) are refused by the kernel: with
/// the rights of this moment they would lead to other roots (CVE-2024-21626).
void EnterWorkingDirectory(const Child& child, const char* path) {
  int root = ::open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
  int directory = MakeDirectories(root, RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS, path, 0755);
  if (directory < 0 || ::fchdir(directory) != 0) Fail(child, errno, "working directory \"%s\"", path);
  ::close(directory);
  ::close(root);
  // A directory outside the root gives no absolute path.
  char where[4097];
  long length = ::syscall(SYS_getcwd, where, sizeof(where));
  if (length <= 0 || where[0] != '/') Fail(child, EPERM, "working directory \"%s\" is outside the container", path);
}

const char* FindEnvironment(const ProcessPlan& process, const char* name) {
  std::size_t length = std::strlen(name);
  for (std::size_t i = 0; i < process.environment_count; ++i) {
    const char* entry = process.environment[i];
    if (std::strncmp(entry, name, length) == 0 && entry[length] == '=') return entry + length + 1;
  }
  return nullptr;
}

[[noreturn]] void Execute(const Child& child, const ProcessPlan& process) {
  const char* program = process.arguments[0];
  if (std::strchr(program, '/') != nullptr) {
    ::execve(program, process.arguments, process.environment);
    if (errno == ENOENT) Fail(child, errno, "exec: \"%s\": stat %s: no such file or directory", program, program);
    if (errno == EACCES) Fail(child, errno, "exec: \"%s\": permission denied", program);
    Fail(child, errno, "exec %s: %s", program, strerror(errno));
  }
  const char* path = FindEnvironment(process, "PATH");
  int found = ENOENT;
  char full[4096];
  while (path != nullptr && program[0] != 0) {
    const char* colon = std::strchr(path, ':');
    int length = colon != nullptr ? static_cast<int>(colon - path) : static_cast<int>(std::strlen(path));
    int size = std::snprintf(full, sizeof(full), "%.*s%s%s", length, path, length > 0 ? "/" : "./", program);
    if (size < static_cast<int>(sizeof(full))) {
      ::execve(full, process.arguments, process.environment);
      if (errno != ENOENT && errno != ENOTDIR && errno != ELOOP && errno != ENAMETOOLONG) {
        if (errno != EACCES) Fail(child, errno, "exec %s: %s", full, strerror(errno));
        struct stat status;
        if (::stat(full, &status) == 0 && S_ISREG(status.st_mode)) found = EACCES;
      }
    }
    path = colon != nullptr ? colon + 1 : nullptr;
  }
  if (found == EACCES) Fail(child, found, "exec: \"%s\": permission denied", program);
  Fail(child, found, "exec: \"%s\": executable file not found in $PATH", program);
}

}  // namespace

void Fail(const Child& child, int error, const char* format, ...) {
  StatusReport report;
  report.kind = StatusReport::kFailed;
  report.error = error != 0 ? error : EIO;
  report.step = static_cast<std::uint32_t>(child.step);
  va_list arguments;
  va_start(arguments, format);
  int size = std::vsnprintf(report.text, sizeof(report.text), format, arguments);
  va_end(arguments);
  if (child.step != StepKind::kArgument && size >= 0 && static_cast<std::size_t>(size) + 3 < sizeof(report.text))
    std::snprintf(report.text + size, sizeof(report.text) - static_cast<std::size_t>(size), ": %s",
                  strerror(report.error));
  SendBytes(child.status_fd, &report, sizeof(report));
  ::_exit(127);
}

PlanReader MapPlan(const Child& child, int plan_fd) {
  struct stat status;
  if (::fstat(plan_fd, &status) != 0) Fail(child, errno, "plan");
  if (status.st_size <= 0 || static_cast<std::size_t>(status.st_size) > kMaxPlanBytes) Fail(child, EMSGSIZE, "plan");
  void* data =
      ::mmap(nullptr, static_cast<std::size_t>(status.st_size), PROT_READ | PROT_WRITE, MAP_PRIVATE, plan_fd, 0);
  if (data == MAP_FAILED) Fail(child, errno, "plan");
  return PlanReader(data, static_cast<std::size_t>(status.st_size));
}

namespace {

/// Appends to a NULL-terminated pointer array.
void Append(const Child& child, char**& list, std::size_t& count, const char* text) {
  if ((count & (count - 1)) == 0 || list == nullptr) {
    std::size_t capacity = count < 8 ? 16 : count * 2 + 1;
    list = static_cast<char**>(realloc(list, (capacity + 1) * sizeof(char*)));
    if (list == nullptr) Fail(child, ENOMEM, "arguments");
  }
  list[count++] = const_cast<char*>(text);
  list[count] = nullptr;
}

void CollectUser(const Child& child, FieldReader& fields, ProcessPlan& process) {
  process.has_user = true;
  process.uid = static_cast<std::uint32_t>(fields.Number());
  process.gid = static_cast<std::uint32_t>(fields.Number());
  std::uint64_t count = fields.Number();
  if (!fields.ok() || count > ProcessPlan::kMaxGroups) Fail(child, EBADMSG, "plan: groups");
  process.groups = static_cast<std::uint32_t*>(calloc(count + 1, sizeof(std::uint32_t)));
  if (process.groups == nullptr) Fail(child, ENOMEM, "groups");
  for (std::uint64_t i = 0; i < count; ++i) process.groups[i] = static_cast<std::uint32_t>(fields.Number());
  process.group_count = count;
}

void CollectStep(const Child& child, StepKind kind, FieldReader& fields, ProcessPlan& process) {
  switch (kind) {
    case StepKind::kCgroup:
      if (process.cgroups == ProcessPlan::kMaxCgroups) Fail(child, E2BIG, "plan: cgroups");
      process.cgroup_fds[process.cgroups++] = fields.Number();
      break;
    case StepKind::kCgroupNamespace:
      process.cgroup_namespace = true;
      break;
    case StepKind::kUser:
      CollectUser(child, fields, process);
      break;
    case StepKind::kCapabilities:
      process.has_capabilities = true;
      process.bounding = fields.Number();
      process.permitted = fields.Number();
      process.ambient = fields.Number();
      break;
    case StepKind::kNoNewPrivileges:
      process.no_new_privileges = true;
      break;
    case StepKind::kSeccomp:
      process.seccomp = fields.Text(&process.seccomp_size);
      break;
    case StepKind::kSeccompFlags:
      process.seccomp_flags = fields.Number();
      break;
    case StepKind::kAppArmor:
      process.app_armor = fields.Text();
      break;
    case StepKind::kOomScoreAdj:
      process.has_oom_score = true;
      process.oom_score_adj = static_cast<std::int64_t>(fields.Number());
      break;
    case StepKind::kWorkingDir:
      process.working_dir = fields.Text();
      break;
    case StepKind::kArgument:
      Append(child, process.arguments, process.argument_count, fields.Text());
      break;
    case StepKind::kEnvironment:
      Append(child, process.environment, process.environment_count, fields.Text());
      break;
    default:
      break;
  }
  if (!fields.ok()) Fail(child, EBADMSG, "plan");
}

}  // namespace

void CollectProcess(const Child& child, PlanReader plan, ProcessPlan& process) {
  StepKind kind;
  FieldReader fields;
  std::size_t arguments = process.argument_count;
  std::size_t environment = process.environment_count;
  bool new_arguments = false;
  bool new_environment = false;
  while (plan.Next(kind, fields)) {
    // A command's plan comes after its container's: what it brings replaces the container's own.
    if (kind == StepKind::kArgument && !new_arguments && arguments > 0) process.argument_count = 0;
    if (kind == StepKind::kEnvironment && !new_environment && environment > 0) process.environment_count = 0;
    new_arguments = new_arguments || kind == StepKind::kArgument;
    new_environment = new_environment || kind == StepKind::kEnvironment;
    CollectStep(child, kind, fields, process);
  }
  if (!plan.ok()) Fail(child, EBADMSG, "plan");
}

void EnterCgroups(const Child& child, const ProcessPlan& process) {
  for (std::size_t i = 0; i < process.cgroups; ++i) {
    if (process.cgroup_fds[i] >= child.fd_count) Fail(child, EBADMSG, "plan: cgroup");
    if (::write(child.fds[process.cgroup_fds[i]], "0", 1) != 1) Fail(child, errno, "join cgroup");
  }
  if (process.cgroup_namespace && ::unshare(CLONE_NEWCGROUP) != 0) Fail(child, errno, "cgroup namespace");
}

void OpenTerminal(Child& child, int root) {
  // The container's own devpts and nothing that a link could put in its place (CVE-2025-52565).
  int master = sandbox::OpenAt2(root, "dev/pts/ptmx", O_RDWR | O_NOCTTY, RESOLVE_IN_ROOT | RESOLVE_NO_SYMLINKS);
  if (master < 0) Fail(child, errno, "open /dev/pts/ptmx");
  struct statfs file_system;
  struct stat status;
  if (::fstatfs(master, &file_system) != 0 || file_system.f_type != DEVPTS_SUPER_MAGIC ||
      ::fstat(master, &status) != 0 || status.st_rdev != makedev(5, 2))
    Fail(child, EINVAL, "/dev/pts/ptmx is not a terminal multiplexer");
  int unlocked = 0;
  if (::ioctl(master, TIOCSPTLCK, &unlocked) != 0) Fail(child, errno, "unlock terminal");
  child.slave_fd = ::ioctl(master, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC);
  if (child.slave_fd < 0) Fail(child, errno, "open terminal");
  if (child.columns != 0 || child.rows != 0) {
    winsize size{};
    size.ws_col = child.columns;
    size.ws_row = child.rows;
    ::ioctl(master, TIOCSWINSZ, &size);
  }
  StatusReport report;
  report.kind = StatusReport::kMaster;
  if (SendBytes(child.status_fd, &report, sizeof(report), &master, 1) < 0) Fail(child, errno, "hand over terminal");
  ::close(master);
}

namespace {

/// A file of this process in a procfs that nobody else has touched (CVE-2025-52881); -1 with errno.
int OpenOwnFile(const Child& child, const char* path) {
  int proc = child.proc_fd;
  if (proc < 0) {
    int fs = ::fsopen("proc", FSOPEN_CLOEXEC);
    if (fs < 0 || ::fsconfig(fs, FSCONFIG_CMD_CREATE, nullptr, nullptr, 0) != 0) return -1;
    proc = ::fsmount(fs, FSMOUNT_CLOEXEC, 0);
  }
  return sandbox::OpenAt2(proc, path, O_WRONLY, RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS);
}

}  // namespace

void SetOomScore(const Child& child, const ProcessPlan& process) {
  if (!process.has_oom_score) return;
  int file = OpenOwnFile(child, "self/oom_score_adj");
  if (file < 0) return;
  char text[16];
  int size = std::snprintf(text, sizeof(text), "%lld", static_cast<long long>(process.oom_score_adj));
  // Lowering it needs CAP_SYS_RESOURCE, which nested hosts lack: going on is better than not running.
  ssize_t written = ::write(file, text, static_cast<std::size_t>(size));
  if (written < 0 && errno != EPERM && errno != EACCES) Fail(child, errno, "oom_score_adj");
  ::close(file);
}

void SetAppArmor(const Child& child, const ProcessPlan& process) {
  if (process.app_armor == nullptr) return;
  // Kernels from 5.8 on have a file of AppArmor's own beside the one that security modules share.
  int file = OpenOwnFile(child, "self/attr/apparmor/exec");
  if (file < 0) file = OpenOwnFile(child, "self/attr/exec");
  char text[512];
  int size = std::snprintf(text, sizeof(text), "exec %s", process.app_armor);
  if (file < 0 || size >= static_cast<int>(sizeof(text)) || ::write(file, text, static_cast<std::size_t>(size)) != size)
    Fail(child, file < 0 || errno == 0 ? ENOENT : errno, "AppArmor profile \"%s\"", process.app_armor);
  ::close(file);
}

void BecomeFileOwner(const Child& child, bool host) {
  if (child.user_namespace_fd < 0) return;
  // Without the fix-up the capabilities stay that a change of fsuid takes away: device nodes are made by this child.
  if (::prctl(PR_SET_SECUREBITS, SECBIT_NO_SETUID_FIXUP, 0, 0, 0) != 0) Fail(child, errno, "secure bits");
  const std::uint32_t id = host ? 0 : child.id_base;
  ::syscall(SYS_setfsgid, id);
  ::syscall(SYS_setfsuid, id);
  if (::syscall(SYS_setfsuid, -1) != static_cast<long>(id)) Fail(child, EPERM, "file owner %u", id);
}

namespace {

/// The host's id for one of the pod's; what the pod has none for stays, and fails when the program is to have it.
std::uint32_t HostId(const Child& child, std::uint32_t id) {
  return child.user_namespace_fd >= 0 && id < child.id_count ? child.id_base + id : id;
}

/// The end of the host's root: from here on the child is the pod's, with all capabilities there and none outside.
void EnterUserNamespace(const Child& child) {
  if (child.user_namespace_fd < 0) return;
  if (::setns(child.user_namespace_fd, CLONE_NEWUSER) != 0) Fail(child, errno, "enter the user namespace");
  if (::syscall(SYS_setgroups, 0, nullptr) != 0 || ::syscall(SYS_setresgid, 0, 0, 0) != 0 ||
      ::syscall(SYS_setresuid, 0, 0, 0) != 0)
    Fail(child, errno, "root of the user namespace");
  // Mounts that were made outside become one locked whole: none of them can be taken away to see what is below.
  if (child.own_mounts && ::unshare(CLONE_NEWNS | CLONE_NEWCGROUP) != 0) Fail(child, errno, "mount namespace");
}

/// Who runs must be able to open its terminal or pipes again (nginx logs to /dev/stdout), as runc does.
void OwnStandardStreams(const Child& child, const ProcessPlan& process) {
  if (!process.has_user) return;
  const std::uint32_t uid = HostId(child, process.uid);
  if (child.tty) {
    if (::fchown(0, uid, static_cast<gid_t>(-1)) != 0 && errno != EPERM) Fail(child, errno, "terminal's owner");
    return;
  }
  if (uid == 0) return;
  for (int i = 0; i < 3; ++i) {
    struct stat status;
    if (::fstat(i, &status) == 0 && S_ISFIFO(status.st_mode)) (void)!::fchown(i, uid, HostId(child, process.gid));
  }
}

}  // namespace

void BecomeProgram(Child& child, PlanReader plan, const ProcessPlan& process) {
  child.step = StepKind::kWorkingDir;
  if (process.argument_count == 0) Fail(child, EINVAL, "no command");
  ::setsid();
  TakeStandardStreams(child);
  OwnStandardStreams(child, process);
  if (child.tty && ::ioctl(0, TIOCSCTTY, 0) != 0) Fail(child, errno, "controlling terminal");
  // Only the status socket (and the user namespace) stays: no directory of the host may be open when the working
  // directory is entered.
  int status = ::dup2(child.status_fd, 3) == 3 ? 3 : -1;
  if (status != 3 || ::fcntl(3, F_SETFD, FD_CLOEXEC) != 0) Fail(child, errno, "status socket");
  child.status_fd = 3;
  if (child.user_namespace_fd >= 0) child.user_namespace_fd = ::dup2(child.user_namespace_fd, 4);
  ::close_range(child.user_namespace_fd >= 0 ? 5 : 4, ~0u, 0);
  SetRlimits(child, plan);
  EnterUserNamespace(child);
  ::close(4);
  EnterWorkingDirectory(child, process.working_dir);
  child.step = StepKind::kCapabilities;
  for (int number = 1; number < NSIG; ++number) {
    if (number != SIGKILL && number != SIGSTOP) ::signal(number, SIG_DFL);
  }
  ::umask(022);
  TakeIdentity(child, process);
  // After the last change of credentials, which would forget it.
  if (child.die_with_warden) ::prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
  StatusReport report;
  report.kind = StatusReport::kExecuting;
  SendBytes(child.status_fd, &report, sizeof(report));
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, nullptr);
  child.step = StepKind::kArgument;
  Execute(child, process);
}

}  // namespace burstlet::warden
