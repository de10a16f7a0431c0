// A sandbox's making, adoption and end. Its containers are in native_containers.cpp.
#include "sandbox/native/native_sandbox.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <algorithm>
#include <cerrno>
#include <chrono>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "metrics/log.h"
#include "metrics/status.h"
#include "sandbox/net/bandwidth.h"
#include "sandbox/os/mount.h"
#include "sandbox/os/safe_path.h"
#include "sandbox/os/syscalls.h"

namespace burstlet::sandbox {
namespace {

constexpr const char* kReason = "FailedCreatePodSandBox";

UnixNanos Now() {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(std::chrono::system_clock::now().time_since_epoch())
      .count();
}

/// Only what lies in the pod's own namespaces, whatever the caller vetted (CVE-2022-0811).
absl::StatusOr<std::string> SysctlPath(const SandboxSpec& spec, const std::string& name) {
  bool net = absl::StartsWith(name, "net.") || absl::StartsWith(name, "net/");
  bool ipc = absl::StartsWith(name, "kernel.shm") || absl::StartsWith(name, "kernel.msg") || name == "kernel.sem" ||
             absl::StartsWith(name, "fs.mqueue.");
  bool user = absl::StartsWith(name, "user.") && !spec.user_namespace.empty();
  if ((!net && !ipc && !user) || (net && spec.host_network) || (ipc && spec.host_ipc) || absl::StrContains(name, ".."))
    return absl::InvalidArgumentError(absl::StrCat("sysctl ", name, " is not one of the pod's namespaces"));
  std::string path = name;
  if (!absl::StrContains(name, "/")) std::replace(path.begin(), path.end(), '.', '/');
  return path;
}

absl::Status Validate(const SandboxSpec& spec) {
  if (!Paths::ValidId(spec.id)) return absl::InvalidArgumentError(absl::StrCat("sandbox id \"", spec.id, "\""));
  if (!spec.user_namespace.empty()) {
    const IdMap& ids = spec.user_namespace[0];
    if (spec.user_namespace.size() != 1 || ids.container_id != 0 || ids.host_id == 0 || ids.count == 0)
      return absl::InvalidArgumentError("a user namespace has one range of ids, from its root on");
    if (spec.host_network || spec.host_pid || spec.host_ipc)
      return absl::InvalidArgumentError("a pod with a user namespace can't have namespaces of the host");
  }
  if (spec.volumes.size() + 8 > warden::kMaxFds) return absl::InvalidArgumentError("the pod has too many volumes");
  return absl::OkStatus();
}

unsigned SpawnFlags(const SandboxSpec& spec) {
  unsigned flags = warden::kNewUts;
  if (!spec.host_network) flags |= warden::kNewNet;
  if (!spec.host_ipc) flags |= warden::kNewIpc;
  if (!spec.host_pid) flags |= warden::kPidOne;
  if (!spec.user_namespace.empty()) flags |= warden::kNewUser;
  return flags;
}

absl::StatusOr<UniqueFd> OpenDirectory(const std::string& path) {
  UniqueFd fd(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!fd.valid()) return ErrnoError(errno, absl::StrCat("open ", path));
  return fd;
}

/// What is left of a pod whose processes are gone: cgroups and directories.
void FreeRemains(NativeContext& context, const SandboxState& state) {
  std::string pod = context.cgroups->PodPath(state.spec.qos, state.spec.id);
  LogIfError(context.cgroups->KillAll(pod), "Failed to kill what is left in a pod's cgroup");
  for (const std::string& child : context.cgroups->Children(pod))
    context.janitor->RemoveCgroup(absl::StrCat(pod, "/", child));
  context.janitor->RemoveCgroup(pod);
  LogIfError(context.janitor->Discard(context.paths.Sandbox(state.spec.id)), "Failed to remove a pod's directory");
  if (context.network != nullptr && !state.network.addresses.empty())
    LogIfError(context.network->Detach(state.spec.id), "Failed to free a pod's address");
}

}  // namespace

absl::StatusOr<std::unique_ptr<Sandbox>> NativeSandbox::Create(NativeContext& context, const SandboxSpec& spec) {
  absl::Status valid = Validate(spec);
  if (!valid.ok()) return WithReason(valid, kReason);
  SandboxState state;
  state.spec = spec;
  state.boot_id = context.boot_id;
  state.created_at = Now();
  std::unique_ptr<NativeSandbox> sandbox(new NativeSandbox(context, std::move(state)));
  if (::mkdir(context.paths.Sandbox(spec.id).c_str(), 0700) != 0)
    return WithReason(ErrnoError(errno, absl::StrCat("sandbox ", spec.id)), kReason);
  absl::Status made = sandbox->SetUp();
  if (!made.ok()) {
    LogIfError(sandbox->Remove(), "Failed to remove a half-made sandbox");
    return WithReason(made, kReason);
  }
  return sandbox;
}

absl::Status NativeSandbox::SetUp() {
  const SandboxSpec& spec = state_.spec;
  if (::mkdir(context_.paths.Containers(spec.id).c_str(), 0700) != 0) return ErrnoError(errno, "containers");
  ASSIGN_OR_RETURN(UniqueFd directory, OpenDirectory(context_.paths.Sandbox(spec.id)));
  ASSIGN_OR_RETURN(
      WardenProcess process,
      context_.pool->Take(SpawnFlags(spec), spec.user_namespace.empty() ? IdMap() : spec.user_namespace[0]));
  warden_pid_ = process.pid;
  state_.warden_pid = process.pid;
  pidfd_ = std::move(process.pidfd);
  client_ = std::move(process.client);
  user_namespace_ = std::move(process.user_namespace);
  RETURN_IF_ERROR(SetUpNetwork(process));
  RETURN_IF_ERROR(context_.cgroups->Create(PodCgroup(), CgroupTree::Kind::kInner));
  RETURN_IF_ERROR(context_.cgroups->SetResources(PodCgroup(), spec.resources, true));
  // The record comes before the warden outlives us, so that nothing can be alive and unknown.
  RETURN_IF_ERROR(WriteFileAtomically(context_.paths.Spec(spec.id), EncodeState(state_), 0600));
  return SendSetup(directory.get());
}

absl::Status NativeSandbox::SetUpNetwork(WardenProcess& process) {
  if (context_.network == nullptr || state_.spec.host_network) return absl::OkStatus();
  if (!context_.network->made_ahead()) {
    ASSIGN_OR_RETURN(const int fd, NetworkNamespace());
    const UniqueFd netns(fd);
    ASSIGN_OR_RETURN(const PodAddresses made, context_.network->AttachPod(netns.get(), state_.spec));
    state_.network.addresses = made.addresses;
    state_.network.host_interface = made.host_interface;
    return absl::OkStatus();
  }
  state_.network.addresses = process.addresses.addresses;
  state_.network.host_interface = process.addresses.host_interface;
  absl::Status renamed = context_.network->Rename(process.network_owner, id());
  if (!renamed.ok()) {
    LogIfError(context_.network->Detach(process.network_owner), "Failed to free a pooled address");
    return renamed;
  }
  const SandboxSpec& spec = state_.spec;
  if (const Bandwidth bandwidth = BandwidthOf(spec.labels); bandwidth.limited()) {
    ASSIGN_OR_RETURN(const int fd, NetworkNamespace());
    const UniqueFd netns(fd);
    RETURN_IF_ERROR(context_.network->LimitBandwidth(id(), netns.get(), bandwidth));
  }
  return spec.host_ports.empty() ? absl::OkStatus() : context_.network->AddHostPorts(id(), spec.host_ports);
}

absl::StatusOr<std::vector<UniqueFd>> NativeSandbox::PrepareVolumes() const {
  std::vector<UniqueFd> mounts;
  for (const VolumeSpec& volume : state_.spec.volumes) {
    absl::StatusOr<UniqueFd> mounted = UniqueFd();
    switch (volume.source.kind) {
      case VolumeSource::Kind::kHostPath:
        mounted = CloneHostPath(volume.source.path);
        break;
      case VolumeSource::Kind::kTmpfs:
      case VolumeSource::Kind::kHugePages: {
        TmpfsSpec tmpfs{volume.source.size_bytes, volume.source.page_size_bytes, volume.source.mode, IdBase(),
                        IdBase()};
        if (volume.source.gid.has_value()) tmpfs.gid = IdBase() + *volume.source.gid;
        mounted = MountTmpfs(tmpfs);
        break;
      }
      case VolumeSource::Kind::kImage:
        mounted = MountOverlay({volume.source.lower_dirs, "", "", context_.paths.Scratch(), user_namespace_.get()});
        break;
      case VolumeSource::Kind::kMqueue:
        break;
    }
    if (!mounted.ok()) return Annotate(mounted.status(), absl::StrCat("volume ", volume.name));
    mounts.push_back(*std::move(mounted));
  }
  return mounts;
}

absl::Status NativeSandbox::SendSetup(int directory_fd) {
  const SandboxSpec& spec = state_.spec;
  PlanWriter plan;
  if (!spec.hostname.empty()) plan.AddText(warden::StepKind::kHostname, spec.hostname);
  if (!spec.domainname.empty()) plan.AddText(warden::StepKind::kDomainname, spec.domainname);
  for (const auto& [name, value] : spec.sysctls) {
    // As a file it is the host's root's, whoever's the namespace is.
    if (name == "kernel.domainname" && !spec.host_network) {
      plan.AddText(warden::StepKind::kDomainname, value);
      continue;
    }
    ASSIGN_OR_RETURN(std::string path, SysctlPath(spec, name));
    plan.Add(warden::StepKind::kSysctl, FieldWriter().Text(path).Text(value));
  }
  if (!spec.host_ipc) plan.AddNumber(warden::StepKind::kShm, spec.shm_size_bytes);
  ASSIGN_OR_RETURN(std::vector<UniqueFd> volumes, PrepareVolumes());
  ASSIGN_OR_RETURN(UniqueFd listening, BindWardenSocket(directory_fd));
  int pair[2];
  if (::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) != 0) return ErrnoError(errno, "socketpair");
  events_ = UniqueFd(pair[0]);
  UniqueFd theirs(pair[1]);
  std::vector<int> fds = {-1, listening.get(), theirs.get()};
  for (std::size_t i = 0; i < volumes.size(); ++i) {
    plan.AddNumber(warden::StepKind::kVolume, volumes[i].valid() ? fds.size() : warden::kMqueueVolume);
    if (volumes[i].valid()) fds.push_back(volumes[i].get());
  }
  ASSIGN_OR_RETURN(UniqueFd file, PlanFile(plan.bytes()));
  fds[0] = file.get();
  warden::Request request;
  request.header.type = warden::MessageType::kSetup;
  warden::CopyText(request.boot_id, context_.boot_id.c_str());
  WardenAnswer answer;
  RETURN_IF_ERROR(client_->Call(request, fds, answer));
  if (answer.reply.error == 0) return absl::OkStatus();
  return ErrnoError(answer.reply.error, std::string(answer.reply.text));
}

