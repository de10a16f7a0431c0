// The pod's namespaces and the warden's private root: a tmpfs that holds the pod's volumes and nothing of the host.
#include <sched.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <cstdio>
#include <cstdlib>

#include "sandbox/os/syscalls.h"
#include "sandbox/warden/plan.h"
#include "sandbox/warden/warden.h"

namespace burstlet::warden {
namespace {

using sandbox::MoveMountTo;

int NewTmpfs(const char* size, const char* mode, unsigned attributes) {
  int fs = ::fsopen("tmpfs", FSOPEN_CLOEXEC);
  if (fs < 0) return -1;
  int mounted = -1;
  if ((size == nullptr || ::fsconfig(fs, FSCONFIG_SET_STRING, "size", size, 0) == 0) &&
      ::fsconfig(fs, FSCONFIG_SET_STRING, "mode", mode, 0) == 0 &&
      ::fsconfig(fs, FSCONFIG_CMD_CREATE, nullptr, nullptr, 0) == 0) {
    mounted = ::fsmount(fs, FSMOUNT_CLOEXEC, attributes);
  }
  ::close(fs);
  return mounted;
}

/// Writes below a procfs of our own, which nothing in the pod can have mounted over (CVE-2025-52881).
int WriteSysctl(const char* path, const char* value) {
  int fs = ::fsopen("proc", FSOPEN_CLOEXEC);
  if (fs < 0) return -1;
  int proc = -1;
  if (::fsconfig(fs, FSCONFIG_CMD_CREATE, nullptr, nullptr, 0) == 0) proc = ::fsmount(fs, FSMOUNT_CLOEXEC, 0);
  ::close(fs);
  if (proc < 0) return -1;
  char full[256];
  std::snprintf(full, sizeof(full), "sys/%s", path);
  int file = sandbox::OpenAt2(proc, full, O_WRONLY, RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS);
  ::close(proc);
  if (file < 0) return -1;
  std::size_t size = std::strlen(value);
  ssize_t written = ::write(file, value, size);
  ::close(file);
  if (written != static_cast<ssize_t>(size)) return -1;
  return 0;
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

int MakeShm(std::uint64_t bytes) {
  char size[24];
  std::snprintf(size, sizeof(size), "%llu", static_cast<unsigned long long>(bytes));
  int mounted = NewTmpfs(size, "1777", MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC);
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
      return fields.ok() ? WriteSysctl(path, value) : -1;
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
      return fields.ok() ? MakeShm(bytes) : -1;
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
