#include "sandbox/native/launch_plan.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include <algorithm>
#include <cerrno>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "metrics/status.h"
#include "sandbox/native/capabilities.h"
#include "sandbox/os/mount.h"
#include "sandbox/warden/protocol.h"

namespace burstlet::sandbox {
namespace {

using warden::BindSource;
using warden::StepKind;

constexpr std::uint64_t kSafe = MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC;
constexpr const char* kDefaultPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

absl::Status CreateError(absl::StatusCode code, const std::string& message) {
  return ReasonError(code, "CreateContainerError", message);
}

struct Node {
  const char* path;
  unsigned major;
  unsigned minor;
};
constexpr Node kNodes[] = {{"/dev/null", 1, 3},   {"/dev/zero", 1, 5},    {"/dev/full", 1, 7},
                           {"/dev/random", 1, 8}, {"/dev/urandom", 1, 9}, {"/dev/tty", 5, 0}};

/// Builds one container's plan step by step.
class Compiler {
 public:
  explicit Compiler(LaunchInput input) : input_(std::move(input)) {}

  absl::StatusOr<LaunchPlan> Compile() {
    for (UniqueFd& file : input_.cgroup_procs) plan_.AddNumber(StepKind::kCgroup, Keep(std::move(file)));
    plan_.Add(StepKind::kCgroupNamespace);
    plan_.AddNumber(StepKind::kRootfs, Keep(std::move(input_.rootfs)));
    AddSystemMounts();
    RETURN_IF_ERROR(AddDevices());
    RETURN_IF_ERROR(AddMounts());
    for (const std::string& path : container().masked_paths) plan_.AddText(StepKind::kMask, path);
    for (const std::string& path : container().read_only_paths) plan_.AddText(StepKind::kReadOnly, path);
    if (container().rootfs.read_only) plan_.Add(StepKind::kReadOnlyRoot);
    RETURN_IF_ERROR(AddProcess());
    plan_.AddText(StepKind::kLogPath, container().log_path);
    if (!container().pid_target.empty()) plan_.AddText(StepKind::kPidTarget, container().pid_target);
    LaunchPlan result;
    result.bytes = plan_.bytes();
    result.fds = std::move(fds_);
    return result;
  }

 private:
  const ContainerSpec& container() const { return *input_.container; }

  std::uint64_t Keep(UniqueFd fd) {
    fds_.push_back(std::move(fd));
    return fds_.size() - 1;
  }

  bool Mounted(const std::string& destination) const {
    return std::any_of(container().mounts.begin(), container().mounts.end(),
                       [&](const MountSpec& mount) { return mount.destination == destination; });
  }

  void MountFs(const char* type, const std::string& target, std::uint64_t attributes, std::uint64_t flags,
               const std::vector<std::string>& options = {}) {
    FieldWriter fields;
    fields.Text(type).Text(target).Number(attributes).Number(flags).Number(options.size());
    for (const std::string& option : options) fields.Text(option);
    plan_.Add(StepKind::kMountFs, fields);
  }

  /// The host's id behind the pod's root: who owns what is made for it.
  std::uint32_t Root() const {
    return input_.sandbox->user_namespace.empty() ? 0 : input_.sandbox->user_namespace[0].host_id;
  }

  /// A tmpfs of the pod's root.
  std::vector<std::string> OwnedBy(std::vector<std::string> options) const {
    if (Root() == 0) return options;
    options.push_back(absl::StrCat("uid=", Root()));
    options.push_back(absl::StrCat("gid=", Root()));
    return options;
  }

  void AddNode(const std::string& path, std::uint32_t mode, dev_t device, std::uint32_t uid = 0,
               std::uint32_t gid = 0) {
    plan_.Add(StepKind::kNode, FieldWriter().Text(path).Number(mode).Number(device).Number(uid).Number(gid));
  }

