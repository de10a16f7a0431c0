#include "provider/volumes/ownership.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>

#include "absl/strings/str_cat.h"
#include "metrics/status.h"
#include "provider/volumes/directory.h"

namespace burstlet::provider {
namespace {

mode_t GroupBits(bool is_directory, bool read_only) {
  mode_t bits = read_only ? 0440 : 0660;
  if (is_directory) bits |= 0110 | S_ISGID;
  return bits;
}

absl::StatusOr<bool> RootMatches(int directory, const GroupOwnership& ownership) {
  struct stat status{};
  if (::fstat(directory, &status) != 0) return ErrnoError(errno, "stat the volume");
  const mode_t bits = GroupBits(true, ownership.read_only);
  return static_cast<std::int64_t>(status.st_gid) == ownership.gid && (status.st_mode & bits) == bits;
}

absl::Status Walk(int directory, const GroupOwnership& ownership) {
  ASSIGN_OR_RETURN(const auto names, ListNames(directory));
  for (const auto& name : names) {
    struct stat status{};
    if (::fstatat(directory, name.c_str(), &status, AT_SYMLINK_NOFOLLOW) != 0) {
      if (errno == ENOENT) continue;
      return ErrnoError(errno, absl::StrCat("stat ", name));
    }
    if (S_ISDIR(status.st_mode) || S_ISREG(status.st_mode)) {
      ASSIGN_OR_RETURN(const sandbox::UniqueFd fd, OpenInside(directory, name, O_NONBLOCK | O_NOFOLLOW));
      if (S_ISDIR(status.st_mode)) RETURN_IF_ERROR(Walk(fd.get(), ownership));
      RETURN_IF_ERROR(SetGroupOf(fd.get(), ownership));
    } else if (::fchownat(directory, name.c_str(), static_cast<uid_t>(-1), static_cast<gid_t>(ownership.gid),
                          AT_SYMLINK_NOFOLLOW) != 0) {
      return ErrnoError(errno, absl::StrCat("chown ", name));
    }
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status SetGroupOf(int fd, const GroupOwnership& ownership) {
  struct stat status{};
  if (::fstat(fd, &status) != 0) return ErrnoError(errno, "stat");
  const mode_t bits = GroupBits(S_ISDIR(status.st_mode), ownership.read_only);
  if (::fchown(fd, static_cast<uid_t>(-1), static_cast<gid_t>(ownership.gid)) != 0) return ErrnoError(errno, "chown");
  // After chown, which takes setuid and setgid away.
  if (::fchmod(fd, (status.st_mode & 07777) | bits) != 0) return ErrnoError(errno, "chmod");
  return absl::OkStatus();
}

absl::Status SetGroupOwnership(int directory, const GroupOwnership& ownership) {
  if (ownership.only_on_root_mismatch) {
    ASSIGN_OR_RETURN(const bool matches, RootMatches(directory, ownership));
    if (matches) return absl::OkStatus();
  }
  // The root comes last: it shows that everything below is done.
  RETURN_IF_ERROR(Walk(directory, ownership));
  return SetGroupOf(directory, ownership);
}

}  // namespace burstlet::provider
