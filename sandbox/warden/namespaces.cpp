// The pod's namespaces and the warden's private root: a tmpfs that holds the pod's volumes and nothing of the host.
#include <linux/securebits.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <cstdio>
#include <cstdlib>

#include "sandbox/os/syscalls.h"
#include "sandbox/warden/plan.h"
#include "sandbox/warden/warden.h"

namespace burstlet::warden {
namespace {

using sandbox::MoveMountTo;

int NewTmpfs(const char* size, const char* mode, unsigned attributes, std::uint32_t owner = 0) {
  int fs = ::fsopen("tmpfs", FSOPEN_CLOEXEC);
  if (fs < 0) return -1;
  int mounted = -1;
  char id[16];
  std::snprintf(id, sizeof(id), "%u", owner);
  if ((size == nullptr || ::fsconfig(fs, FSCONFIG_SET_STRING, "size", size, 0) == 0) &&
      ::fsconfig(fs, FSCONFIG_SET_STRING, "mode", mode, 0) == 0 &&
      (owner == 0 || (::fsconfig(fs, FSCONFIG_SET_STRING, "uid", id, 0) == 0 &&
                      ::fsconfig(fs, FSCONFIG_SET_STRING, "gid", id, 0) == 0)) &&
      ::fsconfig(fs, FSCONFIG_CMD_CREATE, nullptr, nullptr, 0) == 0) {
    mounted = ::fsmount(fs, FSMOUNT_CLOEXEC, attributes);
  }
  ::close(fs);
  return mounted;
}

/// A procfs of our own, which nothing in the pod can have mounted over (CVE-2025-52881).
int NewProc() {
  int fs = ::fsopen("proc", FSOPEN_CLOEXEC);
  if (fs < 0) return -1;
  int proc = -1;
  if (::fsconfig(fs, FSCONFIG_CMD_CREATE, nullptr, nullptr, 0) == 0) proc = ::fsmount(fs, FSMOUNT_CLOEXEC, 0);
  ::close(fs);
  return proc;
}

int WriteSysctlOf(int proc, const char* path, const char* value) {
  char full[256];
  std::snprintf(full, sizeof(full), "sys/%s", path);
  int file = sandbox::OpenAt2(proc, full, O_WRONLY, RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS);
  if (file < 0) return -1;
  std::size_t size = std::strlen(value);
  ssize_t written = ::write(file, value, size);
  ::close(file);
  if (written != static_cast<ssize_t>(size)) return -1;
  return 0;
}

int WriteSysctl(const char* path, const char* value) {
  int proc = NewProc();
  if (proc < 0) return -1;
  int result = WriteSysctlOf(proc, path, value);
  int error = errno;
  ::close(proc);
  errno = error;
  return result;
}

/// The limits of a user namespace are seen from within it alone: anywhere else the same path is another's.
int WriteUserSysctl(const Warden& warden, const char* path, const char* value) {
  if (warden.user_namespace_fd < 0) {
    errno = EPERM;
    return -1;
  }
  int proc = NewProc();
  if (proc < 0) return -1;
  int pidfd = -1;
  pid_t pid = sandbox::CloneFork(0, &pidfd);
  if (pid == 0) {
    if (::setns(warden.user_namespace_fd, CLONE_NEWUSER) != 0 || WriteSysctlOf(proc, path, value) != 0) ::_exit(errno);
    ::_exit(0);
  }
  int error = errno;
  CloseFd(proc);
  CloseFd(pidfd);
  int status = 0;
  if (pid > 0 && ::waitpid(pid, &status, 0) == pid) error = WIFEXITED(status) ? WEXITSTATUS(status) : EINTR;
  errno = error;
  return error == 0 ? 0 : -1;
}

/// The settings of an ipc namespace are its root's, whatever capabilities others have.
int WriteSysctlAsPod(const Warden& warden, const char* path, const char* value) {
  if (std::strncmp(path, "user/", 5) == 0) return WriteUserSysctl(warden, path, value);
  if (warden.user_namespace_fd < 0) return WriteSysctl(path, value);
  ::prctl(PR_SET_SECUREBITS, SECBIT_NO_SETUID_FIXUP, 0, 0, 0);
  ::syscall(SYS_setresuid, -1, warden.id_base, -1);
  int result = WriteSysctl(path, value);
  int error = errno;
  ::syscall(SYS_setresuid, -1, 0, -1);
  ::prctl(PR_SET_SECUREBITS, 0, 0, 0, 0);
  errno = error;
  return result;
}

int WriteAll(int directory, pid_t pid, const char* name, const char* text) {
  char path[48];
  std::snprintf(path, sizeof(path), "%d/%s", pid, name);
  int file = ::openat(directory, path, O_WRONLY | O_CLOEXEC);
  if (file < 0) return -1;
  ssize_t size = static_cast<ssize_t>(std::strlen(text));
  int result = ::write(file, text, static_cast<std::size_t>(size)) == size ? 0 : -1;
  int error = errno;
  ::close(file);
  errno = error;
  return result;
}

/// The child that makes the pod's namespaces from within its user namespace, and lives until they have been taken.
[[noreturn]] void HoldNamespaces(int socket, int flags) {
  char word = 0;
  if (::read(socket, &word, 1) != 1) ::_exit(1);
  if (::syscall(SYS_setgroups, 0, nullptr) != 0 || ::syscall(SYS_setresgid, 0, 0, 0) != 0 ||
      ::syscall(SYS_setresuid, 0, 0, 0) != 0 || ::unshare(flags) != 0)
    ::_exit(1);
  if (::write(socket, &word, 1) == 1) (void)!::read(socket, &word, 1);
  ::_exit(0);
}

/// A namespace belongs to the user namespace that its maker was in. The warden stays the host's root, so a child makes
/// them and the warden enters: what the pod's CAP_NET_ADMIN may do in its network namespace depends on it.
const char* MakeUserNamespace(Warden& warden, int flags) {
  int pair[2];
  if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) != 0) return "socketpair";
  int pidfd = -1;
  pid_t pid = sandbox::CloneFork(CLONE_NEWUSER, &pidfd);
  if (pid == 0) {
    ::close(pair[0]);
    HoldNamespaces(pair[1], flags);
  }
  ::close(pair[1]);
  const char* failed = pid < 0 ? "user namespace" : nullptr;
  int proc = failed == nullptr ? NewProc() : -1;
  char map[40];
  std::snprintf(map, sizeof(map), "0 %u %u", warden.id_base, warden.id_count);
  char word = 0;
  char path[32];
  std::snprintf(path, sizeof(path), "%d/ns/user", pid);
  if (failed == nullptr && (proc < 0 || WriteAll(proc, pid, "uid_map", map) != 0)) failed = "uid_map";
  if (failed == nullptr && WriteAll(proc, pid, "gid_map", map) != 0) failed = "gid_map";
  if (failed == nullptr && (::write(pair[0], &word, 1) != 1 || ::read(pair[0], &word, 1) != 1))
    failed = "namespaces of the user namespace";
  if (failed == nullptr) {
    warden.user_namespace_fd = ::openat(proc, path, O_RDONLY | O_CLOEXEC);
    if (warden.user_namespace_fd < 0) failed = "user namespace";
  }
  if (failed == nullptr && ::setns(pidfd, flags) != 0) failed = "enter namespaces";
  int error = errno;
  CloseFd(pair[0]);
  CloseFd(proc);
  CloseFd(pidfd);
  if (pid > 0) ::waitpid(pid, nullptr, 0);
  errno = error;
  return failed;
}

