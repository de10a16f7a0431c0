#include "provider/volumes/directory.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "metrics/status.h"
#include "sandbox/os/syscalls.h"

namespace burstlet::provider {
namespace {

using sandbox::UniqueFd;

constexpr std::uint64_t kConfined = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS;
// Open directories at once while deleting; what is deeper is moved up first.
constexpr std::size_t kMaxDepth = 32;

/// The deletion of one tree. A directory too deep to hold open is renamed into the tree's top, where it is met again.
class TreeDeletion {
 public:
  explicit TreeDeletion(int top) : top_(top) {}

  absl::Status Run() {
    // Directories moved up appear in a directory that is being read: read again until nothing new came.
    do {
      moved_ = false;
      Empty(top_, 0);
    } while (moved_);
    return error_;
  }

 private:
  void Note(const absl::Status& status) {
    if (error_.ok()) error_ = status;
  }

  void Empty(int directory, std::size_t depth) {
    auto names = ListNames(directory);
    if (!names.ok()) return Note(names.status());
    for (const auto& name : *names) Delete(directory, name, depth);
  }

  void Delete(int directory, const std::string& name, std::size_t depth) {
    if (::unlinkat(directory, name.c_str(), 0) == 0 || errno == ENOENT) return;
    if (errno != EISDIR && errno != EPERM) return Note(ErrnoError(errno, absl::StrCat("delete ", name)));
    if (::unlinkat(directory, name.c_str(), AT_REMOVEDIR) == 0 || errno == ENOENT) return;
    if (errno != ENOTEMPTY && errno != EEXIST) return Note(ErrnoError(errno, absl::StrCat("delete ", name)));
    if (depth >= kMaxDepth) return MoveUp(directory, name);
    UniqueFd child(sandbox::OpenAt2(directory, name.c_str(), O_RDONLY | O_DIRECTORY, kConfined | RESOLVE_NO_XDEV));
    if (!child.valid()) return Note(ErrnoError(errno, absl::StrCat("delete ", name)));
    Empty(child.get(), depth + 1);
    if (::unlinkat(directory, name.c_str(), AT_REMOVEDIR) != 0 && errno != ENOENT && !(errno == ENOTEMPTY && moved_)) {
      Note(ErrnoError(errno, absl::StrCat("delete ", name)));
    }
  }

  void MoveUp(int directory, const std::string& name) {
    const std::string target = absl::StrCat(".moved-", ++counter_);
    if (::renameat(directory, name.c_str(), top_, target.c_str()) == 0) {
      moved_ = true;
    } else if (errno == ENOTEMPTY || errno == EEXIST) {
      MoveUp(directory, name);  // the name is taken by a container's own directory: the next one
    } else {
      Note(ErrnoError(errno, absl::StrCat("delete ", name)));
    }
  }

  int top_;
  absl::Status error_;
  bool moved_ = false;
  std::uint64_t counter_ = 0;
};

}  // namespace

bool IsPlainName(const std::string& name) {
  return !name.empty() && name != "." && name != ".." && name.find('/') == std::string::npos &&
         name.find('\0') == std::string::npos;
}

absl::StatusOr<UniqueFd> OpenInside(int base, const std::string& path, int flags) {
  UniqueFd fd(sandbox::OpenAt2(base, path.c_str(), static_cast<unsigned>(O_RDONLY | flags), kConfined));
  if (!fd.valid()) return ErrnoError(errno, absl::StrCat("open ", path));
  return fd;
}

absl::StatusOr<UniqueFd> OpenOwnDirectory(const std::string& path) {
  UniqueFd fd(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  if (!fd.valid()) return ErrnoError(errno, absl::StrCat("open ", path));
  return fd;
}

absl::StatusOr<UniqueFd> MakeInside(int base, const std::string& path, mode_t mode) {
  UniqueFd current(::openat(base, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!current.valid()) return ErrnoError(errno, "open directory");
  const std::vector<std::string> elements = absl::StrSplit(path, '/', absl::SkipEmpty());
  for (const auto& element : elements) {
    if (!IsPlainName(element)) return absl::InvalidArgumentError(absl::StrCat("not a plain path: ", path));
    const bool is_new = ::mkdirat(current.get(), element.c_str(), mode) == 0;
    if (!is_new && errno != EEXIST) return ErrnoError(errno, absl::StrCat("create ", path));
    ASSIGN_OR_RETURN(UniqueFd next, OpenInside(current.get(), element, O_DIRECTORY));
    if (is_new && ::fchmod(next.get(), mode) != 0) return ErrnoError(errno, absl::StrCat("chmod ", path));
    current = std::move(next);
  }
  return current;
}

absl::StatusOr<std::vector<std::string>> ListNames(int directory) {
  // A descriptor of its own: reading moves the position.
  const int copy = ::openat(directory, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (copy < 0) return ErrnoError(errno, "open directory");
  DIR* stream = ::fdopendir(copy);
  if (stream == nullptr) {
    const absl::Status status = ErrnoError(errno, "read directory");
    ::close(copy);
    return status;
  }
  std::vector<std::string> names;
  errno = 0;
  while (const dirent* entry = ::readdir(stream)) {
    const std::string name = entry->d_name;
    if (name != "." && name != "..") names.push_back(name);
    errno = 0;
  }
  const int error = errno;
  ::closedir(stream);
  if (error != 0) return ErrnoError(error, "read directory");
  std::sort(names.begin(), names.end());
  return names;
}

absl::Status DeleteTree(int base, const std::string& name) {
  if (!IsPlainName(name)) return absl::InvalidArgumentError(absl::StrCat("not a plain name: ", name));
  if (::unlinkat(base, name.c_str(), 0) == 0 || errno == ENOENT) return absl::OkStatus();
  if (errno != EISDIR && errno != EPERM) return ErrnoError(errno, absl::StrCat("delete ", name));
  UniqueFd top(sandbox::OpenAt2(base, name.c_str(), O_RDONLY | O_DIRECTORY, kConfined | RESOLVE_NO_XDEV));
  if (!top.valid()) return ErrnoError(errno, absl::StrCat("delete ", name));
  RETURN_IF_ERROR(TreeDeletion(top.get()).Run());
  if (::unlinkat(base, name.c_str(), AT_REMOVEDIR) != 0 && errno != ENOENT) {
    return ErrnoError(errno, absl::StrCat("delete ", name));
  }
  return absl::OkStatus();
}

}  // namespace burstlet::provider
