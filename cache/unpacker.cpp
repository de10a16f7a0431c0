#include "cache/unpacker.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <string>
#include <vector>

#include "cache/fd.h"
#include "cache/layer_rules.h"
#include "cache/rooted_tree.h"
#include "cache/tar_reader.h"
#include "metrics/status.h"

namespace burstlet::cache {
namespace {

constexpr std::size_t kMaxDeferredTimes = 262'144;  // beyond that directories keep the time of unpacking

timespec TimeOf(const TarEntry& entry) {
  timespec time = {};
  time.tv_sec = entry.mtime_seconds;
  time.tv_nsec = ClampNanoseconds(entry.mtime_nanoseconds);
  return time;
}

class LayerWriter {
 public:
  LayerWriter(int dir, TarReader& reader) : tree_(Fd(fcntl(dir, F_DUPFD_CLOEXEC, 3))), reader_(reader) {}

  absl::Status Add(const TarEntry& entry) {
    absl::StatusOr<std::vector<std::string>> split = SplitEntryPath(entry.path);
    if (!split.ok()) return split.status();
    const std::vector<std::string>& path = *split;
    if (path.empty()) return entry.type == TarType::kDirectory ? SetRoot(entry) : absl::OkStatus();
    ASSIGN_OR_RETURN(const EntryMeaning meaning, MeaningOf(path));
    if (meaning == EntryMeaning::kIgnored) return absl::OkStatus();
    if (meaning != EntryMeaning::kContent) return AddWhiteout(path, meaning);
    ASSIGN_OR_RETURN(const int parent, tree_.Parent(path, path.size() - 1));
    return AddAt(entry, parent, path);
  }

  absl::Status Finish() {
    for (auto it = times_.rbegin(); it != times_.rend(); ++it) {
      ASSIGN_OR_RETURN(const std::vector<std::string> path, SplitEntryPath(it->path));
      if (path.empty()) {
        const timespec both[2] = {it->time, it->time};
        futimens(tree_.root(), both);
        continue;
      }
      const absl::StatusOr<int> parent = tree_.ExistingParent(path, path.size() - 1);
      if (!parent.ok()) continue;  // replaced by a later entry
      SetTime(*parent, path.back(), it->time);
    }
    return absl::OkStatus();
  }

  const UnpackResult& result() const { return result_; }
  UnpackResult& result() { return result_; }

 private:
  struct DirectoryTime {
    std::string path;
    timespec time;
  };

  absl::Status AddAt(const TarEntry& entry, int parent, const std::vector<std::string>& path) {
    const std::string& name = path.back();
    switch (entry.type) {
      case TarType::kDirectory:
        return AddDirectory(entry, parent, name);
      case TarType::kFile:
        return AddFile(entry, parent, name);
      case TarType::kSymlink:
        RETURN_IF_ERROR(MakeRoom(parent, name));
        if (symlinkat(entry.link_target.c_str(), parent, name.c_str()) != 0) return Errno("make symbolic link");
        return SetOwnerAndTime(entry, parent, name);
      case TarType::kHardlink:
        return AddHardlink(entry, path);
      case TarType::kFifo:
        RETURN_IF_ERROR(MakeRoom(parent, name));
        if (mknodat(parent, name.c_str(), S_IFIFO | 0600, 0) != 0) return Errno("make FIFO");
        RETURN_IF_ERROR(SetOwnerAndTime(entry, parent, name));
        // Not followed: the FIFO was made just now in a directory that only we write to.
        if (fchmodat(parent, name.c_str(), entry.mode, 0) != 0) return Errno("set mode");
        return absl::OkStatus();
      case TarType::kCharDevice:
      case TarType::kBlockDevice:
        ++result_.devices_left_out;
        return absl::OkStatus();
      case TarType::kOther:
        break;
    }
    return absl::InvalidArgumentError("an entry of a type that images don't have");
  }

