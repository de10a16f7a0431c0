#include "cache/layer_mounts.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <unistd.h>

#include <cstring>
#include <memory>

#include "absl/strings/str_cat.h"
#include "cache/erofs/format.h"
#include "cache/erofs/writer.h"
#include "cache/loop_device.h"
#include "cache/paths.h"
#include "metrics/log.h"
#include "metrics/status.h"
#include "sandbox/os/syscalls.h"

namespace burstlet::cache {
namespace {

constexpr std::size_t kMaxOption = 250;  // fsconfig copies 256 bytes of a value
constexpr char kProbeName[] = "probe";
constexpr std::string_view kProbeText = "what is read is what was written";

/// Why a mount was refused, in the kernel's words where it has some.
std::string MountLog(int fs) {
  char message[512];
  ssize_t got = read(fs, message, sizeof(message) - 1);
  while (got > 0 && message[got - 1] == '\n') --got;
  return got <= 0 ? "" : absl::StrCat(" (", std::string(message, static_cast<std::size_t>(got)), ")");
}

bool IsMountRoot(const std::string& path) {
  struct statx info = {};
  return statx(AT_FDCWD, path.c_str(), AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT, STATX_TYPE, &info) == 0 &&
         (info.stx_attributes_mask & STATX_ATTR_MOUNT_ROOT) != 0 && (info.stx_attributes & STATX_ATTR_MOUNT_ROOT) != 0;
}

bool IsErofs(const std::string& path) {
  struct statfs info = {};
  return statfs(path.c_str(), &info) == 0 && static_cast<std::uint32_t>(info.f_type) == erofs::kMagic;
}

/// An image in memory; only for the probe.
class MemorySink : public erofs::Sink {
 public:
  absl::Status Write(std::span<const std::uint8_t> data) override {
    bytes_.append(reinterpret_cast<const char*>(data.data()), data.size());
    return absl::OkStatus();
  }
  absl::Status Zeros(std::uint64_t count) override {
    bytes_.append(count, '\0');
    return absl::OkStatus();
  }
  absl::Status WriteFirstBlock(std::span<const std::uint8_t> block) override {
    std::memcpy(bytes_.data(), block.data(), block.size());
    return absl::OkStatus();
  }
  const std::string& bytes() const { return bytes_; }