int NewMqueue() {
  int fs = ::fsopen("mqueue", FSOPEN_CLOEXEC);
  if (fs < 0) return -1;
  int mounted = ::fsconfig(fs, FSCONFIG_CMD_CREATE, nullptr, nullptr, 0) == 0
                    ? ::fsmount(fs, FSMOUNT_CLOEXEC, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC)
                    : -1;
  ::close(fs);
  return mounted;
}

int AttachVolume(Warden& warden, int mount_fd) {
  struct stat status;
  if (::fstat(mount_fd, &status) != 0) return -1;
  char path[32];
  std::snprintf(path, sizeof(path), "/vol/%u", warden.volumes);
  int target;
  if (S_ISDIR(status.st_mode)) {
    if (::mkdir(path, 0700) != 0) return -1;
    target = ::open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
  } else {
    target = ::open(path, O_CREAT | O_EXCL | O_RDONLY | O_CLOEXEC, 0600);
  }
  if (target < 0) return -1;
  int moved = MoveMountTo(mount_fd, target);
  int error = errno;
  ::close(target);
  errno = error;
  if (moved == 0) ++warden.volumes;
  return moved;
}

int MakeShm(std::uint64_t bytes, std::uint32_t owner) {
  char size[24];
  std::snprintf(size, sizeof(size), "%llu", static_cast<unsigned long long>(bytes));
  int mounted = NewTmpfs(size, "1777", MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC, owner);
  if (mounted < 0) return -1;
  int result = -1;
  int target = ::open("/shm", O_PATH | O_DIRECTORY | O_CLOEXEC);
  if (target >= 0) {
    result = MoveMountTo(mounted, target);
    ::close(target);
  }
  ::close(mounted);
  return result;
}

int CarryOut(Warden& warden, StepKind kind, FieldReader& fields, FdList& fds) {
  std::size_t size = 0;
  switch (kind) {
    case StepKind::kHostname: {
      const char* name = fields.Text(&size);
      return fields.ok() ? ::sethostname(name, size) : -1;
    }
    case StepKind::kDomainname: {
      const char* name = fields.Text(&size);
      return fields.ok() ? ::setdomainname(name, size) : -1;
    }
    case StepKind::kSysctl: {
      const char* path = fields.Text();
      const char* value = fields.Text();
      return fields.ok() ? WriteSysctlAsPod(warden, path, value) : -1;
    }
    case StepKind::kVolume: {
      std::uint64_t index = fields.Number();
      if (!fields.ok()) return -1;
      // The pod's message queues belong to its ipc namespace, which only the warden is in.
      if (index != kMqueueVolume) return AttachVolume(warden, fds.Get(index));
      int queues = NewMqueue();
      int attached = queues < 0 ? -1 : AttachVolume(warden, queues);
      CloseFd(queues);
      return attached;
    }
    case StepKind::kShm: {
      std::uint64_t bytes = fields.Number();
      return fields.ok() ? MakeShm(bytes, warden.id_base) : -1;
    }
    default:
      errno = EINVAL;
      return -1;
  }
}