absl::StatusOr<std::unique_ptr<Sandbox>> NativeSandbox::Adopt(NativeContext& context, SandboxState state) {
  if (state.boot_id != context.boot_id) return absl::FailedPreconditionError("of another boot");
  std::unique_ptr<NativeSandbox> sandbox(new NativeSandbox(context, std::move(state)));
  ASSIGN_OR_RETURN(UniqueFd directory, OpenDirectory(context.paths.Sandbox(sandbox->id())));
  ASSIGN_OR_RETURN(WardenClient::Adopted control, WardenClient::Connect(directory.get(), context.boot_id, false));
  ASSIGN_OR_RETURN(WardenClient::Adopted events, WardenClient::Connect(directory.get(), context.boot_id, true));
  if (control.pid != sandbox->state_.warden_pid)
    return absl::FailedPreconditionError("another process than its warden answers");
  sandbox->pidfd_ = UniqueFd(PidfdOpen(control.pid));
  if (!sandbox->pidfd_.valid()) return ErrnoError(errno, "warden");
  sandbox->warden_pid_ = control.pid;
  sandbox->client_ = std::make_unique<WardenClient>(std::move(control.socket));
  sandbox->events_ = std::move(events.socket);
  // The warden tells all it has before it reads the next request, so after any answer the records are here.
  warden::Request request;
  request.header.type = warden::MessageType::kDescribe;
  WardenAnswer answer;
  RETURN_IF_ERROR(sandbox->client_->Call(request, {}, answer));
  sandbox->user_namespace_ = UniqueFd(answer.Take(warden::kFdUserNamespace));
  if (sandbox->user_namespace_.valid() == sandbox->state_.spec.user_namespace.empty())
    return absl::FailedPreconditionError("the warden's user namespace is not the pod's");
  {
    std::lock_guard<std::mutex> lock(sandbox->mutex_);
    RETURN_IF_ERROR(sandbox->ReadRecords(sandbox->pending_));
  }
  if (context.network != nullptr && !sandbox->state_.network.addresses.empty()) {
    const SandboxNetwork& network = sandbox->state_.network;
    // A pod that runs goes on running, whatever the books say.
    LogIfError(context.network->Reserve(sandbox->id(), {network.addresses, network.host_interface}),
               "Failed to reserve a running pod's address");
    if (!sandbox->state_.spec.host_ports.empty())
      LogIfError(context.network->AddHostPorts(sandbox->id(), sandbox->state_.spec.host_ports),
                 "Failed to publish a running pod's host ports");
  }
  return sandbox;
}

