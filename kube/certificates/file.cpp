#include "kube/certificates/file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>

#include "absl/strings/str_cat.h"
#include "metrics/status.h"

namespace burstlet::kube {
namespace {

constexpr std::size_t kMaxBytes = std::size_t{1} << 20;

absl::Status SyncFolderOf(const std::string& path) {
  const std::string folder = path.substr(0, path.rfind('/') + 1);
  const int fd = ::open(folder.empty() ? "." : folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) return ErrnoError(errno, absl::StrCat("cannot open ", folder));
  const int error = ::fsync(fd) == 0 ? 0 : errno;
  ::close(fd);
  return error == 0 ? absl::OkStatus() : ErrnoError(error, absl::StrCat("cannot sync ", folder));
}

absl::Status WriteAndSync(const std::string& path, const std::string& content, mode_t mode) {
  const int fd = ::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, mode);
  if (fd < 0) return ErrnoError(errno, absl::StrCat("cannot make ", path));
  int error = ::fchmod(fd, mode) == 0 ? 0 : errno;
  for (std::size_t done = 0; error == 0 && done < content.size();) {
    const ssize_t wrote = ::write(fd, content.data() + done, content.size() - done);
    if (wrote < 0) error = errno;
    if (wrote > 0) done += static_cast<std::size_t>(wrote);
  }
  if (error == 0 && ::fsync(fd) != 0) error = errno;
  ::close(fd);
  return error == 0 ? absl::OkStatus() : ErrnoError(error, absl::StrCat("cannot write ", path));
}

}  // namespace

absl::StatusOr<std::string> ReadSmallFile(const std::string& path) {
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return ErrnoError(errno, absl::StrCat("cannot open ", path));
  std::string text;
  char buffer[8192];
  ssize_t got = 0;
  while ((got = ::read(fd, buffer, sizeof(buffer))) > 0 && text.size() < kMaxBytes) {
    text.append(buffer, static_cast<std::size_t>(got));
  }
  const int error = errno;
  ::close(fd);
  if (got < 0) return ErrnoError(error, absl::StrCat("cannot read ", path));
  return text;
}

absl::Status WriteFileDurably(const std::string& path, const std::string& content, mode_t mode) {
  const std::string beside = path + ".new";
  RETURN_IF_ERROR(WriteAndSync(beside, content, mode));
  if (::rename(beside.c_str(), path.c_str()) != 0) return ErrnoError(errno, absl::StrCat("cannot rename to ", path));
  return SyncFolderOf(path);
}

absl::Status SwapSymlink(const std::string& target, const std::string& link) {
  const std::string beside = link + ".new";
  if (::unlink(beside.c_str()) != 0 && errno != ENOENT)
    return ErrnoError(errno, absl::StrCat("cannot remove ", beside));
  if (::symlink(target.c_str(), beside.c_str()) != 0) return ErrnoError(errno, absl::StrCat("cannot link ", beside));
  if (::rename(beside.c_str(), link.c_str()) != 0) return ErrnoError(errno, absl::StrCat("cannot rename to ", link));
  return SyncFolderOf(link);
}

absl::Status MakeFolder(const std::string& path, mode_t mode) {
  for (std::size_t end = path.find('/', 1);; end = path.find('/', end + 1)) {
    const std::string part = path.substr(0, end);
    if (::mkdir(part.c_str(), mode) != 0 && errno != EEXIST)
      return ErrnoError(errno, absl::StrCat("cannot make ", part));
    if (end == std::string::npos) return absl::OkStatus();
  }
}

}  // namespace burstlet::kube
