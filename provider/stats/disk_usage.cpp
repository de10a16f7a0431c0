#include "provider/stats/disk_usage.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <set>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "metrics/status.h"
#include "sandbox/os/unique_fd.h"

namespace burstlet::provider {
namespace {

using sandbox::UniqueFd;

/// Directories that wait to be read, and files with several names that are remembered: memory stays bounded, whatever a
/// container makes. What is beyond is not entered, or counted by each of its names.
constexpr std::size_t kMostRemembered = 200'000;

std::int64_t Now() {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(std::chrono::system_clock::now().time_since_epoch())
      .count();
}

/// One directory on the way from the root to where the walk is.
struct Level {
  dev_t device = 0;
  ino_t inode = 0;
  std::vector<std::string> directories;  // still to be visited
};

class Walk {
 public:
  explicit Walk(DiskUsage& usage) : usage_(usage) {}

  absl::Status Run(UniqueFd directory) {
    RETURN_IF_ERROR(Enter(directory));
    while (!levels_.empty()) {
      Level& level = levels_.back();
      if (level.directories.empty()) {
        levels_.pop_back();
        if (levels_.empty()) break;
        UniqueFd parent(openat(directory.get(), "..", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
        if (!Is(parent, levels_.back())) return absl::OkStatus();  // moved meanwhile: what has been seen counts
        directory = std::move(parent);
        continue;
      }
      const std::string name = std::move(level.directories.back());
      level.directories.pop_back();
      --waiting_;
      UniqueFd child(openat(directory.get(), name.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
      if (!child.valid()) continue;  // gone
      if (Enter(child).ok()) directory = std::move(child);
    }
    return absl::OkStatus();
  }

  void Count(const struct stat& status) {
    if (status.st_nlink > 1 && !S_ISDIR(status.st_mode) && linked_.size() < kMostRemembered &&
        !linked_.emplace(status.st_dev, status.st_ino).second)
      return;
    usage_.bytes += static_cast<std::uint64_t>(status.st_blocks) * 512;
    ++usage_.inodes;
  }

 private:
  static bool Is(const UniqueFd& fd, const Level& level) {
    struct stat status{};
    return fd.valid() && fstat(fd.get(), &status) == 0 && status.st_dev == level.device && status.st_ino == level.inode;
  }

  absl::Status Enter(const UniqueFd& directory) {
    struct stat own{};
    if (fstat(directory.get(), &own) != 0) return ErrnoError(errno, "stat");
    if (!levels_.empty() && own.st_dev != levels_.front().device) return absl::OutOfRangeError("another file system");
    Level level{own.st_dev, own.st_ino, {}};
    if (levels_.empty()) Count(own);
    // A descriptor of its own: closedir closes the one it was given.
    DIR* stream = fdopendir(openat(directory.get(), ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (stream == nullptr) return ErrnoError(errno, "read directory");
    while (const dirent* entry = readdir(stream)) {
      const std::string_view name = entry->d_name;
      if (name == "." || name == "..") continue;
      struct stat status{};
      if (fstatat(directory.get(), entry->d_name, &status, AT_SYMLINK_NOFOLLOW) != 0) continue;
      if (status.st_dev != own.st_dev) continue;
      Count(status);
      if (!S_ISDIR(status.st_mode) || waiting_ >= kMostRemembered) continue;
      level.directories.emplace_back(name);
      ++waiting_;
    }
    closedir(stream);
    levels_.push_back(std::move(level));
    return absl::OkStatus();
  }

  DiskUsage& usage_;
  std::vector<Level> levels_;
  std::size_t waiting_ = 0;  // directories of all levels
  std::set<std::pair<dev_t, ino_t>> linked_;
};

}  // namespace

absl::StatusOr<DiskUsage> MeasureTreeAt(int fd) {
  DiskUsage usage;
  usage.measured_at = Now();
  struct stat status{};
  if (fstat(fd, &status) != 0) return ErrnoError(errno, "stat");
  Walk walk(usage);
  if (!S_ISDIR(status.st_mode)) {
    walk.Count(status);
    return usage;
  }
  UniqueFd directory(openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!directory.valid()) return ErrnoError(errno, "open directory");
  RETURN_IF_ERROR(walk.Run(std::move(directory)));
  return usage;
}

absl::StatusOr<DiskUsage> MeasureTree(const std::string& path) {
  UniqueFd fd(open(path.c_str(), O_PATH | O_NOFOLLOW | O_CLOEXEC));
  if (!fd.valid()) return ErrnoError(errno, absl::StrCat("open ", path));
  return MeasureTreeAt(fd.get());
}

}  // namespace burstlet::provider