void NativeSandbox::Sweep(NativeContext& context, const SandboxState& state) {
  // A warden that lives but can't be adopted (another version, a stranger's record) must not stay behind.
  if (state.boot_id == context.boot_id && state.warden_pid > 0) {
    absl::StatusOr<UniqueFd> directory = OpenDirectory(context.paths.Sandbox(state.spec.id));
    absl::StatusOr<WardenClient::Adopted> control =
        directory.ok() ? WardenClient::Reach(directory->get()) : directory.status();
    if (control.ok() && control->pid == state.warden_pid) {
      UniqueFd pidfd(PidfdOpen(control->pid));
      if (pidfd.valid()) LogIfError(KillAndWait(pidfd.get()), "Failed to end a warden");
    }
  }
  FreeRemains(context, state);
}

absl::StatusOr<int> NativeSandbox::OpenOfWarden(const std::string& path, int flags) {
  int fd = ::open(absl::StrCat("/proc/", warden_pid_, "/", path).c_str(), flags | O_CLOEXEC);
  if (fd < 0) return ErrnoError(errno, path);
  // The number is the warden's only while the warden lives.
  if (PidfdSignal(pidfd_.get(), 0) != 0) {
    ::close(fd);
    return absl::UnavailableError("the sandbox is gone");
  }
  return fd;
}

