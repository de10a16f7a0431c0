#include "sandbox/os/probe.h"

#include <fcntl.h>
#include <linux/seccomp.h>
#include <sys/mount.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>

#include "sandbox/os/mount.h"
#include "sandbox/os/syscalls.h"
#include "sandbox/os/unique_fd.h"

namespace burstlet::sandbox {
namespace {

bool HasFileSystem(const char* type) { return UniqueFd(::fsopen(type, FSOPEN_CLOEXEC)).valid(); }

/// A call that exists answers anything but ENOSYS to arguments that make no sense.
bool HasCall(long number) { return ::syscall(number, -1, nullptr, nullptr, 0, 0) >= 0 || errno != ENOSYS; }

bool HasSeccompFilter() {
  unsigned action = SECCOMP_RET_ERRNO;
  return ::syscall(SYS_seccomp, SECCOMP_GET_ACTION_AVAIL, 0, &action) == 0;
}

bool HasNamespace(const char* name) { return ::access((std::string("/proc/self/ns/") + name).c_str(), F_OK) == 0; }

}  // namespace

std::vector<KernelFeature> ProbeKernel() {
  const std::string newer = "run Linux 6.1 or newer";
  const std::string module = "enable it in the kernel, or load its module";
  std::vector<KernelFeature> features = {
      {"overlayfs", true, HasFileSystem("overlay"), module},
      {"tmpfs", true, HasFileSystem("tmpfs"), module},
      {"mount descriptors (fsopen, mount_setattr)", true, HasCall(SYS_mount_setattr), newer},
      {"confined path look-ups (openat2)", true, HasCall(SYS_openat2), newer},
      {"clone3 and pidfd", true, HasCall(SYS_clone3) && HasCall(SYS_pidfd_send_signal), newer},
      {"seccomp filters", true, HasSeccompFilter(), module},
      {"POSIX message queues", false, HasFileSystem("mqueue"), module},
      {"overlay layers one by one (6.5)", false, KernelHasLowerdirAppend(), "nothing: the older way is used"},
      {"EROFS", false, HasFileSystem("erofs"), module},
  };
  for (const char* name : {"pid", "mnt", "net", "ipc", "uts", "cgroup"})
    features.push_back({std::string(name) + " namespaces", true, HasNamespace(name), module});
  features.push_back({"user namespaces", false, HasNamespace("user"), module});
  return features;
}

}  // namespace burstlet::sandbox