  absl::Status SetRoot(const TarEntry& entry) {
    const Fd fd(openat(tree_.root(), ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (!fd.valid()) return Errno("open layer");
    RETURN_IF_ERROR(SetAttributes(entry, fd.get()));
    Defer(entry);
    return absl::OkStatus();
  }

  absl::Status AddDirectory(const TarEntry& entry, int parent, const std::string& name) {
    bool opaque = false;
    if (mkdirat(parent, name.c_str(), 0700) != 0) {
      if (errno != EEXIST) return Errno("make directory");
      struct stat st = {};
      if (fstatat(parent, name.c_str(), &st, AT_SYMLINK_NOFOLLOW) != 0) return Errno("stat");
      if (!S_ISDIR(st.st_mode)) {
        opaque = IsWhiteoutAt(parent, name);
        RETURN_IF_ERROR(MakeRoom(parent, name));
        if (mkdirat(parent, name.c_str(), 0700) != 0) return Errno("make directory");
      }
    }
    const Fd fd(openat(parent, name.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
    if (!fd.valid()) return Errno("open directory");
    if (opaque) RETURN_IF_ERROR(MarkOpaque(fd.get()));
    RETURN_IF_ERROR(SetAttributes(entry, fd.get()));
    Defer(entry);
    return absl::OkStatus();
  }

  absl::Status AddFile(const TarEntry& entry, int parent, const std::string& name) {
    const int flags = O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC;
    Fd fd(openat(parent, name.c_str(), flags, 0600));
    if (!fd.valid() && errno == EEXIST) {
      RETURN_IF_ERROR(MakeRoom(parent, name));
      fd = Fd(openat(parent, name.c_str(), flags, 0600));
    }
    if (!fd.valid()) return Errno("make file");
    std::uint64_t end = 0;
    while (true) {
      ASSIGN_OR_RETURN(const std::optional<TarBlock> block, reader_.NextBlock());
      if (!block.has_value()) break;
      RETURN_IF_ERROR(WriteAt(fd.get(), *block));
      end = block->offset + block->data.size();
    }
    if (end < entry.size && ftruncate(fd.get(), static_cast<off_t>(entry.size)) != 0) return Errno("set file size");
    result_.size_bytes += entry.size;
    RETURN_IF_ERROR(SetAttributes(entry, fd.get()));
    const timespec both[2] = {TimeOf(entry), TimeOf(entry)};
    futimens(fd.get(), both);
    return absl::OkStatus();
  }

  static absl::Status WriteAt(int fd, const TarBlock& block) {
    std::size_t done = 0;
    while (done < block.data.size()) {
      const ssize_t wrote =
          pwrite(fd, block.data.data() + done, block.data.size() - done, static_cast<off_t>(block.offset + done));
      if (wrote < 0 && errno == EINTR) continue;
      if (wrote <= 0) return Errno("write file");
      done += static_cast<std::size_t>(wrote);
    }
    return absl::OkStatus();
  }

  absl::Status AddHardlink(const TarEntry& entry, const std::vector<std::string>& path) {
    ASSIGN_OR_RETURN(const std::vector<std::string> target, SplitEntryPath(entry.link_target));
    if (target.empty()) return absl::InvalidArgumentError("a hard link to the root");
    if (target == path) return absl::OkStatus();
    // Two directories at once: the cached parent serves one, so the target's is held by its own descriptor.
    ASSIGN_OR_RETURN(const int target_parent, tree_.ExistingParent(target, target.size() - 1));
    const Fd from(fcntl(target_parent, F_DUPFD_CLOEXEC, 3));
    struct stat st = {};
    if (fstatat(from.get(), target.back().c_str(), &st, AT_SYMLINK_NOFOLLOW) != 0) return Errno("hard link target");
    if (S_ISDIR(st.st_mode) || IsWhiteoutAt(from.get(), target.back())) {
      return absl::InvalidArgumentError("a hard link to something that is no file");
    }
    ASSIGN_OR_RETURN(const int parent, tree_.Parent(path, path.size() - 1));
    const std::string& name = path.back();
    struct stat there = {};
    if (fstatat(parent, name.c_str(), &there, AT_SYMLINK_NOFOLLOW) == 0) {
      if (there.st_ino == st.st_ino && there.st_dev == st.st_dev) return absl::OkStatus();
      RETURN_IF_ERROR(MakeRoom(parent, name));
    }
    // Flags 0: a symbolic link is linked itself, never what it points to.
    if (linkat(from.get(), target.back().c_str(), parent, name.c_str(), 0) != 0) return Errno("make hard link");
    return absl::OkStatus();
  }

  absl::Status AddWhiteout(const std::vector<std::string>& path, EntryMeaning meaning) {
    ASSIGN_OR_RETURN(const int parent, tree_.Parent(path, path.size() - 1));
    if (meaning == EntryMeaning::kOpaque) return MarkOpaque(parent);
    const std::string name = HiddenName(path.back());
    if (mknodat(parent, name.c_str(), S_IFCHR, 0) == 0) return absl::OkStatus();
    if (errno != EEXIST) return Errno("make whiteout");
    // A whiteout is about lower layers only: what this layer brings itself stays, but hides what is below.
    const Fd fd(openat(parent, name.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
    return fd.valid() ? MarkOpaque(fd.get()) : absl::OkStatus();
  }

  /// Takes away what an earlier entry left under this name.
  absl::Status MakeRoom(int parent, const std::string& name) {
    if (unlinkat(parent, name.c_str(), 0) == 0 || errno == ENOENT) {
      return absl::OkStatus();
    }
    return RemoveTreeAt(parent, name);
  }

  absl::Status SetAttributes(const TarEntry& entry, int fd) {
    // Owner first: chown clears setuid bits and file capabilities.
    if (fchown(fd, entry.uid, entry.gid) != 0) return Errno("set owner");
    if (fchmod(fd, entry.mode) != 0) return Errno("set mode");
    for (const auto& [name, value] : entry.xattrs) {
      if (!KeepsXattr(name)) continue;
      if (fsetxattr(fd, name.c_str(), value.data(), value.size(), 0) == 0) continue;
      // A file system without user attributes still runs the image; a lost capability would break it silently.
      if (name != "security.capability" && (errno == ENOTSUP || errno == EPERM)) continue;
      return Errno("set extended attribute");
    }
    return absl::OkStatus();
  }

  absl::Status SetOwnerAndTime(const TarEntry& entry, int parent, const std::string& name) {
    if (fchownat(parent, name.c_str(), entry.uid, entry.gid, AT_SYMLINK_NOFOLLOW) != 0) return Errno("set owner");
    SetTime(parent, name, TimeOf(entry));
    return absl::OkStatus();
  }

  static void SetTime(int parent, const std::string& name, const timespec& time) {
    const timespec both[2] = {time, time};
    utimensat(parent, name.c_str(), both, AT_SYMLINK_NOFOLLOW);
  }

  void Defer(const TarEntry& entry) {
    if (times_.size() < kMaxDeferredTimes) times_.push_back({entry.path, TimeOf(entry)});
  }

  static absl::Status Errno(std::string_view what) { return ErrnoError(errno, what); }

  RootedTree tree_;
  TarReader& reader_;
  UnpackResult result_;
  std::vector<DirectoryTime> times_;  // a directory's time is set when nothing more is put into it
};

}  // namespace

absl::StatusOr<UnpackResult> Unpack(ByteSource& tar, int dir, const UnpackLimits& limits,
                                    const std::atomic<bool>* cancelled) {
  GuardedSource guarded(tar, limits.max_bytes, cancelled);
  TarReader reader(guarded, limits.max_bytes, limits.max_entries);
  LayerWriter writer(dir, reader);
  ASSIGN_OR_RETURN(writer.result().entries,
                   ForEachEntry(guarded, reader, [&](const TarEntry& entry) { return writer.Add(entry); }));
  RETURN_IF_ERROR(writer.Finish());
  return writer.result();
}

}  // namespace burstlet::cache