 private:
  std::string bytes_ = std::string(erofs::kBlockSize, '\0');
};

absl::Status WriteProbe(const std::string& file) {
  MemorySink sink;
  erofs::Writer writer(sink, {});
  RETURN_IF_ERROR(writer.BeginFile(kProbeText.size()));
  RETURN_IF_ERROR(
      writer.Append(0, std::span(reinterpret_cast<const std::uint8_t*>(kProbeText.data()), kProbeText.size())));
  ASSIGN_OR_RETURN(erofs::FileData data, writer.EndFile());
  erofs::Attributes of;
  of.mode = S_IFREG | 0400;
  RETURN_IF_ERROR(writer.tree().AddFile(erofs::LayerTree::kRoot, kProbeName, of, std::move(data)).status());
  RETURN_IF_ERROR(writer.Finish().status());
  const Fd fd(open(file.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600));
  if (!fd.valid()) return ErrnoError(errno, absl::StrCat("make ", file));
  const ssize_t wrote = write(fd.get(), sink.bytes().data(), sink.bytes().size());
  if (wrote != static_cast<ssize_t>(sink.bytes().size())) return ErrnoError(wrote < 0 ? errno : ENOSPC, file);
  return absl::OkStatus();
}

absl::Status TryProbe(const std::string& file, bool loop) {
  ASSIGN_OR_RETURN(const Fd mounted, MountImage(file, loop));
  const Fd fd(openat(mounted.get(), kProbeName, O_RDONLY | O_CLOEXEC));
  if (!fd.valid()) return ErrnoError(errno, "open a file of an EROFS image");
  char text[64];
  const ssize_t got = read(fd.get(), text, sizeof(text));
  if (got < 0) return ErrnoError(errno, "read a file of an EROFS image");
  if (std::string_view(text, static_cast<std::size_t>(got)) == kProbeText) return absl::OkStatus();
  return absl::DataLossError("an EROFS image reads wrong");
}

struct CloseDir {
  void operator()(DIR* dir) const { closedir(dir); }
};

}  // namespace

const char* LayerFormatName(LayerFormat format) {
  switch (format) {
    case LayerFormat::kErofsFile:
      return "erofs";
    case LayerFormat::kErofsLoop:
      return "erofs-loop";
    case LayerFormat::kDirectory:
      break;
  }
  return "directory";
}

absl::StatusOr<Fd> MountImage(const std::string& file, bool loop) {
  LoopDevice device;
  Fd by_number;
  std::string source = file;
  if (loop) {
    ASSIGN_OR_RETURN(device, AttachLoop(file));
    source = device.path;
  } else if (source.size() > kMaxOption) {
    by_number = Fd(open(file.c_str(), O_RDONLY | O_NOFOLLOW | O_CLOEXEC));
    if (!by_number.valid()) return ErrnoError(errno, absl::StrCat("open ", file));
    source = absl::StrCat("/proc/self/fd/", by_number.get());
  }
  const Fd fs(fsopen("erofs", FSOPEN_CLOEXEC));
  if (!fs.valid()) return ErrnoError(errno, "erofs");
  if (fsconfig(fs.get(), FSCONFIG_SET_STRING, "source", source.c_str(), 0) != 0 ||
      fsconfig(fs.get(), FSCONFIG_SET_FLAG, "ro", nullptr, 0) != 0 ||
      fsconfig(fs.get(), FSCONFIG_CMD_CREATE, nullptr, nullptr, 0) != 0) {
    const int error = errno;
    return ErrnoError(error, absl::StrCat("mount EROFS image ", source, MountLog(fs.get())));
  }
  // Not nosuid or noexec: an image volume is a clone of this mount. Device nodes are of no use there.
  Fd mounted(fsmount(fs.get(), FSMOUNT_CLOEXEC, MOUNT_ATTR_RDONLY | MOUNT_ATTR_NODEV));
  if (!mounted.valid()) return ErrnoError(errno, absl::StrCat("mount EROFS image ", source));
  return mounted;
}

absl::StatusOr<LayerFormatChoice> ChooseLayerFormat(const std::string& directory, const std::string& wanted) {
  LayerFormatChoice choice;
  if (wanted == LayerFormatName(LayerFormat::kDirectory)) return choice;
  const std::string file = absl::StrCat(directory, "/.burstlet-probe-", getpid());
  RETURN_IF_ERROR(WriteProbe(file));
  for (const LayerFormat format : {LayerFormat::kErofsFile, LayerFormat::kErofsLoop}) {
    if (wanted != "auto" && wanted != LayerFormatName(format)) continue;
    const absl::Status tried = TryProbe(file, format == LayerFormat::kErofsLoop);
    if (tried.ok()) {
      unlink(file.c_str());
      choice.format = format;
      return choice;
    }
    absl::StrAppend(&choice.why, choice.why.empty() ? "" : "; ", LayerFormatName(format), ": ",
                    std::string(tried.message()));
  }
  unlink(file.c_str());
  if (wanted == "auto") return choice;
  if (choice.why.empty()) return absl::InvalidArgumentError(absl::StrCat("no format of image layers \"", wanted, "\""));
  return absl::FailedPreconditionError(absl::StrCat("image layers can't be kept as ", choice.why));
}

absl::StatusOr<std::unique_ptr<LayerMounts>> LayerMounts::Open(const std::string& root, LayerFormat format) {
  std::unique_ptr<LayerMounts> mounts(new LayerMounts(absl::StrCat(root, "/", kMountsDir), format));
  const char* directory = mounts->directory_.c_str();
  if (mkdir(directory, 0700) != 0 && errno != EEXIST) return ErrnoError(errno, absl::StrCat("make ", directory));
  if (format == LayerFormat::kDirectory) {
    mounts->UnmountAll();
    return mounts;
  }
  if (!IsMountRoot(directory)) {
    if (mount(directory, directory, nullptr, MS_BIND, nullptr) != 0)
      return ErrnoError(errno, absl::StrCat("mount ", directory));
  }
  if (mount(nullptr, directory, nullptr, MS_PRIVATE, nullptr) != 0)
    return ErrnoError(errno, absl::StrCat("make ", directory, " private"));
  return mounts;
}

absl::StatusOr<std::string> LayerMounts::Mount(const std::string& name, const std::string& file) {
  const std::string place = PlaceOf(name);
  if (mkdir(place.c_str(), 0755) != 0 && errno != EEXIST) return ErrnoError(errno, absl::StrCat("make ", place));
  if (IsMountRoot(place)) {
    if (IsErofs(place)) return place;  // by a former agent
    return absl::FailedPreconditionError(absl::StrCat("something else is mounted at ", place));
  }
  ASSIGN_OR_RETURN(const Fd mounted, MountImage(file, format_ == LayerFormat::kErofsLoop));
  const Fd target(open(place.c_str(), O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  if (!target.valid() || sandbox::MoveMountTo(mounted.get(), target.get()) != 0)
    return ErrnoError(errno, absl::StrCat("mount at ", place));
  return place;
}

void LayerMounts::Unmount(const std::string& name) {
  const std::string place = PlaceOf(name);
  if (umount2(place.c_str(), MNT_DETACH | UMOUNT_NOFOLLOW) != 0 && errno != EINVAL && errno != ENOENT) {
    Warn("Layer not unmounted", {{"place", place}, {"err", ErrnoError(errno, "umount").ToString()}});
  }
  rmdir(place.c_str());
}

std::vector<std::string> LayerMounts::Names() const {
  std::vector<std::string> names;
  const std::unique_ptr<DIR, CloseDir> dir(opendir(directory_.c_str()));
  if (dir == nullptr) return names;
  while (const dirent* entry = readdir(dir.get())) {
    const std::string name = entry->d_name;
    if (name != "." && name != "..") names.push_back(name);
  }
  return names;
}

void LayerMounts::UnmountAll() {
  for (const std::string& name : Names()) Unmount(name);
  if (IsMountRoot(directory_)) umount2(directory_.c_str(), MNT_DETACH | UMOUNT_NOFOLLOW);
}

}  // namespace burstlet::cache