void FailSetup(Reply& reply, StepKind kind, int error, const char* what) {
  reply.error = error != 0 ? error : EINVAL;
  reply.step = static_cast<std::uint32_t>(kind);
  std::snprintf(reply.text, sizeof(reply.text), "%s: %s", what, strerror(reply.error));
}

}  // namespace

const char* EnterNamespaces(Warden& warden) {
  int flags = CLONE_NEWNS;
  if ((warden.spawn_flags & kNewNet) != 0) flags |= CLONE_NEWNET;
  if ((warden.spawn_flags & kNewIpc) != 0) flags |= CLONE_NEWIPC;
  if ((warden.spawn_flags & kNewUts) != 0) flags |= CLONE_NEWUTS;
  warden.self_pidns_fd = ::open("/proc/self/ns/pid", O_RDONLY | O_CLOEXEC);
  if ((warden.spawn_flags & kNewUser) != 0) {
    const char* failed = MakeUserNamespace(warden, flags & ~CLONE_NEWNS);
    if (failed != nullptr) return failed;
    flags = CLONE_NEWNS;
  }
  if (::unshare(flags) != 0) return "unshare";
  if (::mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0) return "make / private";
  int root = NewTmpfs("1m", "755", MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC);
  if (root < 0) return "tmpfs";
  // Any directory will do as the place to stand on: the pivot takes the host's tree away with it.
  int place = ::open("/proc", O_PATH | O_DIRECTORY | O_CLOEXEC);
  if (place < 0 || MoveMountTo(root, place) != 0) return "attach root";
  ::close(place);
  if (::fchdir(root) != 0) return "fchdir";
  ::close(root);
  if (::syscall(SYS_pivot_root, ".", ".") != 0) return "pivot_root";
  if (::umount2(".", MNT_DETACH) != 0) return "leave the host's mounts";
  if (::chdir("/") != 0) return "chdir";
  if (::mkdir("/vol", 0700) != 0 || ::mkdir("/shm", 0700) != 0 || ::mkdir("/root", 0700) != 0) return "mkdir";
  if (::mknod("/null", S_IFCHR | 0666, makedev(1, 3)) != 0) return "mknod";
  ::chmod("/null", 0666);
  warden.null_fd = ::open("/null", O_RDWR | O_CLOEXEC);
  return warden.null_fd < 0 ? "open /null" : nullptr;
}

void SetUpSandbox(Warden& warden, FdList& fds, Reply& reply) {
  if (warden.ready || fds.size() < 3) return FailSetup(reply, StepKind::kNone, EINVAL, "set-up of the sandbox");
  int plan_fd = fds.Get(0);
  struct stat status;
  if (::fstat(plan_fd, &status) != 0 || status.st_size < 0 || static_cast<std::size_t>(status.st_size) > kMaxPlanBytes)
    return FailSetup(reply, StepKind::kNone, EMSGSIZE, "plan");
  std::size_t size = static_cast<std::size_t>(status.st_size);
  void* data = nullptr;
  if (size > 0) {
    data = ::mmap(nullptr, size, PROT_READ, MAP_PRIVATE, plan_fd, 0);
    if (data == MAP_FAILED) return FailSetup(reply, StepKind::kNone, errno, "plan");
  }
  PlanReader plan(data, size);
  StepKind kind = StepKind::kNone;
  FieldReader fields;
  while (reply.error == 0 && plan.Next(kind, fields)) {
    errno = 0;
    if (CarryOut(warden, kind, fields, fds) == 0) continue;
    int error = errno;
    const char* what = "set-up step";
    if (kind == StepKind::kSysctl) what = "sysctl";
    if (kind == StepKind::kVolume) what = "volume";
    if (kind == StepKind::kHostname || kind == StepKind::kDomainname) what = "host name";
    if (kind == StepKind::kShm) what = "/dev/shm";
    FailSetup(reply, kind, error, what);
  }
  if (data != nullptr) ::munmap(data, size);
  if (reply.error != 0) return;
  if (!plan.ok()) return FailSetup(reply, StepKind::kNone, EBADMSG, "plan");
  warden.listen_fd = fds.Take(1);
  warden.events_fd = fds.Take(2);
  // listen() is called here, so that SO_PEERCRED of who connects later names this process.
  if (::listen(warden.listen_fd, 8) != 0) return FailSetup(reply, StepKind::kNone, errno, "listen");
  warden.ready = true;
}

}  // namespace burstlet::warden