  void AddSystemMounts() {
    const std::uint64_t read_only = container().privileged ? 0 : static_cast<std::uint64_t>(MOUNT_ATTR_RDONLY);
    MountFs("proc", "/proc", kSafe, warden::kTargetNoLinks);
    MountFs("tmpfs", "/dev", MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC, warden::kTargetNoLinks,
            OwnedBy({"mode=755", "size=65536k"}));
    for (const Node& node : kNodes) AddNode(node.path, S_IFCHR | 0666, makedev(node.major, node.minor), Root(), Root());
    const std::pair<const char*, const char*> links[] = {
        {"/proc/self/fd", "/dev/fd"},       {"/proc/self/fd/0", "/dev/stdin"}, {"/proc/self/fd/1", "/dev/stdout"},
        {"/proc/self/fd/2", "/dev/stderr"}, {"/proc/kcore", "/dev/core"},      {"pts/ptmx", "/dev/ptmx"}};
    for (const auto& [content, path] : links) plan_.Add(StepKind::kSymlink, FieldWriter().Text(content).Text(path));
    MountFs("devpts", "/dev/pts", MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC, warden::kTargetNoLinks,
            {"newinstance", "ptmxmode=0666", "mode=0620", absl::StrCat("gid=", Root() + 5)});
    if (container().tty) plan_.AddText(StepKind::kConsole, "/dev/console");
    if (!Mounted("/dev/mqueue")) MountFs("mqueue", "/dev/mqueue", kSafe, warden::kTargetNoLinks);
    if (!Mounted("/dev/shm")) AddShm();
    MountFs("sysfs", "/sys", kSafe | read_only, warden::kTargetNoLinks);
    if (Mounted("/sys/fs/cgroup")) return;
    if (input_.v1_mounts.empty()) {
      MountFs("cgroup2", "/sys/fs/cgroup", kSafe | read_only, warden::kTargetNoLinks);
      return;
    }
    MountFs("tmpfs", "/sys/fs/cgroup", kSafe, warden::kTargetNoLinks, OwnedBy({"mode=755", "size=64k"}));
    for (const std::string& name : input_.v1_mounts) {
      std::vector<std::string> controllers = absl::StrSplit(name, ',');
      MountFs("cgroup", "/sys/fs/cgroup/" + name, kSafe | read_only, warden::kTargetNoLinks | warden::kOptional,
              controllers);
      if (controllers.size() < 2) continue;
      for (const std::string& controller : controllers)
        plan_.Add(StepKind::kSymlink, FieldWriter().Text(name).Text("/sys/fs/cgroup/" + controller));
    }
    if (!container().privileged) plan_.AddText(StepKind::kReadOnly, "/sys/fs/cgroup");
  }

  void AddShm() {
    std::uint64_t source = static_cast<std::uint64_t>(BindSource::kShm);
    std::uint64_t index = 0;
    if (input_.sandbox->host_ipc) {
      absl::StatusOr<UniqueFd> shm = CloneHostPath("/dev/shm");
      if (!shm.ok()) return;
      source = static_cast<std::uint64_t>(BindSource::kFd);
      index = Keep(*std::move(shm));
    }
    plan_.Add(StepKind::kBind, FieldWriter().Number(source).Number(index).Text("").Text("/dev/shm").Number(0));
  }

  absl::Status AddDevices() {
    if (container().privileged) AddHostDevices("/dev", 0);
    for (const DeviceSpec& device : container().devices) {
      struct stat status;
      if (::stat(device.host_path.c_str(), &status) != 0)
        return WithReason(ErrnoError(errno, absl::StrCat("device ", device.host_path)), "CreateContainerError");
      if (!S_ISCHR(status.st_mode) && !S_ISBLK(status.st_mode))
        return CreateError(absl::StatusCode::kInvalidArgument, absl::StrCat(device.host_path, " is not a device"));
      const std::string& path = device.container_path.empty() ? device.host_path : device.container_path;
      AddNode(path, status.st_mode, status.st_rdev, status.st_uid, status.st_gid);
    }
    return absl::OkStatus();
  }

  /// In a user namespace the nodes keep the host's owners, who are nobody there: its root gets no disk by them.
  /// A privileged container has the host's device nodes, but terminals and shared memory of its own.
  void AddHostDevices(const std::string& directory, int depth) {
    DIR* stream = ::opendir(directory.c_str());
    if (stream == nullptr) return;
    while (dirent* entry = ::readdir(stream)) {
      std::string name = entry->d_name;
      if (name[0] == '.' || (depth == 0 && (name == "pts" || name == "shm" || name == "mqueue" || name == "fd" ||
                                            name == "console" || name == "ptmx")))
        continue;
      std::string path = absl::StrCat(directory, "/", name);
      if (entry->d_type == DT_DIR && depth < 4) AddHostDevices(path, depth + 1);
      if (entry->d_type != DT_CHR && entry->d_type != DT_BLK) continue;
      bool own = std::any_of(std::begin(kNodes), std::end(kNodes), [&](const Node& node) { return path == node.path; });
      struct stat status;
      if (!own && ::lstat(path.c_str(), &status) == 0)
        AddNode(path, status.st_mode, status.st_rdev, status.st_uid, status.st_gid);
    }
    ::closedir(stream);
  }