absl::StatusOr<int> NativeSandbox::NetworkNamespace() { return OpenOfWarden("ns/net", O_RDONLY); }

absl::StatusOr<int> NativeSandbox::OpenVolume(const std::string& name) {
  const auto& volumes = state_.spec.volumes;
  auto found =
      std::find_if(volumes.begin(), volumes.end(), [&](const VolumeSpec& volume) { return volume.name == name; });
  if (found == volumes.end()) return absl::NotFoundError(absl::StrCat("no volume \"", name, "\""));
  // The warden's own root holds nothing but what the warden put there.
  return OpenOfWarden(absl::StrCat("root/vol/", found - volumes.begin()), O_PATH | O_NOFOLLOW);
}

/// On version 1 a pod may not have less quota than any cgroup in it, and ended containers still have theirs.
void NativeSandbox::ReleaseEndedQuotas() {
  Resources none;
  none.cpu_quota_us = -1;
  for (const std::string& name : context_.cgroups->Children(PodCgroup())) {
    {
      std::lock_guard<std::mutex> lock(mutex_);
      const Entry* entry = Find(name);
      if (entry != nullptr && entry->state.phase != ContainerPhase::kExited) continue;
    }
    const absl::Status released = context_.cgroups->SetResources(absl::StrCat(PodCgroup(), "/", name), none, false);
    if (!absl::IsNotFound(released)) LogIfError(released, "CPU quota of an ended container");
  }
}

absl::Status NativeSandbox::UpdatePodResources(const Resources& resources) {
  if (resources.cpu_quota_us.has_value() && !context_.cgroups->v2()) ReleaseEndedQuotas();
  return context_.cgroups->SetResources(PodCgroup(), resources, true);
}

std::string NativeSandbox::PodCgroup() const { return context_.cgroups->PodPath(state_.spec.qos, id()); }

absl::Status NativeSandbox::Remove() {
  std::lock_guard<std::mutex> lock(mutex_);
  if (removed_) return absl::OkStatus();
  if (pidfd_.valid()) RETURN_IF_ERROR(KillAndWait(pidfd_.get()));
  client_.reset();
  containers_.clear();
  stats_sources_ = {};
  FreeRemains(context_, state_);
  dead_ = true;
  removed_ = true;
  return absl::OkStatus();
}

}  // namespace burstlet::sandbox
