// du(1) for trees that a container has made: bounded in memory and descriptors, and it never leaves the tree.
#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>

#include <cerrno>
#include <memory>
#include <set>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "metrics/status.h"
#include "provider/local_storage.h"
#include "provider/volumes/directory.h"
#include "sandbox/os/unique_fd.h"

namespace burstlet::provider {
namespace {

using sandbox::UniqueFd;

/// Paths are resolved from a descriptor at most this many levels up: deep trees have no length limit.
constexpr int kLevelsPerAnchor = 15;  // names of 255 bytes each, within PATH_MAX
/// Directories that wait to be read, and files with several names that are remembered.
constexpr std::size_t kMostRemembered = 200'000;
constexpr std::int64_t kBlock = 512;  // unit of st_blocks, whatever the file system's own

struct Pending {
  std::shared_ptr<UniqueFd> anchor;
  std::string path;  // relative to the anchor
  int levels = 0;
};

class Walk {
 public:
  explicit Walk(dev_t device) : device_(device) {}

  void Add(const struct stat& entry) {
    if (entry.st_nlink > 1 && !S_ISDIR(entry.st_mode)) {
      if (seen_.size() < kMostRemembered && !seen_.insert(entry.st_ino).second) return;
    }
    bytes_ += static_cast<std::int64_t>(entry.st_blocks) * kBlock;
  }

  void Read(Pending directory, std::vector<Pending>& pending) {
    // Whoever renames it meanwhile makes this look incomplete, not wrong.
    auto opened = OpenInside(directory.anchor->get(), directory.path, O_DIRECTORY);
    if (!opened.ok()) return;
    auto fd = std::make_shared<UniqueFd>(*std::move(opened));
    UniqueFd copy(::fcntl(fd->get(), F_DUPFD_CLOEXEC, 0));
    const std::unique_ptr<DIR, int (*)(DIR*)> stream(::fdopendir(copy.get()), ::closedir);
    if (stream == nullptr) return;
    copy.Release();
    const bool anchors = directory.levels >= kLevelsPerAnchor;
    while (const dirent* entry = ::readdir(stream.get())) {
      const std::string name = entry->d_name;
      struct stat info{};
      if (name == "." || name == ".." || ::fstatat(fd->get(), name.c_str(), &info, AT_SYMLINK_NOFOLLOW) != 0) continue;
      if (info.st_dev != device_) continue;
      Add(info);
      if (!S_ISDIR(info.st_mode) || pending.size() >= kMostRemembered) continue;
      if (anchors) {
        pending.push_back({fd, name, 1});
      } else {
        pending.push_back({directory.anchor, absl::StrCat(directory.path, "/", name), directory.levels + 1});
      }
    }
  }

  std::int64_t bytes() const { return bytes_; }

 private:
  const dev_t device_;
  std::set<ino_t> seen_;
  std::int64_t bytes_ = 0;
};

}  // namespace

absl::StatusOr<std::int64_t> BytesOnDisk(const std::string& directory) {
  auto opened = OpenOwnDirectory(directory);
  if (absl::IsNotFound(opened.status())) return 0;
  RETURN_IF_ERROR(opened.status());
  auto root = std::make_shared<UniqueFd>(*std::move(opened));
  struct stat info{};
  if (::fstat(root->get(), &info) != 0) return ErrnoError(errno, directory);
  Walk walk(info.st_dev);
  walk.Add(info);
  std::vector<Pending> pending{{root, ".", 0}};
  root.reset();
  while (!pending.empty()) {
    Pending next = std::move(pending.back());
    pending.pop_back();
    walk.Read(std::move(next), pending);
  }
  return walk.bytes();
}

}  // namespace burstlet::provider