  absl::Status AddMounts() {
    // Parents before children, as the order of the kubelet's and containerd's mounts ends up.
    std::vector<std::pair<std::size_t, std::size_t>> ordered;  // depth, place in the spec
    for (std::size_t i = 0; i < container().mounts.size(); ++i) {
      std::vector<std::string> parts = absl::StrSplit(container().mounts[i].destination, '/', absl::SkipEmpty());
      ordered.emplace_back(parts.size(), i);
    }
    std::sort(ordered.begin(), ordered.end());
    for (const auto& [depth, index] : ordered) RETURN_IF_ERROR(AddMount(container().mounts[index]));
    return absl::OkStatus();
  }

  absl::Status AddMount(const MountSpec& mount) {
    if (mount.destination.empty() || mount.destination[0] != '/' || mount.destination == "/")
      return CreateError(absl::StatusCode::kInvalidArgument,
                         absl::StrCat("mount destination \"", mount.destination, "\" is not an absolute path"));
    std::uint64_t flags = 0;
    if (mount.read_only) flags |= warden::kBindReadOnly;
    if (mount.recursive_read_only) flags |= warden::kBindRecursiveReadOnly;
    if (mount.propagation == Propagation::kHostToContainer) flags |= warden::kBindSlave;
    if (mount.propagation == Propagation::kBidirectional) flags |= warden::kBindShared;
    BindSource source = BindSource::kFd;
    std::uint64_t index = 0;
    std::string sub_path;
    if (!mount.image_layers.empty()) {
      absl::StatusOr<UniqueFd> mounted =
          MountOverlay({mount.image_layers, "", "", input_.scratch_dir, input_.user_namespace});
      if (!mounted.ok())
        return WithReason(Annotate(mounted.status(), absl::StrCat("mount ", mount.destination)),
                          "CreateContainerError");
      index = Keep(*std::move(mounted));
      sub_path = mount.sub_path;
      flags |= warden::kBindReadOnly;
    } else if (mount.volume.empty()) {
      absl::StatusOr<UniqueFd> cloned =
          mount.sub_path.empty() ? CloneHostPath(mount.host_path) : CloneHostSubPath(mount.host_path, mount.sub_path);
      if (!cloned.ok())
        return WithReason(Annotate(cloned.status(), absl::StrCat("mount ", mount.destination)), "CreateContainerError");
      index = Keep(*std::move(cloned));
      if (Root() != 0) flags |= warden::kBindIdMapped;
    } else {
      const auto& volumes = input_.sandbox->volumes;
      auto found = std::find_if(volumes.begin(), volumes.end(),
                                [&](const VolumeSpec& volume) { return volume.name == mount.volume; });
      if (found == volumes.end())
        return CreateError(absl::StatusCode::kInvalidArgument, absl::StrCat("no volume \"", mount.volume, "\""));
      source = BindSource::kVolume;
      index = static_cast<std::uint64_t>(found - volumes.begin());
      // The others are made with the pod's ids.
      if (Root() != 0 && found->source.kind == VolumeSource::Kind::kHostPath) flags |= warden::kBindIdMapped;
      sub_path = mount.sub_path;
      if (!sub_path.empty() && sub_path[0] == '/')
        return CreateError(absl::StatusCode::kInvalidArgument, absl::StrCat("subPath ", sub_path, " is absolute"));
    }
    plan_.Add(StepKind::kBind, FieldWriter()
                                   .Number(static_cast<std::uint64_t>(source))
                                   .Number(index)
                                   .Text(sub_path)
                                   .Text(mount.destination)
                                   .Number(flags));
    return absl::OkStatus();
  }

