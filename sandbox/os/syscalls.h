// The system calls that Debian 12's glibc has no wrapper for. Header-only, libc only: the warden uses it too.
#pragma once

#include <fcntl.h>
#include <linux/openat2.h>
#include <linux/sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>

namespace burstlet::sandbox {

/// openat2(2), retried while the kernel asks for it (EAGAIN: a rename raced with RESOLVE_BENEATH / IN_ROOT).
inline int OpenAt2(int dir, const char* path, std::uint64_t flags, std::uint64_t resolve, std::uint64_t mode = 0) {
  open_how how{};
  how.flags = flags | O_CLOEXEC;
  how.mode = mode;
  how.resolve = resolve;
  long fd;
  int tries = 0;
  do {
    fd = ::syscall(SYS_openat2, dir, path, &how, sizeof(how));
  } while (fd < 0 && (errno == EINTR || (errno == EAGAIN && ++tries < 128)));
  return static_cast<int>(fd);
}

/// pidfd_open(2) and pidfd_send_signal(2); glibc 2.36 declares both without C linkage.
inline int PidfdOpen(pid_t pid) { return static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)); }
inline int PidfdSignal(int pidfd, int signal) {
  return static_cast<int>(::syscall(SYS_pidfd_send_signal, pidfd, signal, nullptr, 0));
}

/// clone3(2) as a fork: the child goes on with a copy of the caller's memory.
inline pid_t CloneFork(std::uint64_t flags, int* pidfd, int cgroup_fd = -1) {
  clone_args args{};
  args.flags = flags | CLONE_PIDFD;
  args.pidfd = reinterpret_cast<std::uintptr_t>(pidfd);
  args.exit_signal = SIGCHLD;
  if (cgroup_fd >= 0) {
    args.flags |= CLONE_INTO_CGROUP;
    args.cgroup = static_cast<std::uint64_t>(cgroup_fd);
  }
  return static_cast<pid_t>(::syscall(SYS_clone3, &args, sizeof(args)));
}

/// Attaches the detached (or moves the attached) mount `mount_fd` onto the file or directory `target_fd`.
inline int MoveMountTo(int mount_fd, int target_fd) {
  return ::move_mount(mount_fd, "", target_fd, "", MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH);
}

/// A detached copy of the mount at `fd`.
inline int CloneMount(int fd, bool recursive) {
  return ::open_tree(fd, "", AT_EMPTY_PATH | OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | (recursive ? AT_RECURSIVE : 0));
}

/// mount_setattr(2) on the mount itself.
inline int SetMountAttributes(int fd, std::uint64_t set, std::uint64_t clear, std::uint64_t propagation, bool recursive,
                              int userns_fd = -1) {
  mount_attr attributes{};
  attributes.attr_set = set;
  attributes.attr_clr = clear;
  attributes.propagation = propagation;
  if (userns_fd >= 0) {
    attributes.attr_set |= MOUNT_ATTR_IDMAP;
    attributes.userns_fd = static_cast<std::uint64_t>(userns_fd);
  }
  return ::mount_setattr(fd, "", AT_EMPTY_PATH | (recursive ? AT_RECURSIVE : 0), &attributes, sizeof(attributes));
}

}  // namespace burstlet::sandbox
