// SyncPod: from the pod as asked to running containers, again and again until it ends.
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <set>
#include <utility>

#include "absl/strings/str_cat.h"
#include "metrics/log.h"
#include "metrics/status.h"
#include "provider/allocation.h"
#include "provider/container_id.h"
#include "provider/pod_files.h"
#include "provider/pod_worker.h"
#include "provider/termination_message.h"
#include "provider/translate/environment.h"
#include "provider/translate/seccomp_profile.h"
#include "provider/user_namespaces.h"

namespace burstlet::provider {
namespace {

using std::chrono::steady_clock;

/// A pod that is not ready after this long shows why it waits; a quicker start saves the API server one write.
constexpr std::chrono::milliseconds kFirstStatusAfter{250};

/// "40s" or "5m0s", as Go prints durations.
std::string GoDuration(std::chrono::milliseconds value) {
  const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(value).count();
  if (seconds < 60) return absl::StrCat(seconds, "s");
  return absl::StrCat(seconds / 60, "m", seconds % 60, "s");
}

steady_clock::time_point SteadyFromUnix(std::int64_t unix_nanos) {
  const auto wall = std::chrono::system_clock::time_point(
      std::chrono::duration_cast<std::chrono::system_clock::duration>(std::chrono::nanoseconds(unix_nanos)));
  return steady_clock::now() -
         std::chrono::duration_cast<steady_clock::duration>(std::chrono::system_clock::now() - wall);
}

/// The kubelet's label of a container's kind.
std::string ContainerType(ContainerKind kind) {
  if (kind == ContainerKind::kInit) return "init_container";
  return kind == ContainerKind::kEphemeral ? "ephemeral_container" : "container";
}

}  // namespace

void PodWorker::RetryAfterFailure(const std::string& what) {
  const auto now = steady_clock::now();
  failure_backoff_.Next(what, now);
  retry_at_[what] = now + failure_backoff_.Get(what);
  next_wake_ = std::min(next_wake_, retry_at_[what]);
}

bool PodWorker::TooEarly(const std::string& what) {
  const auto held = retry_at_.find(what);
  if (held == retry_at_.end() || steady_clock::now() >= held->second) return false;
  next_wake_ = std::min(next_wake_, held->second);
  return true;
}

kube::Task<void> PodWorker::Sync() {
  const auto first_status_due = steady_clock::now() + kFirstStatusAfter;
  bool published = false;
  while (!terminate_requested_) {
    const auto begin = steady_clock::now();
    // Here, since nothing else of the worker writes it meanwhile.
    if (std::exchange(record_stale_, false)) WriteRecord();
    next_wake_ = kube::SteadyTime::max();
    if (pod_->spec.activeDeadlineSeconds) {
      const auto deadline =
          SteadyFromUnix(view_.start_time.unix_nanos) + std::chrono::seconds(*pod_->spec.activeDeadlineSeconds);
      if (steady_clock::now() >= deadline) {
        const std::string message = "Pod was active on the node longer than the specified deadline";
        Event("", "Normal", "DeadlineExceeded", message);
        Fail("DeadlineExceeded", message, GracePeriod());
        break;
      }
      next_wake_ = deadline;
    }
    if (sandbox_ != nullptr && (resize_due_ || view_.resize_in_progress)) {
      co_await Resize();
      if (terminate_requested_) break;
    }
    const PodActions actions = ComputePodActions(*pod_, view_);
    if (actions.finished) break;
    if (actions.restart_all) {
      co_await RestartAllContainers();
      continue;
    }
    for (const KillAction& kill : actions.kill) RestartChanged(kill);
    if (!actions.start.empty()) {
      bool ready = sandbox_ != nullptr;
      if (!ready) ready = co_await EnsureSandbox();
      if (ready) co_await StartContainers();
      if (terminate_requested_) break;
    }
    if (published || ready_seen_ || !actions.start.empty() || steady_clock::now() >= first_status_due) {
      Publish();
      published = true;
    }
    MeterStep("sync", begin);
    co_await wake_.WaitUntil(next_wake_);
  }
}

/// All that can start now. What was started may have ended already, or have made the next one possible; what could not
/// start waits for its own time.
kube::Task<void> PodWorker::StartContainers() {
  std::set<std::string> waiting;
  bool more = true;
  while (more && !terminate_requested_ && sandbox_ != nullptr) {
    more = false;
    const PodActions actions = ComputePodActions(*pod_, view_);
    if (actions.restart_all) wake_.Set();
    for (std::size_t i = 0; i < actions.start.size() && !terminate_requested_; ++i) {
      const std::string name = actions.start[i].name;
      if (waiting.contains(name)) continue;
      const unsigned runs_before = runs_;
      co_await StartContainer(actions.start[i]);
      if (runs_ == runs_before) waiting.insert(name);
      more = more || runs_ != runs_before;
    }
  }
}

kube::Task<bool> PodWorker::EnsureSandbox() {
  // Says early what it is waiting for when it will take long; a start in time cancels nothing and sends one status.
  if (TooEarly("/volumes") || TooEarly("/sandbox")) co_return false;
  auto volumes = co_await context_.volumes.Mount(pod_, {});
  if (terminate_requested_) co_return false;
  if (!volumes.ok()) {
    Event("", "Warning", "FailedMount", std::string(volumes.status().message()));
    RetryAfterFailure("/volumes");
    co_return false;
  }
  timeline_.Stamp(PodStage::kVolumes);
  const absl::Status swept = co_await RemoveDeadSandboxes();
  if (!swept.ok()) {
    Event("", "Warning", "FailedKillPod", absl::StrCat("error killing pod: ", std::string(swept.message())));
    RetryAfterFailure("/sandbox");
    co_return false;
  }
  if (terminate_requested_) co_return false;
  const absl::Status created = co_await CreateSandbox(*std::move(volumes));
  if (!created.ok()) {
    Event("", "Warning", "FailedCreatePodSandBox",
          absl::StrCat("Failed to create pod sandbox: ", std::string(created.message())));
    RetryAfterFailure("/sandbox");
    co_return false;
  }
  failure_backoff_.Forget("/volumes");
  failure_backoff_.Forget("/sandbox");
  timeline_.Stamp(PodStage::kSandbox);
  co_return true;
}

/// One sandbox at a time has the pod's name: a new one must not meet (nor lose to the sweep of) what a dead one left.
kube::Task<absl::Status> PodWorker::RemoveDeadSandboxes() {
  while (!dead_sandboxes_.empty()) {
    auto dead = dead_sandboxes_.back();
    auto remove = [dead] { return dead->With([](sandbox::Sandbox& sandbox) { return sandbox.Remove(); }); };
    const absl::Status removed = co_await kube::Offload(context_.loop, context_.pool, std::move(remove));
    CO_RETURN_IF_ERROR(removed);
    std::erase(dead_sandboxes_, dead);
  }
  co_return absl::OkStatus();
}

/// The former agent may have died between its sandbox and the files that the containers mount.
void PodWorker::WriteMissingPodFiles() {
  const std::string last = context_.paths.PodFile(pod_->metadata.uid, "hostname");
  if (access(last.c_str(), F_OK) == 0) return;
  auto names = PodHostNames(*pod_, context_.node.cluster_domain);
  if (!names.ok()) return LogIfError(names.status(), "Host names of an adopted pod");
  const auto written = WritePodFiles(context_.paths, *pod_, view_.pod_ips, *names, context_.node);
  LogIfError(written.status(), "Files of an adopted pod");
}

kube::Task<absl::Status> PodWorker::CreateSandbox(ReadyVolumes volumes) {
  auto names = PodHostNames(*pod_, context_.node.cluster_domain);
  CO_RETURN_IF_ERROR(names);
  auto translated = TranslateSandbox(*pod_, volumes, context_.node, context_.translate);
  CO_RETURN_IF_ERROR(translated);
  sandbox::SandboxSpec spec = *std::move(translated);
  const AppliedPodResources applied = AppliedTo(*pod_, context_.node);
  const auto made_for = pod_;
  PodWorkerContext* context = &context_;
  struct Made {
    std::unique_ptr<sandbox::Sandbox> sandbox;
    std::vector<DnsWarning> warnings;
  };
  auto work = [context, spec = std::move(spec), record = MakeRecord(), pod = pod_,
               names = *names]() mutable -> absl::StatusOr<Made> {
    // The record comes first: a sandbox that is found after a crash always has a pod to it.
    RETURN_IF_ERROR(MakePodDirs(context->paths, *pod));
    RETURN_IF_ERROR(WritePodRecord(context->paths, record));
    if (context->user_namespaces != nullptr && context->user_namespaces->Wanted(*pod)) {
      ASSIGN_OR_RETURN(const sandbox::IdMap ids, context->user_namespaces->GetOrCreate(pod->metadata.uid));
      spec.user_namespace = {ids};
    }
    ASSIGN_OR_RETURN(auto sandbox, context->driver.Create(spec));
    auto files = WritePodFiles(context->paths, *pod, sandbox->network().addresses, names, context->node);
    if (!files.ok()) {
      LogIfError(sandbox->Remove(), "Sandbox not removed after a failure");
      return files.status();
    }
    return Made{std::move(sandbox), *std::move(files)};
  };
  auto made = co_await kube::Offload(context_.loop, context_.pool, std::move(work));
  CO_RETURN_IF_ERROR(made);
  for (const DnsWarning& warning : made->warnings) Event("", "Warning", warning.reason, warning.message);
  view_.pod_ips = made->sandbox->network().addresses;
  view_.sandbox_ready = true;
  view_.applied = applied;
  resize_due_ = !SameResources(*made_for, *pod_);
  sandbox_ = std::make_shared<SandboxHandle>(std::move(made->sandbox));
  WatchSandboxEvents();
  co_return absl::OkStatus();
}

/// CrashLoopBackOff: true when it is too early for another run. Source: kuberuntime_manager.go doBackOff.
bool PodWorker::HoldBack(const StartAction& action, ContainerView& view) {
  if (!action.is_restart || view.instances.empty() || view.instances.front().restart_for_resize()) return false;
  // A run that the node ended itself is not a crash: the one before it counts, as in the status that a kubelet has read
  // before its kill.
  const std::size_t last = view.instances.front().restart_asked() ? 1 : 0;
  if (view.instances.size() <= last || view.instances[last].removed_for_restart) return false;
  const std::string image = FindContainer(*pod_, action.name)->image;
  const std::string key = absl::StrCat(pod_->metadata.uid, "/", action.name, "/", image);
  const auto finished = SteadyFromUnix(view.instances[last].finished_at);
  const auto now = steady_clock::now();
  const auto ready_at = restart_backoff_.ReadyAt(key, finished);
  if (now < ready_at) {
    const std::string delay = GoDuration(restart_backoff_.Get(key));
    const std::string who =
        absl::StrCat(pod_->metadata.name, "_", pod_->metadata.namespace_, "(", pod_->metadata.uid, ")");
    if (!view.waiting || view.waiting->reason != "CrashLoopBackOff") {
      Event(action.name, "Warning", "BackOff",
            absl::StrCat("Back-off restarting failed container ", action.name, " in pod ", who));
    }
    view.waiting =
        WaitingInfo{"CrashLoopBackOff",
                    absl::StrCat("back-off ", delay, " restarting failed container=", action.name, " pod=", who)};
    next_wake_ = std::min(next_wake_, ready_at);
    return true;
  }
  restart_backoff_.Next(key, finished, now);
  return false;
}

kube::Task<absl::StatusOr<std::vector<std::string>>> PodWorker::Environment(kube::Container container) {
  EnvSources sources;
  kube::Pod only = *pod_;
  only.spec.initContainers.clear();
  only.spec.ephemeralContainers.clear();
  only.spec.containers = {container};
  const ObjectNames names = EnvironmentObjects(only);
  for (const std::string& name : names.config_maps) {
    auto object = co_await context_.objects.GetConfigMap(pod_->metadata.namespace_, name);
    sources.config_maps.emplace(name, std::move(object));
  }
  for (const std::string& name : names.secrets) {
    auto object = co_await context_.objects.GetSecret(pod_->metadata.namespace_, name);
    sources.secrets.emplace(name, std::move(object));
  }
  sources.files = co_await EnvFiles(container);
  if (context_.services) sources.services = context_.services(pod_->metadata.namespace_);
  sources.host_ips = context_.node.addresses;
  sources.pod_ips = pod_->spec.hostNetwork ? context_.node.addresses : view_.pod_ips;
  co_return MakeEnvironment(*pod_, container, sources, context_.node);
}

kube::Task<absl::StatusOr<sandbox::ContainerState>> PodWorker::Launch(sandbox::ContainerSpec spec,
                                                                      ContainerRecord record) {
  PodRecord whole = MakeRecord();
  whole.containers.push_back(record);
  auto handle = sandbox_;
  PodWorkerContext* context = &context_;
  auto work = [context, handle, spec = std::move(spec), whole = std::move(whole), name = record.name,
               attempt = static_cast<unsigned>(record.attempt)]() -> absl::StatusOr<sandbox::ContainerState> {
    RETURN_IF_ERROR(WithReason(WritePodRecord(context->paths, whole), "CreateContainerError"));
    RETURN_IF_ERROR(
        WithReason(PrepareContainerFiles(context->paths, whole.pod, name, attempt), "CreateContainerError"));
    return handle->With([&](sandbox::Sandbox& sandbox) { return sandbox.Start(spec); });
  };
  co_return co_await kube::Offload(context_.loop, context_.pool, std::move(work));
}

kube::Task<void> PodWorker::StartContainer(StartAction action) {
  const std::optional<kube::Container> found = FindContainer(*pod_, action.name);
  if (!found) co_return;
  const kube::Container container = *found;
  View(action.name).kind = action.kind;
  if (TooEarly(action.name) || HoldBack(action, View(action.name))) co_return;

  std::shared_ptr<const cache::Image> image = co_await EnsureImage(action.name, container, FieldPath(action.name));
  if (image == nullptr || terminate_requested_) co_return;
  auto image_volumes = co_await EnsureImageVolumes(container);
  if (!image_volumes || terminate_requested_) co_return;
  timeline_.Stamp(PodStage::kImage);

  const auto config_error = [&](const absl::Status& error) {
    ContainerView& view = View(action.name);
    const std::string reason = ReasonOf(error, "CreateContainerConfigError");
    Event(action.name, "Warning", "Failed", absl::StrCat("Error: ", std::string(error.message())));
    view.waiting = WaitingInfo{reason, std::string(error.message())};
    RetryAfterFailure(action.name);
  };
  auto env = co_await Environment(container);
  if (terminate_requested_ || sandbox_ == nullptr) co_return;
  if (!env.ok()) {
    config_error(env.status());
    co_return;
  }
  ContainerView& view = View(action.name);
  ContainerRecord record;
  record.name = action.name;
  record.id = NewContainerId();
  record.attempt = view.instances.empty() ? 0 : view.instances.front().attempt + 1;
  record.image = container.image;
  record.imageID = image->repo_digest.empty() ? image->id : image->repo_digest;
  const auto attempt = static_cast<unsigned>(record.attempt);
  ContainerInput input{container,
                       action.kind,
                       record.id,
                       attempt,
                       *image,
                       *std::move(env),
                       PodFileMounts(context_.paths, *pod_, container, attempt),
                       context_.paths.ContainerLog(*pod_, action.name, attempt),
                       *std::move(image_volumes)};
  TranslateOptions options = context_.translate;
  if (const std::string profile = LocalhostSeccompProfile(*pod_, container); !profile.empty()) {
    auto read = [root = options.seccomp_profile_root, profile] { return ReadSeccompProfile(root, profile); };
    auto text = co_await kube::Offload(context_.loop, context_.pool, std::move(read));
    if (terminate_requested_ || sandbox_ == nullptr) co_return;
    options.localhost_profiles.emplace(profile, std::move(text));
  }
  auto spec = TranslateContainer(*pod_, input, context_.node, options);
  absl::Status usable = spec.status();
  if (usable.ok() && action.kind == ContainerKind::kEphemeral) usable = CheckEphemeral(action.name);
  if (usable.ok()) {
    auto target = PidTarget(action.name);
    usable = target.status();
    if (target.ok()) spec->pid_target = *std::move(target);
  }
  if (!usable.ok()) {
    config_error(usable);
    co_return;
  }
  record.stopSignal = spec->stop_signal;
  record.resources = AppliedRequirements(*pod_, container);
  const auto started_in = sandbox_;
  auto state = co_await Launch(*std::move(spec), record);
  if (state.ok()) {
    StartSucceeded(action, record, *state);
    // Its sandbox died before the worker heard of the run: nobody else will tell how that ended.
    if (sandbox_ != started_in) RunLost(action.name);
    co_await PostStartHook(action.name);
  } else {
    StartFailed(action, View(action.name), record, state.status());
  }
}

void PodWorker::StartSucceeded(const StartAction& action, const ContainerRecord& record,
                               const sandbox::ContainerState& started) {
  const auto early = early_states_.find(record.id);
  const sandbox::ContainerState state = early == early_states_.end() ? started : early->second;
  early_states_.clear();  // starts are one at a time: whatever else is here belongs to a run that is forgotten
  ContainerInstance instance;
  instance.id = record.id;
  instance.attempt = static_cast<unsigned>(record.attempt);
  instance.image = record.image;
  instance.image_id = record.imageID;
  instance.stop_signal = static_cast<int>(record.stopSignal);
  instance.started_at = state.started_at;
  instance.user = kube::LinuxContainerUser{state.uid, state.gid, state.groups};
  instance.resources = record.resources;
  const std::optional<kube::Container> container = FindContainer(*pod_, action.name);
  resize_due_ = resize_due_ || (container && !SameResources(AppliedRequirements(*pod_, *container), record.resources));
  if (state.phase == sandbox::ContainerPhase::kExited) {
    instance.phase = ContainerInstance::Phase::kExited;
    instance.finished_at = state.finished_at;
    instance.exit_code = state.exit_code;
    instance.signal = state.signal;
    instance.oom_killed = state.oom_killed;
  }
  ++runs_;
  PushInstance(action.name, instance);
  ContainerView& view = View(action.name);
  view.waiting.reset();
  if (instance.phase == ContainerInstance::Phase::kExited) ContainerEnded(action.name, view.instances.front());
  failure_backoff_.Forget(action.name);
  if (action.kind == ContainerKind::kApp) timeline_.Stamp(PodStage::kStarted);
  context_.metrics.Add(Series::kStartedContainers, {{"container_type", ContainerType(action.kind)}});
  Event(action.name, "Normal", "Created", absl::StrCat("Container created"));
  Event(action.name, "Normal", "Started", absl::StrCat("Container started"));
  SyncProbes();
}

void PodWorker::StartFailed(const StartAction& action, ContainerView& view, const ContainerRecord& record,
                            const absl::Status& error) {
  const std::string reason = ReasonOf(error, "RunContainerError");
  context_.metrics.Add(Series::kStartedContainerErrors,
                       {{"container_type", ContainerType(action.kind)}, {"code", reason}});
  const std::string message(error.message());
  Event(action.name, "Warning", "Failed", absl::StrCat("Error: ", message));
  if (reason != "StartError") {
    view.waiting = WaitingInfo{reason, message};
    RetryAfterFailure(action.name);
    return;
  }
  // The program could not be executed: that was a run of its own, with a code and a place in the restart count.
  ContainerInstance instance;
  instance.id = record.id;
  instance.attempt = static_cast<unsigned>(record.attempt);
  instance.phase = ContainerInstance::Phase::kExited;
  instance.image = record.image;
  instance.image_id = record.imageID;
  instance.exit_code = 128;
  instance.reason = "StartError";
  instance.message = message;
  instance.finished_at =
      std::chrono::duration_cast<std::chrono::nanoseconds>(std::chrono::system_clock::now().time_since_epoch()).count();
  ++runs_;
  PushInstance(action.name, std::move(instance));
  View(action.name).waiting = WaitingInfo{"RunContainerError", message};
}

}  // namespace burstlet::provider
