#include "cache/rooted_tree.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>

#include <memory>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "metrics/status.h"

namespace burstlet::cache {
namespace {

constexpr std::size_t kNameMax = 255;

std::string JoinFirst(const std::vector<std::string>& components, std::size_t count) {
  return absl::StrJoin(components.begin(), components.begin() + static_cast<std::ptrdiff_t>(count), "/");
}

struct CloseDir {
  void operator()(DIR* dir) const { closedir(dir); }
};

absl::StatusOr<std::unique_ptr<DIR, CloseDir>> OpenDir(int dir, const char* name) {
  const int fd = openat(dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
  if (fd < 0) return ErrnoError(errno, absl::StrCat("open directory ", name));
  DIR* stream = fdopendir(fd);
  if (stream == nullptr) {
    const int error = errno;
    close(fd);
    return ErrnoError(error, "fdopendir");
  }
  return std::unique_ptr<DIR, CloseDir>(stream);
}

/// One pass over `top`: unlinks what can be unlinked and lifts full subdirectories up into `top`, so that depth costs
/// neither stack nor descriptors. Returns how many entries were seen.
absl::StatusOr<std::size_t> RemovePass(DIR* top, std::uint64_t* lifted) {
  const int fd = dirfd(top);
  rewinddir(top);
  std::size_t seen = 0;
  while (true) {
    errno = 0;
    const dirent* entry = readdir(top);
    if (entry == nullptr) {
      if (errno != 0) return ErrnoError(errno, "read directory");
      return seen;
    }
    const std::string_view name = entry->d_name;
    if (name == "." || name == "..") continue;
    ++seen;
    if (unlinkat(fd, entry->d_name, 0) == 0 || errno == ENOENT) continue;
    if (errno != EISDIR && errno != EPERM) return ErrnoError(errno, absl::StrCat("remove ", entry->d_name));
    if (unlinkat(fd, entry->d_name, AT_REMOVEDIR) == 0) continue;
    if (errno != ENOTEMPTY && errno != EEXIST) return ErrnoError(errno, absl::StrCat("remove ", entry->d_name));
    ASSIGN_OR_RETURN(auto below, OpenDir(fd, entry->d_name));
    while (const dirent* child = readdir(below.get())) {
      const std::string_view child_name = child->d_name;
      if (child_name == "." || child_name == "..") continue;
      if (unlinkat(dirfd(below.get()), child->d_name, 0) == 0) continue;
      if (unlinkat(dirfd(below.get()), child->d_name, AT_REMOVEDIR) == 0) continue;
      const std::string lift = absl::StrCat(".lifted-", ++*lifted);
      if (syscall(SYS_renameat2, dirfd(below.get()), child->d_name, fd, lift.c_str(), 1u /* RENAME_NOREPLACE */) != 0 &&
          errno != EEXIST) {
        return ErrnoError(errno, absl::StrCat("lift ", child->d_name));
      }
    }
  }
}

}  // namespace

absl::StatusOr<std::vector<std::string>> SplitEntryPath(std::string_view path) {
  std::vector<std::string> components;
  while (!path.empty()) {
    const std::size_t slash = path.find('/');
    const std::string_view part = path.substr(0, slash);
    path = slash == std::string_view::npos ? std::string_view() : path.substr(slash + 1);
    if (part.empty() || part == ".") continue;
    if (part == "..") return absl::InvalidArgumentError("a name with \"..\"");
    if (part.size() > kNameMax) return absl::InvalidArgumentError("a component longer than 255 bytes");
    if (part.find('\0') != std::string_view::npos) return absl::InvalidArgumentError("a name with a NUL byte");
    components.emplace_back(part);
  }
  return components;
}

absl::StatusOr<Fd> RootedTree::Resolve(const std::string& path) const {
  open_how how = {};
  how.flags = O_PATH | O_DIRECTORY | O_CLOEXEC;
  how.resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS | RESOLVE_NO_XDEV;
  for (int tries = 0;; ++tries) {
    const long fd = syscall(SYS_openat2, root_.get(), path.empty() ? "." : path.c_str(), &how, sizeof(how));
    if (fd >= 0) return Fd(static_cast<int>(fd));
    // EAGAIN: something was renamed elsewhere while "..": in a link was resolved (openat2(2)).
    if (errno != EAGAIN || tries >= 16) return ErrnoError(errno, absl::StrCat("resolve directory ", path));
  }
}

absl::StatusOr<int> RootedTree::ExistingParent(const std::vector<std::string>& components, std::size_t count) {
  const std::string path = JoinFirst(components, count);
  if (cached_.valid() && cached_path_ == path) return cached_.get();
  ASSIGN_OR_RETURN(cached_, Resolve(path));
  cached_path_ = path;
  return cached_.get();
}

absl::StatusOr<int> RootedTree::Parent(const std::vector<std::string>& components, std::size_t count) {
  absl::StatusOr<int> existing = ExistingParent(components, count);
  if (existing.ok()) return existing;
  ForgetParent();
  ASSIGN_OR_RETURN(Fd current, Resolve(""));
  for (std::size_t i = 0; i < count; ++i) {
    const std::string path = JoinFirst(components, i + 1);
    absl::StatusOr<Fd> next = Resolve(path);
    if (!next.ok()) {
      const int error = ErrnoOf(next.status());
      if (error != ENOENT && error != ENOTDIR && error != ELOOP) return next.status();
      const std::string& name = components[i];
      if (mkdirat(current.get(), name.c_str(), 0755) != 0) {
        if (errno != EEXIST) return ErrnoError(errno, absl::StrCat("make directory ", path));
        const bool whiteout = IsWhiteoutAt(current.get(), name);
        RETURN_IF_ERROR(RemoveTreeAt(current.get(), name));
        if (mkdirat(current.get(), name.c_str(), 0755) != 0) {
          return ErrnoError(errno, absl::StrCat("make directory ", path));
        }
        next = Resolve(path);
        if (!next.ok()) return next.status();
        // Removed below and made anew here: nothing of the lower directory may show through.
        if (whiteout) RETURN_IF_ERROR(MarkOpaque(next->get()));
      } else {
        next = Resolve(path);
        if (!next.ok()) return next.status();
      }
    }
    current = *std::move(next);
  }
  cached_ = std::move(current);
  cached_path_ = JoinFirst(components, count);
  return cached_.get();
}

absl::Status MarkOpaque(int dir) {
  const Fd fd(openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!fd.valid()) return ErrnoError(errno, "open directory to mark it opaque");
  if (fsetxattr(fd.get(), "trusted.overlay.opaque", "y", 1, 0) == 0) return absl::OkStatus();
  // In a user namespace trusted.* is out of reach; overlayfs has user.overlay.* for that (mount option userxattr).
  if (errno == EPERM && fsetxattr(fd.get(), "user.overlay.opaque", "y", 1, 0) == 0) return absl::OkStatus();
  return ErrnoError(errno, "mark directory opaque");
}

bool IsWhiteoutAt(int dir, const std::string& name) {
  struct stat st = {};
  return fstatat(dir, name.c_str(), &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISCHR(st.st_mode) &&
         st.st_rdev == makedev(0, 0);
}

absl::Status RemoveTreeAt(int dir, const std::string& name) {
  if (unlinkat(dir, name.c_str(), 0) == 0 || errno == ENOENT) return absl::OkStatus();
  if (errno != EISDIR && errno != EPERM) return ErrnoError(errno, absl::StrCat("remove ", name));
  if (unlinkat(dir, name.c_str(), AT_REMOVEDIR) == 0) return absl::OkStatus();
  if (errno != ENOTEMPTY && errno != EEXIST) return ErrnoError(errno, absl::StrCat("remove directory ", name));
  ASSIGN_OR_RETURN(auto top, OpenDir(dir, name.c_str()));
  std::uint64_t lifted = 0;
  while (true) {
    ASSIGN_OR_RETURN(const std::size_t seen, RemovePass(top.get(), &lifted));
    if (seen == 0) break;
  }
  if (unlinkat(dir, name.c_str(), AT_REMOVEDIR) != 0) return ErrnoError(errno, absl::StrCat("remove directory ", name));
  return absl::OkStatus();
}

}  // namespace burstlet::cache