  absl::Status AddProcess() {
    const ContainerSpec& spec = container();
    if (spec.args.empty()) return CreateError(absl::StatusCode::kInvalidArgument, "no command specified");
    FieldWriter user;
    user.Number(input_.user.uid).Number(input_.user.gid).Number(input_.user.groups.size());
    for (std::uint32_t gid : input_.user.groups) user.Number(gid);
    plan_.Add(StepKind::kUser, user);
    absl::StatusOr<std::uint64_t> bits =
        spec.privileged ? absl::StatusOr<std::uint64_t>(AllCapabilities()) : CapabilityBits(spec.capabilities);
    if (!bits.ok()) return WithReason(bits.status(), "CreateContainerError");
    absl::StatusOr<std::uint64_t> ambient = CapabilityBits(spec.ambient_capabilities);
    if (!ambient.ok()) return WithReason(ambient.status(), "CreateContainerError");
    plan_.Add(StepKind::kCapabilities, FieldWriter().Number(*bits).Number(*bits).Number(*ambient & *bits));
    if (spec.no_new_privileges) plan_.Add(StepKind::kNoNewPrivileges);
    if (!input_.seccomp.program.empty()) {
      plan_.AddText(StepKind::kSeccomp, input_.seccomp.program);
      if (input_.seccomp.flags != 0) plan_.AddNumber(StepKind::kSeccompFlags, input_.seccomp.flags);
    }
    if (!spec.app_armor_profile.empty()) plan_.AddText(StepKind::kAppArmor, spec.app_armor_profile);
    for (const RlimitSpec& limit : spec.rlimits)
      plan_.Add(StepKind::kRlimit,
                FieldWriter().Number(static_cast<std::uint64_t>(limit.resource)).Number(limit.soft).Number(limit.hard));
    plan_.AddNumber(StepKind::kOomScoreAdj, static_cast<std::uint64_t>(static_cast<std::int64_t>(spec.oom_score_adj)));
    plan_.AddText(StepKind::kWorkingDir, spec.working_dir.empty() ? "/" : spec.working_dir);
    for (const std::string& argument : spec.args) plan_.AddText(StepKind::kArgument, argument);
    bool has_home = false;
    bool has_path = false;
    bool has_term = false;
    for (const std::string& entry : spec.env) {
      has_home = has_home || entry.rfind("HOME=", 0) == 0;
      has_path = has_path || entry.rfind("PATH=", 0) == 0;
      has_term = has_term || entry.rfind("TERM=", 0) == 0;
      plan_.AddText(StepKind::kEnvironment, entry);
    }
    if (!has_path) plan_.AddText(StepKind::kEnvironment, absl::StrCat("PATH=", kDefaultPath));
    if (!has_home) plan_.AddText(StepKind::kEnvironment, absl::StrCat("HOME=", input_.user.home));
    if (!has_term && spec.tty) plan_.AddText(StepKind::kEnvironment, "TERM=xterm");
    return absl::OkStatus();
  }

  LaunchInput input_;
  PlanWriter plan_;
  std::vector<UniqueFd> fds_;
};

}  // namespace

absl::StatusOr<LaunchPlan> CompileLaunch(LaunchInput input) {
  ASSIGN_OR_RETURN(LaunchPlan plan, Compiler(std::move(input)).Compile());
  // Plan, log and the target of its pid namespace travel in the same message.
  if (plan.fds.size() + 3 > warden::kMaxFds)
    return CreateError(absl::StatusCode::kInvalidArgument, "the container has too many mounts");
  return plan;
}

absl::StatusOr<std::vector<DeviceRule>> ContainerDeviceRules(const ContainerSpec& container) {
  if (container.privileged) return std::vector<DeviceRule>{DeviceRule{}};
  std::vector<DeviceRule> rules = DefaultDeviceRules();
  for (const DeviceSpec& device : container.devices) {
    struct stat status;
    if (::stat(device.host_path.c_str(), &status) != 0)
      return WithReason(ErrnoError(errno, absl::StrCat("device ", device.host_path)), "CreateContainerError");
    if (device.access.empty() || device.access.find_first_not_of("rwm") != std::string::npos)
      return CreateError(absl::StatusCode::kInvalidArgument, absl::StrCat("device access \"", device.access, "\""));
    rules.push_back({S_ISBLK(status.st_mode) ? 'b' : 'c', major(status.st_rdev), minor(status.st_rdev), device.access});
  }
  return rules;
}

LaunchPlan CompileExec(const std::vector<std::string>& args, const std::vector<std::string>& env,
                       std::vector<UniqueFd> cgroup_procs) {
  PlanWriter writer;
  LaunchPlan plan;
  plan.fds = std::move(cgroup_procs);
  for (std::size_t i = 0; i < plan.fds.size(); ++i) writer.AddNumber(StepKind::kCgroup, i);
  for (const std::string& argument : args) writer.AddText(StepKind::kArgument, argument);
  for (const std::string& entry : env) writer.AddText(StepKind::kEnvironment, entry);
  plan.bytes = writer.bytes();
  return plan;
}

absl::StatusOr<LaunchSummary> Summarize(const std::string& plan) {
  LaunchSummary summary;
  warden::PlanReader reader(plan.data(), plan.size());
  StepKind kind = StepKind::kNone;
  warden::FieldReader fields;
  while (reader.Next(kind, fields)) {
    if (kind == StepKind::kLogPath) summary.log_path = fields.Text();
    if (kind == StepKind::kPidTarget) summary.pid_target = fields.Text();
    if (kind == StepKind::kUser) {
      summary.uid = static_cast<std::int64_t>(fields.Number());
      summary.gid = static_cast<std::int64_t>(fields.Number());
      std::uint64_t count = fields.Number();
      for (std::uint64_t i = 0; i < count && fields.ok(); ++i)
        summary.groups.push_back(static_cast<std::int64_t>(fields.Number()));
    }
    if (!fields.ok()) return absl::DataLossError("plan of a running container can't be read");
  }
  if (!reader.ok()) return absl::DataLossError("plan of a running container can't be read");
  return summary;
}

}  // namespace burstlet::sandbox
