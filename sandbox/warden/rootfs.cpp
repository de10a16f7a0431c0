// Builds a container's file system in its own mount namespace. Every path is resolved inside the new root by the
// kernel (RESOLVE_IN_ROOT) and every mount goes to a descriptor, so nothing an image holds can point outside.
#include <linux/magic.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/sysmacros.h>
#include <cstdio>
#include <cstdlib>

#include "sandbox/os/syscalls.h"
#include "sandbox/warden/child.h"

namespace burstlet::warden {
namespace {

using sandbox::CloneMount;
using sandbox::MoveMountTo;
using sandbox::OpenAt2;
using sandbox::SetMountAttributes;

constexpr std::uint64_t kInRoot = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS;
constexpr std::uint64_t kBeneath = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS;
constexpr std::size_t kPathMax = 4096;

/// The mount target `path` in the new root, made when missing.
int EnsureTarget(const Child& child, const char* path, bool directory) {
  int target = OpenAt2(child.root_fd, path, O_PATH, kInRoot);
  if (target >= 0 || errno != ENOENT) return target;
  if (directory) return MakeDirectories(child.root_fd, kInRoot, path, 0755);
  char parent[kPathMax];
  std::snprintf(parent, sizeof(parent), "%s", path);
  char* slash = std::strrchr(parent, '/');
  const char* name = slash == nullptr ? path : path + (slash - parent) + 1;
  int where;
  if (slash == nullptr || slash == parent) {
    where = OpenAt2(child.root_fd, ".", O_PATH | O_DIRECTORY, kInRoot);
  } else {
    *slash = 0;
    where = MakeDirectories(child.root_fd, kInRoot, parent, 0755);
  }
  if (where < 0) return -1;
  int made = ::openat(where, name, O_CREAT | O_EXCL | O_NOFOLLOW | O_RDONLY | O_CLOEXEC, 0644);
  ::close(where);
  if (made < 0) return -1;
  ::close(made);
  return OpenAt2(child.root_fd, path, O_PATH, kInRoot);
}

int EnsureRealDirectory(const Child& child, const char* path) {
  int target = OpenAt2(child.root_fd, path, O_PATH | O_DIRECTORY, kInRoot | RESOLVE_NO_SYMLINKS);
  if (target < 0 && errno == ENOENT) {
    target = MakeDirectories(child.root_fd, kInRoot | RESOLVE_NO_SYMLINKS, path, 0755);
  }
  return target;
}

void Place(const Child& child, int mount_fd, int target, const char* path) {
  if (target < 0) Fail(child, errno, "mount target \"%s\"", path);
  if (MoveMountTo(mount_fd, target) != 0) Fail(child, errno, "mount at \"%s\"", path);
  ::close(target);
}

int OpenBindSource(const Child& child, BindSource source, std::uint64_t index, const char* sub_path, const char* target,
                   std::uint64_t flags) {
  int base;
  if (source == BindSource::kFd) {
    if (index >= child.fd_count) Fail(child, EINVAL, "mount \"%s\": no such source", target);
    base = child.fds[index];
  } else {
    char path[32];
    if (source == BindSource::kShm) {
      std::snprintf(path, sizeof(path), "/shm");
    } else {
      std::snprintf(path, sizeof(path), "/vol/%llu", static_cast<unsigned long long>(index));
    }
    base = ::open(path, O_PATH | O_CLOEXEC);
    if (base < 0) Fail(child, errno, "mount \"%s\": volume", target);
  }
  if (sub_path[0] == 0) return base;
  // Links inside the volume count only while they stay inside (CVE-2017-1002101, CVE-2021-25741).
  int found = OpenAt2(base, sub_path, O_PATH, kBeneath);
  if (found < 0 && errno == ENOENT) {
    struct stat status;
    // With the sticky bit; a set group id is inherited anyway (doSafeMakeDir of the kubelet's subpath_linux.go).
    mode_t mode = ::fstat(base, &status) == 0 ? status.st_mode & 01777 : 0750;
    // On the disk an id-mapped volume belongs to unshifted ids, root's as the kubelet makes it.
    const bool mapped = (flags & kBindIdMapped) != 0;
    if (mapped) BecomeFileOwner(child, true);
    found = MakeDirectories(base, kBeneath, sub_path, mode);
    const int error = errno;
    if (mapped) BecomeFileOwner(child, false);
    errno = error;
  }
  if (found < 0) Fail(child, errno, "subPath \"%s\" of the mount at \"%s\"", sub_path, target);
  return found;
}

bool OnProc(int fd) {
  struct statfs file_system;
  return ::fstatfs(fd, &file_system) == 0 && file_system.f_type == PROC_SUPER_MAGIC;
}

/// A mount inside /proc could stand in for what is masked or what programs believe of themselves. Allowed are procfs
/// itself, and the files that lxcfs and its kin give a container, by their plain names only (a link in the image leads
/// to another); runc has the same list.
bool MayCoverProc(int from, const char* path) {
  if (OnProc(from)) return true;
  static constexpr const char* kFiles[] = {"/proc/cpuinfo",
                                           "/proc/diskstats",
                                           "/proc/meminfo",
                                           "/proc/stat",
                                           "/proc/swaps",
                                           "/proc/uptime",
                                           "/proc/loadavg",
                                           "/proc/slabinfo",
                                           "/proc/net/dev",
                                           "/proc/sys/kernel/ns_last_pid",
                                           "/proc/sys/crypto/fips_enabled"};
  for (const char* file : kFiles) {
    if (std::strcmp(path, file) == 0) return true;
  }
  return false;
}

/// What lies on the disk as root's is the pod's root's here. File systems that can't are refused, as by runc; ones
/// mounted below that can't show their files as nobody's.
void MapIds(const Child& child, int mounted, const char* path) {
  if (SetMountAttributes(mounted, 0, 0, 0, true, child.user_namespace_fd) == 0) return;
  if (SetMountAttributes(mounted, 0, 0, 0, false, child.user_namespace_fd) == 0) return;
  if (errno == EINVAL)
    Fail(child, errno,
         "failed to set MOUNT_ATTR_IDMAP on \"%s\" (maybe the filesystem used doesn't support idmap mounts on this "
         "kernel?)",
         path);
  Fail(child, errno, "failed to set MOUNT_ATTR_IDMAP on \"%s\"", path);
}

/// A directory of a detached mount, as a mount of its own. Before Linux 6.15 only what is attached can be cloned, so
/// the mount stands at the target for a moment, in this namespace alone.
int CloneBelow(const Child& child, int mount_fd, const char* sub_path, const char* path) {
  Place(child, mount_fd, EnsureTarget(child, path, true), path);
  int found = OpenAt2(mount_fd, sub_path, O_PATH | O_DIRECTORY, kBeneath);
  if (found < 0) Fail(child, errno, "subPath \"%s\" of the mount at \"%s\"", sub_path, path);
  int cloned = CloneMount(found, true);
  if (cloned < 0) Fail(child, errno, "mount \"%s\"", path);
  ::close(found);
  int here = ::open(".", O_PATH | O_CLOEXEC);
  if (here < 0 || ::fchdir(mount_fd) != 0 || ::umount2(".", MNT_DETACH) != 0 || ::fchdir(here) != 0)
    Fail(child, errno, "mount \"%s\"", path);
  ::close(here);
  return cloned;
}

void Bind(Child& child, FieldReader& fields) {
  auto source = static_cast<BindSource>(fields.Number());
  std::uint64_t index = fields.Number();
  const char* sub_path = fields.Text();
  const char* path = fields.Text();
  std::uint64_t flags = fields.Number();
  if (!fields.ok()) Fail(child, EBADMSG, "plan");
  bool part = source == BindSource::kFd && sub_path[0] != 0;
  int from = OpenBindSource(child, source, index, part ? "" : sub_path, path, flags);
  if (part) from = CloneBelow(child, from, sub_path, path);
  struct stat status;
  if (::fstat(from, &status) != 0) Fail(child, errno, "mount \"%s\"", path);
  // A detached mount that came by descriptor is used once, as it is; all else is cloned.
  bool own = source == BindSource::kFd;
  int mounted = own ? from : CloneMount(from, true);
  if (mounted < 0) Fail(child, errno, "mount \"%s\"", path);
  if ((flags & kBindIdMapped) != 0) MapIds(child, mounted, path);
  std::uint64_t propagation = MS_PRIVATE;
  if ((flags & kBindSlave) != 0) propagation = MS_SLAVE;
  if ((flags & kBindShared) != 0) propagation = MS_SHARED;
  if (SetMountAttributes(mounted, 0, 0, propagation, true) != 0) Fail(child, errno, "mount \"%s\"", path);
  if ((flags & (kBindReadOnly | kBindRecursiveReadOnly)) != 0 &&
      SetMountAttributes(mounted, MOUNT_ATTR_RDONLY, 0, 0, (flags & kBindRecursiveReadOnly) != 0) != 0)
    Fail(child, errno, "mount \"%s\" read-only", path);
  int target = EnsureTarget(child, path, S_ISDIR(status.st_mode));
  if (target >= 0 && OnProc(target) && !MayCoverProc(from, path))
    Fail(child, EPERM, "\"%s\" cannot be mounted because it is inside /proc", path);
  Place(child, mounted, target, path);
  ::close(mounted);
  if (from != mounted && source != BindSource::kFd) ::close(from);
}

/// A new file system by fsopen; -1 with errno.
int NewFileSystem(const Child& child, const char* type, std::uint64_t attributes, FieldReader& fields) {
  int fs = ::fsopen(type, FSOPEN_CLOEXEC);
  std::uint64_t count = fields.Number();
  int result = fs < 0 ? -1 : 0;
  if (result == 0) ::fsconfig(fs, FSCONFIG_SET_STRING, "source", type, 0);  // what mount(8) shows
  for (std::uint64_t i = 0; i < count; ++i) {
    const char* option = fields.Text();
    if (!fields.ok()) Fail(child, EBADMSG, "plan");
    if (result != 0) continue;
    char key[64];
    const char* equals = std::strchr(option, '=');
    if (equals == nullptr) {
      result = ::fsconfig(fs, FSCONFIG_SET_FLAG, option, nullptr, 0);
    } else if (static_cast<std::size_t>(equals - option) < sizeof(key)) {
      std::memcpy(key, option, static_cast<std::size_t>(equals - option));
      key[equals - option] = 0;
      result = ::fsconfig(fs, FSCONFIG_SET_STRING, key, equals + 1, 0);
    }
  }
  if (result == 0) result = ::fsconfig(fs, FSCONFIG_CMD_CREATE, nullptr, nullptr, 0);
  int mounted = result == 0 ? ::fsmount(fs, FSMOUNT_CLOEXEC, static_cast<unsigned>(attributes)) : -1;
  int error = errno;
  if (fs >= 0) ::close(fs);
  errno = error;
  return mounted;
}

void MountFileSystem(Child& child, FieldReader& fields) {
  const char* type = fields.Text();
  const char* path = fields.Text();
  std::uint64_t attributes = fields.Number();
  std::uint64_t flags = fields.Number();
  if (!fields.ok()) Fail(child, EBADMSG, "plan");
  int mounted = NewFileSystem(child, type, attributes, fields);
  if (mounted < 0) {
    if ((flags & kOptional) != 0) return;
    Fail(child, errno, "mount %s at \"%s\"", type, path);
  }
  int target;
  if ((flags & kTargetNoLinks) != 0) {
    target = EnsureRealDirectory(child, path);
    if (target < 0 && (errno == ELOOP || errno == ENOTDIR))
      Fail(child, errno, "mount point \"%s\" of the image must be an ordinary directory", path);
  } else {
    target = EnsureTarget(child, path, true);
  }
  Place(child, mounted, target, path);
  if (std::strcmp(type, "proc") == 0) {
    child.proc_fd = mounted;
  } else {
    ::close(mounted);
  }
}

/// Opens the directory of `path` in the root and yields its last name.
int OpenParent(const Child& child, const char* path, const char*& name) {
  const char* slash = std::strrchr(path, '/');
  name = slash == nullptr ? path : slash + 1;
  char parent[kPathMax];
  std::size_t length = slash == nullptr ? 0 : static_cast<std::size_t>(slash - path);
  if (length >= sizeof(parent)) Fail(child, ENAMETOOLONG, "%s", path);
  std::memcpy(parent, path, length);
  parent[length] = 0;
  int fd = length == 0 ? OpenAt2(child.root_fd, ".", O_PATH | O_DIRECTORY, kInRoot)
                       : MakeDirectories(child.root_fd, kInRoot, parent, 0755);
  if (fd < 0) Fail(child, errno, "directory of \"%s\"", path);
  return fd;
}

void MakeNode(Child& child, FieldReader& fields) {
  const char* path = fields.Text();
  auto mode = static_cast<mode_t>(fields.Number());
  auto device = static_cast<dev_t>(fields.Number());
  auto uid = static_cast<uid_t>(fields.Number());
  auto gid = static_cast<gid_t>(fields.Number());
  if (!fields.ok()) Fail(child, EBADMSG, "plan");
  const char* name;
  int parent = OpenParent(child, path, name);
  ::unlinkat(parent, name, 0);
  if (::mknodat(parent, name, mode, device) != 0) Fail(child, errno, "device node \"%s\"", path);
  if (::fchownat(parent, name, uid, gid, AT_SYMLINK_NOFOLLOW) != 0) Fail(child, errno, "device node \"%s\"", path);
  ::close(parent);
}

void MakeSymlink(Child& child, FieldReader& fields) {
  const char* content = fields.Text();
  const char* path = fields.Text();
  if (!fields.ok()) Fail(child, EBADMSG, "plan");
  const char* name;
  int parent = OpenParent(child, path, name);
  if (::symlinkat(content, parent, name) != 0 && errno != EEXIST) Fail(child, errno, "link \"%s\"", path);
  ::close(parent);
}

/// A masked file becomes the null device, a masked directory an empty read-only one.
void Mask(Child& child, FieldReader& fields) {
  const char* path = fields.Text();
  if (!fields.ok()) Fail(child, EBADMSG, "plan");
  int target = OpenAt2(child.root_fd, path, O_PATH, kInRoot);
  if (target < 0) {
    if (errno == ENOENT || errno == ENOTDIR) return;
    Fail(child, errno, "masked path \"%s\"", path);
  }
  struct stat status;
  if (::fstat(target, &status) != 0) Fail(child, errno, "masked path \"%s\"", path);
  int cover;
  if (S_ISDIR(status.st_mode)) {
    static int empty = -1;
    if (empty < 0) {
      int fs = ::fsopen("tmpfs", FSOPEN_CLOEXEC);
      if (fs < 0 || ::fsconfig(fs, FSCONFIG_SET_STRING, "size", "0", 0) != 0 ||
          ::fsconfig(fs, FSCONFIG_SET_STRING, "mode", "555", 0) != 0 ||
          ::fsconfig(fs, FSCONFIG_CMD_CREATE, nullptr, nullptr, 0) != 0)
        Fail(child, errno, "masked path \"%s\"", path);
      empty =
          ::fsmount(fs, FSMOUNT_CLOEXEC, MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC);
      ::close(fs);
      if (empty < 0) Fail(child, errno, "masked path \"%s\"", path);
      Place(child, empty, target, path);
      return;
    }
    cover = CloneMount(empty, false);
  } else {
    // The null device is the warden's own node, never one the image could have replaced (CVE-2025-31133).
    struct stat null;
    if (::fstat(child.null_fd, &null) != 0 || !S_ISCHR(null.st_mode) || null.st_rdev != makedev(1, 3))
      Fail(child, EINVAL, "masked path \"%s\": /dev/null is not the null device", path);
    cover = CloneMount(child.null_fd, false);
  }
  if (cover < 0) Fail(child, errno, "masked path \"%s\"", path);
  Place(child, cover, target, path);
  ::close(cover);
}

void MakeReadOnly(Child& child, FieldReader& fields) {
  const char* path = fields.Text();
  if (!fields.ok()) Fail(child, EBADMSG, "plan");
  int target = OpenAt2(child.root_fd, path, O_PATH, kInRoot);
  if (target < 0) {
    if (errno == ENOENT || errno == ENOTDIR) return;
    Fail(child, errno, "read-only path \"%s\"", path);
  }
  // What is a mount already is ours alone, and changed where it is.
  struct statx status;
  if (::statx(target, "", AT_EMPTY_PATH, STATX_TYPE, &status) == 0 &&
      (status.stx_attributes & STATX_ATTR_MOUNT_ROOT) != 0) {
    if (SetMountAttributes(target, MOUNT_ATTR_RDONLY, 0, 0, true) != 0)
      Fail(child, errno, "read-only path \"%s\"", path);
    ::close(target);
    return;
  }
  int mounted = CloneMount(target, true);
  if (mounted < 0 || SetMountAttributes(mounted, MOUNT_ATTR_RDONLY, 0, 0, true) != 0)
    Fail(child, errno, "read-only path \"%s\"", path);
  Place(child, mounted, target, path);
  ::close(mounted);
}

void MakeConsole(Child& child, FieldReader& fields) {
  const char* path = fields.Text();
  if (!fields.ok()) Fail(child, EBADMSG, "plan");
  OpenTerminal(child, child.root_fd);
  int mounted = CloneMount(child.slave_fd, false);
  if (mounted < 0) Fail(child, errno, "mount \"%s\"", path);
  Place(child, mounted, EnsureTarget(child, path, false), path);
  ::close(mounted);
}

}  // namespace

int MakeDirectories(int base, std::uint64_t resolve, const char* path, unsigned mode) {
  char full[kPathMax];
  if (std::snprintf(full, sizeof(full), "%s", path) >= static_cast<int>(sizeof(full))) {
    errno = ENAMETOOLONG;
    return -1;
  }
  std::size_t end = 0;
  for (int hops = 0; hops < 40;) {
    while (full[end] == '/') ++end;
    if (full[end] == 0) break;
    std::size_t start = end;
    while (full[end] != 0 && full[end] != '/') ++end;
    char saved = full[end];
    full[end] = 0;
    int found = OpenAt2(base, full, O_PATH, resolve);
    if (found < 0 && errno == ENOENT) {
      char name[256];
      if (end - start >= sizeof(name)) {
        errno = ENAMETOOLONG;
        return -1;
      }
      std::memcpy(name, full + start, end - start + 1);
      char separator = full[start];
      full[start] = 0;
      int parent = OpenAt2(base, start == 0 ? "." : full, O_PATH | O_DIRECTORY, resolve);
      full[start] = separator;
      if (parent < 0) return -1;
      // Nothing can be made in procfs, and its links (the one of `parent` itself) are not to be read as texts.
      struct statfs file_system;
      if (::fstatfs(parent, &file_system) == 0 && file_system.f_type == PROC_SUPER_MAGIC) {
        ::close(parent);
        errno = ENOENT;
        return -1;
      }
      int made = ::mkdirat(parent, name, mode);
      if (made != 0 && errno == EEXIST) {
        char target[kPathMax];
        ssize_t length = ::readlinkat(parent, name, target, sizeof(target) - 1);
        ::close(parent);
        if (length < 0) return -1;
        target[length] = 0;
        full[end] = saved;
        char rest[kPathMax];
        std::snprintf(rest, sizeof(rest), "%s", full + end);
        std::size_t prefix = target[0] == '/' ? 0 : start;
        if (std::snprintf(full + prefix, sizeof(full) - prefix, "%s%s", target, rest) >=
            static_cast<int>(sizeof(full) - prefix)) {
          errno = ENAMETOOLONG;
          return -1;
        }
        end = 0;
        ++hops;
        continue;
      }
      int error = errno;
      ::close(parent);
      if (made != 0) {
        errno = error;
        return -1;
      }
    } else if (found < 0) {
      return -1;
    } else {
      ::close(found);
    }
    full[end] = saved;
  }
  return OpenAt2(base, full[0] == 0 ? "." : full, O_PATH | O_DIRECTORY, resolve);
}

void BuildRootfs(Child& child, PlanReader plan) {
  StepKind kind;
  FieldReader fields;
  bool read_only = false;
  while (plan.Next(kind, fields)) {
    child.step = kind;
    if (kind == StepKind::kRootfs) {
      std::uint64_t index = fields.Number();
      if (!fields.ok() || index >= child.fd_count) Fail(child, EBADMSG, "plan");
      child.root_fd = child.fds[index];
      int place = ::open("/root", O_PATH | O_DIRECTORY | O_CLOEXEC);
      Place(child, child.root_fd, place, "/");
      continue;
    }
    bool known = kind >= StepKind::kBind && kind <= StepKind::kReadOnlyRoot;
    if (known && child.root_fd < 0) Fail(child, EBADMSG, "plan without root");
    switch (kind) {
      case StepKind::kBind:
        Bind(child, fields);
        break;
      case StepKind::kMountFs:
        MountFileSystem(child, fields);
        break;
      case StepKind::kNode:
        MakeNode(child, fields);
        break;
      case StepKind::kSymlink:
        MakeSymlink(child, fields);
        break;
      case StepKind::kMask:
        Mask(child, fields);
        break;
      case StepKind::kReadOnly:
        MakeReadOnly(child, fields);
        break;
      case StepKind::kConsole:
        MakeConsole(child, fields);
        break;
      case StepKind::kReadOnlyRoot:
        read_only = true;
        break;
      default:
        break;
    }
  }
  child.step = StepKind::kRootfs;
  if (!plan.ok()) Fail(child, EBADMSG, "plan");
  if (read_only && SetMountAttributes(child.root_fd, MOUNT_ATTR_RDONLY, 0, 0, false) != 0)
    Fail(child, errno, "read-only root");
  if (::fchdir(child.root_fd) != 0 || ::syscall(SYS_pivot_root, ".", ".") != 0 || ::umount2(".", MNT_DETACH) != 0 ||
      ::chdir("/") != 0)
    Fail(child, errno, "pivot_root");
}

}  // namespace burstlet::warden
