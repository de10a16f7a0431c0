#include "sandbox/os/safe_path.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>

#include <cerrno>
#include <vector>

#include "absl/strings/str_cat.h"
#include "metrics/status.h"
#include "sandbox/os/syscalls.h"

namespace burstlet::sandbox {
namespace {

absl::StatusOr<std::string> ReadAll(int fd, std::size_t limit, const std::string& name) {
  std::string content;
  char buffer[8192];
  for (;;) {
    ssize_t got = ::read(fd, buffer, sizeof(buffer));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return ErrnoError(errno, absl::StrCat("read ", name));
    if (got == 0) return content;
    if (content.size() + static_cast<std::size_t>(got) > limit)
      return absl::ResourceExhaustedError(absl::StrCat(name, " is larger than ", limit, " bytes"));
    content.append(buffer, static_cast<std::size_t>(got));
  }
}

absl::Status WriteAll(int fd, const std::string& content, const std::string& name) {
  std::size_t done = 0;
  do {
    ssize_t written = ::write(fd, content.data() + done, content.size() - done);
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) return ErrnoError(errno, absl::StrCat("write ", name));
    done += static_cast<std::size_t>(written);
  } while (done < content.size());
  return absl::OkStatus();
}

struct Level {
  DIR* stream;
  std::string name;  // in the level above
};

}  // namespace

absl::StatusOr<UniqueFd> OpenInRoot(int root, const std::string& path, std::uint64_t flags) {
  UniqueFd fd(OpenAt2(root, path.c_str(), flags, RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS));
  if (!fd.valid()) return ErrnoError(errno, absl::StrCat("open ", path));
  return fd;
}

absl::StatusOr<UniqueFd> OpenBeneath(int base, const std::string& path, std::uint64_t flags) {
  UniqueFd fd(OpenAt2(base, path.c_str(), flags, RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS));
  if (!fd.valid()) return ErrnoError(errno, absl::StrCat("open ", path));
  return fd;
}

absl::StatusOr<std::string> ReadFileInRoot(int root, const std::string& path, std::size_t limit) {
  // O_NONBLOCK: an image's /etc/passwd may be a FIFO nobody writes to.
  ASSIGN_OR_RETURN(UniqueFd fd, OpenInRoot(root, path, O_RDONLY | O_NONBLOCK | O_NOCTTY));
  struct stat status;
  if (::fstat(fd.get(), &status) != 0) return ErrnoError(errno, absl::StrCat("stat ", path));
  if (!S_ISREG(status.st_mode)) return absl::FailedPreconditionError(absl::StrCat(path, " is not a regular file"));
  return ReadAll(fd.get(), limit, path);
}

absl::StatusOr<std::string> ReadFile(const std::string& path, std::size_t limit) {
  UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd.valid()) return ErrnoError(errno, absl::StrCat("open ", path));
  return ReadAll(fd.get(), limit, path);
}

absl::Status WriteFile(const std::string& path, const std::string& content) {
  UniqueFd fd(::open(path.c_str(), O_WRONLY | O_CLOEXEC));
  if (!fd.valid()) return ErrnoError(errno, absl::StrCat("open ", path));
  return WriteAll(fd.get(), content, path);
}

absl::Status WriteFileAtomically(const std::string& path, const std::string& content, mode_t mode) {
  std::string beside = absl::StrCat(path, ".new");
  UniqueFd fd(::open(beside.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, mode));
  if (!fd.valid()) return ErrnoError(errno, absl::StrCat("create ", beside));
  RETURN_IF_ERROR(WriteAll(fd.get(), content, beside));
  if (::rename(beside.c_str(), path.c_str()) != 0) return ErrnoError(errno, absl::StrCat("rename to ", path));
  return absl::OkStatus();
}

absl::Status MakeDirectory(const std::string& path, mode_t mode) {
  if (::mkdir(path.c_str(), mode) == 0 || errno == EEXIST) return absl::OkStatus();
  if (errno != ENOENT) return ErrnoError(errno, absl::StrCat("create ", path));
  std::size_t slash = path.find_last_of('/');
  if (slash == std::string::npos || slash == 0) return ErrnoError(ENOENT, absl::StrCat("create ", path));
  RETURN_IF_ERROR(MakeDirectory(path.substr(0, slash), mode));
  if (::mkdir(path.c_str(), mode) == 0 || errno == EEXIST) return absl::OkStatus();
  return ErrnoError(errno, absl::StrCat("create ", path));
}

absl::Status RemoveTree(int directory, const std::string& name) {
  // A stack of open directories instead of recursion: depth is bounded by descriptors, which an image can't pass
  // because its unpacker and the kernel bound path depth before.
  if (::unlinkat(directory, name.c_str(), 0) == 0 || errno == ENOENT) return absl::OkStatus();
  absl::Status first;
  std::vector<Level> levels;
  auto enter = [&](int parent, const std::string& child) {
    // NO_XDEV also keeps bind mounts of the same file system safe.
    int fd = OpenAt2(parent, child.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW,
                     RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_XDEV);
    DIR* stream = fd < 0 ? nullptr : ::fdopendir(fd);
    if (stream == nullptr) {
      if (first.ok()) first = ErrnoError(errno, absl::StrCat("delete ", child));
      if (fd >= 0) ::close(fd);
      return false;
    }
    levels.push_back({stream, child});
    return true;
  };
  if (!enter(directory, name)) return first;
  while (!levels.empty()) {
    DIR* stream = levels.back().stream;
    dirent* entry = ::readdir(stream);
    if (entry == nullptr) {
      std::string done = levels.back().name;
      ::closedir(stream);
      levels.pop_back();
      int parent = levels.empty() ? directory : ::dirfd(levels.back().stream);
      if (::unlinkat(parent, done.c_str(), AT_REMOVEDIR) != 0 && errno != ENOENT && first.ok())
        first = ErrnoError(errno, absl::StrCat("delete ", done));
      continue;
    }
    std::string child = entry->d_name;
    if (child == "." || child == "..") continue;
    int here = ::dirfd(stream);
    if (entry->d_type != DT_DIR && ::unlinkat(here, child.c_str(), 0) == 0) continue;
    if (entry->d_type == DT_DIR || errno == EISDIR) {
      enter(here, child);
    } else if (errno != ENOENT && first.ok()) {
      first = ErrnoError(errno, absl::StrCat("delete ", child));
    }
  }
  return first;
}

}  // namespace burstlet::sandbox
