// A sandbox's containers: start, signals, commands, events, removal.
#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>

#include <cerrno>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "metrics/log.h"
#include "metrics/status.h"
#include "sandbox/native/capabilities.h"
#include "sandbox/native/launch_plan.h"
#include "sandbox/native/native_sandbox.h"
#include "sandbox/native/seccomp.h"
#include "sandbox/native/user_lookup.h"
#include "sandbox/os/apparmor.h"
#include "sandbox/os/mount.h"
#include "sandbox/os/safe_path.h"
#include "sandbox/os/syscalls.h"

namespace burstlet::sandbox {
namespace {

/// The pid behind a pidfd in our own pid namespace; 0 when it has ended.
pid_t PidOf(int pidfd) {
  absl::StatusOr<std::string> info = ReadFile(absl::StrCat("/proc/self/fdinfo/", pidfd));
  if (!info.ok()) return 0;
  for (const auto line : absl::StrSplit(*info, '\n')) {
    int pid = 0;
    if (absl::StartsWith(line, "Pid:") && absl::SimpleAtoi(absl::ClippedSubstr(line, 4), &pid) && pid > 0) return pid;
  }
  return 0;
}

absl::StatusOr<UniqueFd> OpenLog(const std::string& path) {
  // Never through a link: the directory is known to pods that mount the host's /var/log.
  UniqueFd fd(::open(path.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_NOFOLLOW | O_CLOEXEC, 0640));
  if (!fd.valid()) return ErrnoError(errno, absl::StrCat("log ", path));
  return fd;
}

absl::Status MakeDirectoryNew(const std::string& path, mode_t mode) {
  if (::mkdir(path.c_str(), mode) != 0) return ErrnoError(errno, absl::StrCat("create ", path));
  return absl::OkStatus();
}

/// The kubelet's word for what the warden's child could not do.
absl::Status StartFailure(const warden::Reply& reply) {
  std::string text = reply.text;
  auto step = static_cast<warden::StepKind>(reply.step);
  if (step == warden::StepKind::kArgument) {
    absl::StatusCode code = reply.error == ENOENT   ? absl::StatusCode::kNotFound
                            : reply.error == EACCES ? absl::StatusCode::kPermissionDenied
                                                    : absl::StatusCode::kFailedPrecondition;
    return ReasonError(code, "StartError", text);
  }
  bool creating = step >= warden::StepKind::kRootfs && step <= warden::StepKind::kReadOnlyRoot;
  return ReasonError(absl::StatusCode::kInternal, creating ? "CreateContainerError" : "RunContainerError", text);
}

std::vector<std::int64_t> ToSigned(const std::vector<std::uint32_t>& groups) { return {groups.begin(), groups.end()}; }

/// On version 2 a container that divides its own cgroup (systemd, docker) has its processes in children of it, and
/// itself takes none any more: a command goes where the first process is.
std::string CgroupBelow(pid_t pid, const std::string& cgroup) {
  absl::StatusOr<std::string> member = ReadFile(absl::StrCat("/proc/", pid, "/cgroup"));
  if (!member.ok()) return cgroup;
  std::size_t at = member->find("0::" + cgroup + "/");
  if (at == std::string::npos) return cgroup;
  at += 3;
  std::string path = member->substr(at, member->find('\n', at) - at);
  return path.find("..") == std::string::npos ? path : cgroup;
}

ExecStreams TakeStreams(WardenAnswer& answer) {
  ExecStreams streams;
  streams.stdin_fd = answer.Take(warden::kFdStdin);
  streams.stdout_fd = answer.Take(warden::kFdStdout);
  streams.stderr_fd = answer.Take(warden::kFdStderr);
  streams.master_fd = answer.Take(warden::kFdMaster);
  streams.exit_fd = answer.Take(warden::kFdExit);
  UniqueFd pidfd(answer.Take(warden::kFdPid));
  if (pidfd.valid()) streams.pid = PidOf(pidfd.get());
  for (int fd : {streams.stdin_fd, streams.stdout_fd, streams.stderr_fd, streams.master_fd, streams.exit_fd}) {
    if (fd >= 0) ::fcntl(fd, F_SETFL, ::fcntl(fd, F_GETFL) | O_NONBLOCK);
  }
  return streams;
}

}  // namespace

std::string NativeSandbox::ContainerCgroup(const std::string& container_id) const {
  return absl::StrCat(PodCgroup(), "/", container_id);
}

NativeSandbox::Entry* NativeSandbox::Find(const std::string& container_id) {
  auto found = containers_.find(container_id);
  return found == containers_.end() ? nullptr : &found->second;
}

absl::StatusOr<UniqueFd> NativeSandbox::PrepareRootfs(const ContainerSpec& spec) {
  std::string base = context_.paths.Container(id(), spec.id);
  RETURN_IF_ERROR(MakeDirectoryNew(base, 0700));
  OverlaySpec overlay{spec.rootfs.lower_dirs, base + "/upper", base + "/work", context_.paths.Scratch(),
                      user_namespace_.get()};
  // The writable layer's own mode is that of the container's "/".
  RETURN_IF_ERROR(MakeDirectoryNew(overlay.upper_dir, 0755));
  if (::chmod(overlay.upper_dir.c_str(), 0755) != 0) return ErrnoError(errno, overlay.upper_dir);
  RETURN_IF_ERROR(MakeDirectoryNew(overlay.work_dir, 0700));
  if (user_namespace_.valid()) {
    // The layers below are mapped by their mounts; what the container writes has the shifted ids on the disk too.
    for (const std::string& path : {overlay.upper_dir, overlay.work_dir}) {
      if (::chown(path.c_str(), IdBase(), IdBase()) != 0) return ErrnoError(errno, path);
    }
  }
  return MountOverlay(overlay);
}

absl::Status NativeSandbox::PrepareCgroup(const ContainerSpec& spec, const std::string& cgroup) {
  RETURN_IF_ERROR(context_.cgroups->Create(cgroup, CgroupTree::Kind::kLeaf));
  RETURN_IF_ERROR(context_.cgroups->SetResources(cgroup, spec.resources, spec.swap_allowed));
  LogIfError(context_.cgroups->SetOomGroup(cgroup), "Failed to set memory.oom.group");
  ASSIGN_OR_RETURN(std::vector<DeviceRule> rules, ContainerDeviceRules(spec));
  return spec.privileged ? absl::OkStatus() : context_.cgroups->AllowDevices(cgroup, rules);
}

absl::StatusOr<LaunchPlan> NativeSandbox::PrepareContainer(const ContainerSpec& spec, ContainerState& state) {
  LaunchInput input;
  input.sandbox = &state_.spec;
  input.scratch_dir = context_.paths.Scratch();
  input.user_namespace = user_namespace_.get();
  input.container = &spec;
  ASSIGN_OR_RETURN(input.rootfs, PrepareRootfs(spec));
  ASSIGN_OR_RETURN(input.user, LookUpUser(spec.user, input.rootfs.get()));
  state.uid = input.user.uid;
  state.gid = input.user.gid;
  state.groups = ToSigned(input.user.groups);
  std::string cgroup = ContainerCgroup(spec.id);
  RETURN_IF_ERROR(PrepareCgroup(spec, cgroup));
  ASSIGN_OR_RETURN(input.cgroup_procs, context_.cgroups->OpenProcs(cgroup));
  input.v1_mounts = context_.cgroups->V1MountNames();
  if (!spec.app_armor_profile.empty() && !AppArmorProfileLoaded(spec.app_armor_profile))
    return absl::NotFoundError(absl::StrCat("apparmor profile not found ", spec.app_armor_profile));
  if (!spec.privileged) {
    ASSIGN_OR_RETURN(std::uint64_t capabilities, CapabilityBits(spec.capabilities));
    ASSIGN_OR_RETURN(input.seccomp, CompileSeccomp(spec.seccomp, capabilities));
  }
  return CompileLaunch(std::move(input));
}

absl::StatusOr<UniqueFd> NativeSandbox::PidTargetFd(const std::string& container_id) {
  std::lock_guard<std::mutex> lock(mutex_);
  Entry* entry = Find(container_id);
  if (entry == nullptr || !entry->pidfd.valid()) {
    return ReasonError(absl::StatusCode::kFailedPrecondition, "CreateContainerError",
                       absl::StrCat("invalid target container: container \"", container_id, "\" is not running"));
  }
  UniqueFd copy(::fcntl(entry->pidfd.get(), F_DUPFD_CLOEXEC, 3));
  if (!copy.valid()) return WithReason(ErrnoError(errno, "pidfd"), "CreateContainerError");
  return copy;
}

absl::Status NativeSandbox::Launch(const ContainerSpec& spec, const LaunchPlan& plan) {
  warden::Request request;
  request.header.type = warden::MessageType::kStart;
  warden::CopyText(request.id, spec.id.c_str());
  warden::CopyText(request.name, spec.name.c_str());
  request.attempt = spec.attempt;
  if (spec.tty) request.flags |= warden::kTty;
  if (spec.stdin_open) request.flags |= warden::kStdin;
  if (spec.stdin_once) request.flags |= warden::kStdinOnce;
  if (OwnPidNamespace()) {
    request.flags |= spec.pid_target.empty() ? warden::kOwnPidNamespace : warden::kJoinPidNamespace;
  }
  absl::StatusOr<UniqueFd> file = PlanFile(plan.bytes);
  if (!file.ok()) return WithReason(file.status(), "CreateContainerError");
  std::vector<int> fds = {file->get()};
  UniqueFd log;
  if (!spec.log_path.empty()) {
    absl::StatusOr<UniqueFd> opened = OpenLog(spec.log_path);
    if (!opened.ok()) return WithReason(opened.status(), "CreateContainerError");
    log = *std::move(opened);
    fds.push_back(log.get());
    request.flags |= warden::kHasLog;
  }
  for (const UniqueFd& fd : plan.fds) fds.push_back(fd.get());
  UniqueFd target;
  if ((request.flags & warden::kJoinPidNamespace) != 0) {
    ASSIGN_OR_RETURN(target, PidTargetFd(spec.pid_target));
    fds.push_back(target.get());
  }
  WardenAnswer answer;
  absl::Status called = client_->Call(request, fds, answer);
  if (!called.ok()) return WithReason(called, "RunContainerError");
  if (answer.reply.error != 0) return StartFailure(answer.reply);
  UniqueFd pidfd(answer.Take(warden::kFdPid));
  std::lock_guard<std::mutex> lock(mutex_);
  Entry* entry = Find(spec.id);
  if (entry == nullptr) return ReasonError(absl::StatusCode::kAborted, "RunContainerError", "the sandbox was removed");
  // A short program's end may already have come over the other connection.
  if (entry->state.phase == ContainerPhase::kExited) return absl::OkStatus();
  entry->state.phase = ContainerPhase::kRunning;
  entry->state.started_at = answer.reply.record.started_at;
  entry->state.pid = PidOf(pidfd.get());
  entry->pidfd = std::move(pidfd);
  return absl::OkStatus();
}

absl::StatusOr<ContainerState> NativeSandbox::Start(const ContainerSpec& spec) {
  if (!Paths::ValidId(spec.id) || spec.id.size() >= warden::kIdSize || spec.name.size() >= warden::kNameSize)
    return ReasonError(absl::StatusCode::kInvalidArgument, "CreateContainerError", "container id or name");
  {
    std::lock_guard<std::mutex> lock(mutex_);
    if (dead_ || client_ == nullptr)
      return ReasonError(absl::StatusCode::kUnavailable, "RunContainerError", "the sandbox is gone");
    if (Find(spec.id) != nullptr)
      return ReasonError(absl::StatusCode::kAlreadyExists, "CreateContainerError", "container exists");
    Entry& entry = containers_[spec.id];
    entry.state.id = spec.id;
    entry.state.name = spec.name;
    entry.state.attempt = spec.attempt;
    entry.log_path = spec.log_path;
    entry.pid_target = spec.pid_target;
  }
  ContainerState prepared;
  absl::StatusOr<LaunchPlan> plan = PrepareContainer(spec, prepared);
  absl::Status status = WithReason(plan.status(), "CreateContainerError");
  if (status.ok()) {
    {
      std::lock_guard<std::mutex> lock(mutex_);
      if (Entry* entry = Find(spec.id)) {
        entry->state.uid = prepared.uid;
        entry->state.gid = prepared.gid;
        entry->state.groups = prepared.groups;
      }
    }
    status = Launch(spec, *plan);
  }
  std::lock_guard<std::mutex> lock(mutex_);
  if (status.ok()) return Find(spec.id)->state;
  plan = status;  // the descriptors of the root file system go before its directories
  CleanUp(spec.id);
  return status;
}

void NativeSandbox::CleanUp(const std::string& container_id) {
  containers_.erase(container_id);
  stats_sources_.meters.erase(ContainerCgroup(container_id));
  context_.janitor->RemoveCgroup(ContainerCgroup(container_id));
  LogIfError(context_.janitor->Discard(context_.paths.Container(id(), container_id)),
             "Failed to remove a writable layer");
}

namespace {

/// SigCgt of proc(5): does the process have a handler for the signal? An unreadable mask counts as yes.
bool CatchesSignal(pid_t pid, int signal) {
  auto status = ReadFile(absl::StrCat("/proc/", pid, "/status"));
  if (!status.ok()) return true;
  const std::size_t at = status->find("\nSigCgt:\t");
  if (at == std::string::npos) return true;
  const std::uint64_t mask = std::strtoull(status->c_str() + at + 9, nullptr, 16);
  return ((mask >> (signal - 1)) & 1) != 0;
}

}  // namespace

absl::Status NativeSandbox::Signal(const std::string& container_id, int signal) {
  std::lock_guard<std::mutex> lock(mutex_);
  Entry* entry = Find(container_id);
  if (entry == nullptr || !entry->pidfd.valid()) return absl::NotFoundError("the container is not running");
  // The first process of a namespace gets only signals that it has a handler for (pid_namespaces(7)); asked before the
  // signal goes out, so that a handler installed in between makes for one signal too many rather than none.
  const bool deaf =
      LeadsPidNamespace(*entry) && signal != SIGKILL && signal != SIGSTOP && !CatchesSignal(entry->state.pid, signal);
  if (PidfdSignal(entry->pidfd.get(), signal) == 0) {
    return deaf ? absl::UnavailableError("the program has no handler for the signal yet") : absl::OkStatus();
  }
  if (errno == ESRCH) return absl::NotFoundError("the container has ended");
  return ErrnoError(errno, "signal");
}

absl::Status NativeSandbox::Kill(const std::string& container_id) {
  bool leads = false;
  {
    std::lock_guard<std::mutex> lock(mutex_);
    Entry* entry = Find(container_id);
    if (entry == nullptr) return absl::NotFoundError("no such container");
    leads = LeadsPidNamespace(*entry);
  }
  // With a pid namespace of its own the kernel takes all with the first process, races with fork included.
  absl::Status signalled = Signal(container_id, SIGKILL);
  if (leads) return absl::IsNotFound(signalled) ? absl::OkStatus() : signalled;
  return context_.cgroups->KillAll(ContainerCgroup(container_id));
}

absl::StatusOr<ExecStreams> NativeSandbox::Exec(const std::string& container_id, const ExecSpec& spec) {
  if (spec.args.empty()) return absl::InvalidArgumentError("no command specified");
  std::string cgroup = ContainerCgroup(container_id);
  {
    std::lock_guard<std::mutex> lock(mutex_);
    if (dead_ || client_ == nullptr) return absl::UnavailableError("the sandbox is gone");
    Entry* entry = Find(container_id);
    if (entry == nullptr || entry->state.phase != ContainerPhase::kRunning)
      return absl::NotFoundError("the container is not running");
    if (context_.cgroups->v2()) cgroup = CgroupBelow(entry->state.pid, cgroup);
  }
  ASSIGN_OR_RETURN(std::vector<UniqueFd> procs, context_.cgroups->OpenProcs(cgroup));
  LaunchPlan plan = CompileExec(spec.args, spec.env, std::move(procs));
  ASSIGN_OR_RETURN(UniqueFd file, PlanFile(plan.bytes));
  warden::Request request;
  request.header.type = warden::MessageType::kExec;
  warden::CopyText(request.id, container_id.c_str());
  if (spec.tty) request.flags |= warden::kTty;
  if (spec.want_stdin) request.flags |= warden::kStdin;
  if (spec.want_stdout) request.flags |= warden::kStdout;
  if (spec.want_stderr) request.flags |= warden::kStderr;
  request.columns = spec.columns;
  request.rows = spec.rows;
  std::vector<int> fds = {file.get()};
  for (const UniqueFd& fd : plan.fds) fds.push_back(fd.get());
  WardenAnswer answer;
  RETURN_IF_ERROR(client_->Call(request, fds, answer));
  if (answer.reply.error == 0) return TakeStreams(answer);
  if (static_cast<warden::StepKind>(answer.reply.step) == warden::StepKind::kArgument)
    return StartFailure(answer.reply);
  return ErrnoError(answer.reply.error, std::string(answer.reply.text));
}

absl::StatusOr<ExecStreams> NativeSandbox::Attach(const std::string& container_id, bool want_stdin) {
  warden::Request request;
  request.header.type = warden::MessageType::kAttach;
  warden::CopyText(request.id, container_id.c_str());
  if (want_stdin) request.flags |= warden::kStdin;
  WardenAnswer answer;
  if (client_ == nullptr) return absl::UnavailableError("the sandbox is gone");
  RETURN_IF_ERROR(client_->Call(request, {}, answer));
  if (answer.reply.error == ENOENT) return absl::NotFoundError("the container is not running");
  if (answer.reply.error != 0) return ErrnoError(answer.reply.error, "attach");
  return TakeStreams(answer);
}

absl::Status NativeSandbox::UpdateResources(const std::string& container_id, const Resources& resources) {
  {
    std::lock_guard<std::mutex> lock(mutex_);
    if (Find(container_id) == nullptr) return absl::NotFoundError("no such container");
  }
  return context_.cgroups->SetResources(ContainerCgroup(container_id), resources, false);
}

absl::Status NativeSandbox::ReopenLog(const std::string& container_id) {
  std::string path;
  {
    std::lock_guard<std::mutex> lock(mutex_);
    Entry* entry = Find(container_id);
    if (entry == nullptr || client_ == nullptr) return absl::NotFoundError("no such container");
    path = entry->log_path;
  }
  ASSIGN_OR_RETURN(UniqueFd log, OpenLog(path));
  warden::Request request;
  request.header.type = warden::MessageType::kReopenLog;
  warden::CopyText(request.id, container_id.c_str());
  WardenAnswer answer;
  RETURN_IF_ERROR(client_->Call(request, {log.get()}, answer));
  return answer.reply.error == 0 ? absl::OkStatus() : ErrnoError(answer.reply.error, "reopen log");
}

absl::Status NativeSandbox::RemoveContainer(const std::string& container_id) {
  if (client_ == nullptr) return absl::UnavailableError("the sandbox is gone");
  bool leads = false;
  {
    std::lock_guard<std::mutex> lock(mutex_);
    Entry* entry = Find(container_id);
    leads = entry != nullptr && LeadsPidNamespace(*entry);
  }
  // In another's pid namespace the first process may have left children behind.
  if (!leads) LogIfError(context_.cgroups->KillAll(ContainerCgroup(container_id)), "Failed to kill");
  warden::Request request;
  request.header.type = warden::MessageType::kRemove;
  warden::CopyText(request.id, container_id.c_str());
  WardenAnswer answer;
  RETURN_IF_ERROR(client_->Call(request, {}, answer));
  if (answer.reply.error == EBUSY) return absl::FailedPreconditionError("the container is running");
  if (answer.reply.error != 0 && answer.reply.error != ENOENT) return ErrnoError(answer.reply.error, "remove");
  std::lock_guard<std::mutex> lock(mutex_);
  // What the warden said of it before is read now, so that it can't come back to life later.
  ReadRecords(pending_).IgnoreError();
  CleanUp(container_id);
  return absl::OkStatus();
}

absl::Status NativeSandbox::AdoptContainer(const std::string& container_id, Entry& entry) {
  warden::Request request;
  request.header.type = warden::MessageType::kDescribe;
  warden::CopyText(request.id, container_id.c_str());
  WardenAnswer answer;
  RETURN_IF_ERROR(client_->Call(request, {}, answer));
  if (answer.reply.error != 0) return ErrnoError(answer.reply.error, "describe container");
  entry.pidfd = UniqueFd(answer.Take(warden::kFdPid));
  UniqueFd plan(answer.Take(warden::kFdPlan));
  ASSIGN_OR_RETURN(std::string bytes, ReadPlanFile(plan.get()));
  ASSIGN_OR_RETURN(LaunchSummary summary, Summarize(bytes));
  entry.log_path = summary.log_path;
  entry.pid_target = summary.pid_target;
  entry.state.uid = summary.uid;
  entry.state.gid = summary.gid;
  entry.state.groups = summary.groups;
  return absl::OkStatus();
}

void NativeSandbox::Take(const warden::Record& record, std::vector<std::string>& changed) {
  if (!warden::Terminated(record.id) || !warden::Terminated(record.name) || record.id[0] == 0) return;
  std::string container_id = record.id;
  bool known = Find(container_id) != nullptr;
  Entry& entry = containers_[container_id];
  if (!known) {
    entry.state.id = container_id;
    entry.state.name = record.name;
    entry.state.attempt = record.attempt;
    LogIfError(AdoptContainer(container_id, entry), "Failed to describe a container");
  }
  entry.state.started_at = record.started_at;
  if (record.phase == warden::Phase::kExited) {
    entry.state.phase = ContainerPhase::kExited;
    entry.state.finished_at = record.finished_at;
    entry.state.exit_code = record.exit_code;
    entry.state.signal = record.signal;
    entry.state.pid = 0;
    entry.pidfd.Reset();
    entry.state.oom_killed = record.exit_code != 0 && context_.cgroups->OomKills(ContainerCgroup(container_id)) > 0;
  } else if (entry.state.phase != ContainerPhase::kExited) {
    entry.state.phase = ContainerPhase::kRunning;
    if (entry.pidfd.valid()) entry.state.pid = PidOf(entry.pidfd.get());
  }
  for (const std::string& already : changed) {
    if (already == container_id) return;
  }
  changed.push_back(container_id);
}

absl::Status NativeSandbox::ReadRecords(std::vector<std::string>& changed) {
  for (;;) {
    warden::Event event;
    warden::FdList fds;
    int got = events_.valid() ? warden::ReceiveRecord(events_.get(), event, fds, MSG_DONTWAIT) : 0;
    if (got < 0 && errno == EAGAIN) return absl::OkStatus();
    if (got != 1) {
      dead_ = true;
      return ReasonError(absl::StatusCode::kUnavailable, "ContainerStatusUnknown", "the sandbox died");
    }
    if (event.header.type == warden::MessageType::kEvent) Take(event.record, changed);
  }
}

std::vector<ContainerState> NativeSandbox::StatesOf(const std::vector<std::string>& ids) {
  std::vector<ContainerState> states;
  for (const std::string& container_id : ids) {
    if (Entry* entry = Find(container_id)) states.push_back(entry->state);
  }
  return states;
}

absl::StatusOr<std::vector<ContainerState>> NativeSandbox::ReadEvents() {
  std::lock_guard<std::mutex> lock(mutex_);
  std::vector<std::string> changed = std::move(pending_);
  pending_.clear();
  absl::Status status = ReadRecords(changed);
  // What was told before the end is still told; the next call has the error.
  if (!status.ok() && changed.empty()) return status;
  return StatesOf(changed);
}

absl::StatusOr<std::vector<ContainerState>> NativeSandbox::Containers() {
  std::lock_guard<std::mutex> lock(mutex_);
  absl::Status status = ReadRecords(pending_);
  if (!status.ok()) return status;
  std::vector<ContainerState> states;
  for (const auto& [container_id, entry] : containers_) states.push_back(entry.state);
  return states;
}

}  // namespace burstlet::sandbox
