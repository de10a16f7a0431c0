#include "provider/volumes/node_tmpfs.h"

#include <fcntl.h>
#include <linux/magic.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/vfs.h>

#include <cerrno>

#include "absl/strings/str_cat.h"
#include "metrics/status.h"
#include "provider/volumes/directory.h"
#include "sandbox/os/safe_path.h"

namespace burstlet::provider {
namespace {

/// A tmpfs whose root is `path` itself, not a directory of one that is mounted further up.
absl::StatusOr<bool> IsOwnTmpfs(const std::string& path) {
  ASSIGN_OR_RETURN(sandbox::UniqueFd directory, OpenOwnDirectory(path));
  struct statfs file_system{};
  struct stat self{};
  struct stat parent{};
  if (::fstatfs(directory.get(), &file_system) != 0 || ::fstat(directory.get(), &self) != 0 ||
      ::fstatat(directory.get(), "..", &parent, 0) != 0) {
    return ErrnoError(errno, absl::StrCat("stat ", path));
  }
  return file_system.f_type == TMPFS_MAGIC && self.st_dev != parent.st_dev;
}

}  // namespace

absl::Status EnsureNodeTmpfs(const std::string& path) {
  RETURN_IF_ERROR(sandbox::MakeDirectory(path, 0700));
  ASSIGN_OR_RETURN(const bool mounted, IsOwnTmpfs(path));
  if (!mounted) {
    constexpr unsigned long kFlags = MS_NOSUID | MS_NODEV;
    // noswap (Linux 6.3) keeps secrets out of swap; older kernels refuse the word.
    if (::mount("burstlet-volumes", path.c_str(), "tmpfs", kFlags, "mode=0700,noswap") != 0 &&
        ::mount("burstlet-volumes", path.c_str(), "tmpfs", kFlags, "mode=0700") != 0) {
      return ErrnoError(errno, absl::StrCat("mount a tmpfs at ", path));
    }
  }
  if (::mount(nullptr, path.c_str(), nullptr, MS_PRIVATE, nullptr) != 0) {
    return ErrnoError(errno, absl::StrCat("make the mount at ", path, " private"));
  }
  return absl::OkStatus();
}

absl::Status RemoveNodeTmpfs(const std::string& path) {
  auto mounted = IsOwnTmpfs(path);
  if (!mounted.ok()) return absl::IsNotFound(mounted.status()) ? absl::OkStatus() : mounted.status();
  if (!*mounted) return absl::OkStatus();
  if (::umount2(path.c_str(), UMOUNT_NOFOLLOW) != 0) return ErrnoError(errno, absl::StrCat("unmount ", path));
  return absl::OkStatus();
}

}  // namespace burstlet::provider
