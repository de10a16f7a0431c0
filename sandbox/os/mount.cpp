#include "sandbox/os/mount.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/utsname.h>

#include <atomic>
#include <cerrno>
#include <cstdio>
#include <mutex>
#include <utility>

#include "absl/strings/str_cat.h"
#include "metrics/status.h"
#include "sandbox/os/safe_path.h"
#include "sandbox/os/syscalls.h"

namespace burstlet::sandbox {
namespace {

constexpr std::size_t kMaxOption = 250;  // fsconfig copies 256 bytes of a value

/// A directory as an option value: itself, or a descriptor's link when its path is too long or has a ':' or ','.
class OptionPath {
 public:
  static absl::StatusOr<OptionPath> Open(const std::string& path, bool always_fd) {
    OptionPath option;
    if (!always_fd && path.size() < kMaxOption && path.find_first_of(":,\\") == std::string::npos) {
      option.text_ = path;
      return option;
    }
    option.fd_ = UniqueFd(::open(path.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
    if (!option.fd_.valid()) return ErrnoError(errno, absl::StrCat("layer ", path));
    option.text_ = absl::StrCat("/proc/self/fd/", option.fd_.get());
    return option;
  }
  const std::string& text() const { return text_; }

 private:
  UniqueFd fd_;
  std::string text_;
};

/// A layer seen with the ids of a user namespace: a detached mount, or attached at a place of the agent's for as long
/// as the overlay is being made, since kernels before 6.15 take layers only from the caller's own mounts.
class MappedLayer {
 public:
  static absl::StatusOr<MappedLayer> Open(const std::string& path, int user_namespace, const std::string& place) {
    UniqueFd layer(::open(path.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
    if (!layer.valid()) return ErrnoError(errno, absl::StrCat("layer ", path));
    MappedLayer mapped;
    mapped.mount_ = UniqueFd(CloneMount(layer.get(), false));
    if (!mapped.mount_.valid()) return ErrnoError(errno, absl::StrCat("layer ", path));
    if (SetMountAttributes(mapped.mount_.get(), 0, 0, MS_PRIVATE, false, user_namespace) != 0)
      return ErrnoError(errno, absl::StrCat("map the ids of layer ", path));
    if (place.empty()) return mapped;
    RETURN_IF_ERROR(MakeDirectory(place, 0700));
    UniqueFd target(::open(place.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
    if (!target.valid() || MoveMountTo(mapped.mount_.get(), target.get()) != 0) return ErrnoError(errno, place);
    mapped.place_ = place;
    return mapped;
  }
  MappedLayer(MappedLayer&& other) noexcept
      : mount_(std::move(other.mount_)), place_(std::exchange(other.place_, std::string())) {}
  MappedLayer& operator=(MappedLayer&&) = delete;
  ~MappedLayer() {
    if (place_.empty()) return;
    ::umount2(place_.c_str(), MNT_DETACH);
    ::rmdir(place_.c_str());
  }
  std::string path() const { return place_.empty() ? absl::StrCat("/proc/self/fd/", mount_.get()) : place_; }

 private:
  MappedLayer() = default;
  UniqueFd mount_;
  std::string place_;
};

/// What the kernel wrote about a refused mount.
std::string MountLog(int fs) {
  char message[512];
  ssize_t got = ::read(fs, message, sizeof(message) - 1);
  if (got <= 0) return "";
  while (got > 0 && message[got - 1] == '\n') --got;
  return absl::StrCat(" (", std::string(message, static_cast<std::size_t>(got)), ")");
}

absl::Status SetOption(int fs, const char* key, const std::string& value) {
  if (::fsconfig(fs, FSCONFIG_SET_STRING, key, value.c_str(), 0) == 0) return absl::OkStatus();
  int error = errno;
  return ErrnoError(error, absl::StrCat("overlay option ", key, "=", value, MountLog(fs)));
}

absl::StatusOr<UniqueFd> MountOverlayByParts(const OverlaySpec& spec) {
  UniqueFd fs(::fsopen("overlay", FSOPEN_CLOEXEC));
  if (!fs.valid()) return ErrnoError(errno, "overlay");
  RETURN_IF_ERROR(SetOption(fs.get(), "source", "overlay"));
  std::vector<OptionPath> keep;
  for (const std::string& lower : spec.lower_dirs) {
    ASSIGN_OR_RETURN(OptionPath option, OptionPath::Open(lower, false));
    RETURN_IF_ERROR(SetOption(fs.get(), "lowerdir+", option.text()));
    keep.push_back(std::move(option));
  }
  if (!spec.upper_dir.empty()) {
    ASSIGN_OR_RETURN(OptionPath upper, OptionPath::Open(spec.upper_dir, false));
    RETURN_IF_ERROR(SetOption(fs.get(), "upperdir", upper.text()));
    ASSIGN_OR_RETURN(OptionPath work, OptionPath::Open(spec.work_dir, false));
    RETURN_IF_ERROR(SetOption(fs.get(), "workdir", work.text()));
    // The writable layer dies with its container, so nobody gains from a sync of the disk when it is unmounted.
    if (::fsconfig(fs.get(), FSCONFIG_SET_FLAG, "volatile", nullptr, 0) != 0)
      return ErrnoError(errno, "overlay option volatile");
  }
  if (::fsconfig(fs.get(), FSCONFIG_CMD_CREATE, nullptr, nullptr, 0) != 0) {
    int error = errno;
    return ErrnoError(error, absl::StrCat("overlay", MountLog(fs.get())));
  }
  UniqueFd mounted(::fsmount(fs.get(), FSMOUNT_CLOEXEC, 0));
  if (!mounted.valid()) return ErrnoError(errno, "overlay");
  return mounted;
}

/// mount(2) takes a page of options: descriptors' links keep a hundred and more layers within it.
absl::StatusOr<UniqueFd> MountOverlayClassic(const OverlaySpec& spec) {
  std::vector<OptionPath> keep;
  std::string options = "lowerdir=";
  for (std::size_t i = 0; i < spec.lower_dirs.size(); ++i) {
    ASSIGN_OR_RETURN(OptionPath option, OptionPath::Open(spec.lower_dirs[i], true));
    absl::StrAppend(&options, i == 0 ? "" : ":", option.text());
    keep.push_back(std::move(option));
  }
  if (!spec.upper_dir.empty()) {
    ASSIGN_OR_RETURN(OptionPath upper, OptionPath::Open(spec.upper_dir, true));
    ASSIGN_OR_RETURN(OptionPath work, OptionPath::Open(spec.work_dir, true));
    absl::StrAppend(&options, ",upperdir=", upper.text(), ",workdir=", work.text(), ",volatile");
    keep.push_back(std::move(upper));
    keep.push_back(std::move(work));
  }
  static std::mutex place_mutex;  // one scratch place, held for the two calls only
  std::lock_guard<std::mutex> lock(place_mutex);
  RETURN_IF_ERROR(MakeDirectory(spec.scratch_dir, 0700));
  if (::mount("overlay", spec.scratch_dir.c_str(), "overlay", 0, options.c_str()) != 0)
    return ErrnoError(errno, "overlay");
  UniqueFd mounted(::open_tree(AT_FDCWD, spec.scratch_dir.c_str(), OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC));
  int error = errno;
  ::umount2(spec.scratch_dir.c_str(), MNT_DETACH);
  if (!mounted.valid()) return ErrnoError(error, "overlay");
  return mounted;
}

absl::StatusOr<UniqueFd> MountOverlayPlain(const OverlaySpec& spec) {
  return KernelHasLowerdirAppend() ? MountOverlayByParts(spec) : MountOverlayClassic(spec);
}

absl::StatusOr<UniqueFd> MountOverlayMapped(const OverlaySpec& spec, bool attached) {
  static std::atomic<unsigned> counter{0};
  const std::string place = absl::StrCat(spec.scratch_dir, "-", ++counter, "-");
  std::vector<MappedLayer> layers;
  layers.reserve(spec.lower_dirs.size());
  OverlaySpec mapped = spec;
  for (std::string& lower : mapped.lower_dirs) {
    ASSIGN_OR_RETURN(MappedLayer layer,
                     MappedLayer::Open(lower, spec.user_namespace, attached ? absl::StrCat(place, layers.size()) : ""));
    lower = layer.path();
    layers.push_back(std::move(layer));
  }
  return MountOverlayPlain(mapped);
}

absl::StatusOr<UniqueFd> Clone(int fd, const std::string& path) {
  UniqueFd mounted(CloneMount(fd, true));
  if (!mounted.valid()) return ErrnoError(errno, absl::StrCat("mount ", path));
  return mounted;
}

}  // namespace

bool KernelHasLowerdirAppend() {
  static const bool has = [] {
    // Before overlay learned the new mount API (6.5) its context took any word and failed only at the end.
    UniqueFd fs(::fsopen("overlay", FSOPEN_CLOEXEC));
    return fs.valid() && ::fsconfig(fs.get(), FSCONFIG_SET_STRING, "burstlet-probe", "/", 0) != 0 &&
           ::fsconfig(fs.get(), FSCONFIG_SET_STRING, "lowerdir+", "/", 0) == 0;
  }();
  return has;
}

absl::StatusOr<UniqueFd> MountOverlay(const OverlaySpec& spec) {
  if (spec.lower_dirs.empty()) return absl::InvalidArgumentError("a root file system needs at least one layer");
  if (spec.upper_dir.empty() && spec.lower_dirs.size() == 1) {
    UniqueFd layer(::open(spec.lower_dirs[0].c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
    if (!layer.valid()) return ErrnoError(errno, absl::StrCat("layer ", spec.lower_dirs[0]));
    ASSIGN_OR_RETURN(UniqueFd mounted, Clone(layer.get(), spec.lower_dirs[0]));
    if (SetMountAttributes(mounted.get(), MOUNT_ATTR_RDONLY, 0, MS_PRIVATE, true, spec.user_namespace) != 0)
      return ErrnoError(errno, absl::StrCat("mount ", spec.lower_dirs[0], " read-only"));
    return mounted;
  }
  if (spec.user_namespace < 0) return MountOverlayPlain(spec);
  static std::atomic<bool> takes_detached{true};
  if (takes_detached) {
    absl::StatusOr<UniqueFd> mounted = MountOverlayMapped(spec, false);
    if (mounted.ok()) return mounted;
  }
  absl::StatusOr<UniqueFd> mounted = MountOverlayMapped(spec, true);
  if (mounted.ok()) takes_detached = false;
  return mounted;
}

bool KernelMapsIds() {
  static const bool maps = [] {
    utsname name{};
    if (::uname(&name) != 0) return false;
    int major = 0;
    int minor = 0;
    if (std::sscanf(name.release, "%d.%d", &major, &minor) != 2) return false;
    struct stat status{};
    // Every mapping needs a user namespace to take it from.
    return (major > 6 || (major == 6 && minor >= 3)) && ::stat("/proc/self/ns/user", &status) == 0;
  }();
  return maps;
}

absl::StatusOr<UniqueFd> MountTmpfs(const TmpfsSpec& spec) {
  const bool huge = spec.page_size_bytes > 0;
  const char* type = huge ? "hugetlbfs" : "tmpfs";
  UniqueFd fs(::fsopen(type, FSOPEN_CLOEXEC));
  if (!fs.valid()) return ErrnoError(errno, type);
  auto set = [&](const char* key, const std::string& value) {
    return ::fsconfig(fs.get(), FSCONFIG_SET_STRING, key, value.c_str(), 0) == 0;
  };
  char mode[16];
  std::snprintf(mode, sizeof(mode), "%o", spec.mode);
  if ((huge && !set("pagesize", absl::StrCat(spec.page_size_bytes))) ||
      (spec.size_bytes > 0 && !set("size", absl::StrCat(spec.size_bytes))) || !set("mode", mode) ||
      (spec.uid >= 0 && !set("uid", absl::StrCat(spec.uid))) ||
      (spec.gid >= 0 && !set("gid", absl::StrCat(spec.gid))) ||
      ::fsconfig(fs.get(), FSCONFIG_CMD_CREATE, nullptr, nullptr, 0) != 0)
    return ErrnoError(errno, type);
  UniqueFd mounted(::fsmount(fs.get(), FSMOUNT_CLOEXEC, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV));
  if (!mounted.valid()) return ErrnoError(errno, type);
  return mounted;
}

absl::StatusOr<UniqueFd> CloneHostPath(const std::string& path) {
  UniqueFd fd(::open(path.c_str(), O_PATH | O_CLOEXEC));
  if (!fd.valid()) return ErrnoError(errno, path);
  return Clone(fd.get(), path);
}

absl::StatusOr<UniqueFd> CloneHostSubPath(const std::string& path, const std::string& sub_path) {
  UniqueFd base(::open(path.c_str(), O_PATH | O_CLOEXEC));
  if (!base.valid()) return ErrnoError(errno, path);
  ASSIGN_OR_RETURN(UniqueFd below, OpenBeneath(base.get(), sub_path, O_PATH));
  return Clone(below.get(), absl::StrCat(path, "/", sub_path));
}

}  // namespace burstlet::sandbox
