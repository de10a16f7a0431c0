#include "provider/pod_worker.h"
#include "provider/log_rotation.h"

#include <algorithm>
#include <chrono>
#include <utility>

#include "absl/strings/str_cat.h"
#include "metrics/log.h"
#include "metrics/status.h"
#include "provider/allocation.h"
#include "provider/status/merge.h"
#include "provider/termination_message.h"

namespace burstlet::provider {
namespace {

std::int64_t UnixNow() {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(std::chrono::system_clock::now().time_since_epoch())
      .count();
}

Backoff::Limits RestartLimits(std::chrono::seconds maximum) {
  Backoff::Limits limits;
  limits.maximum = maximum;
  limits.initial = std::min<std::chrono::milliseconds>(limits.initial, maximum);
  return limits;
}

Backoff::Limits FailureLimits() {
  return {.initial = std::chrono::milliseconds(500),
          .maximum = std::chrono::minutes(2),
          .reset_after = std::chrono::minutes(4)};
}

ContainerInstance FromRecord(const ContainerRecord& record) {
  ContainerInstance instance;
  instance.id = record.id;
  instance.attempt = static_cast<unsigned>(record.attempt);
  instance.image = record.image;
  instance.image_id = record.imageID;
  instance.stop_signal = static_cast<int>(record.stopSignal);
  instance.started_at = record.startedAt;
  instance.finished_at = record.finishedAt;
  instance.exit_code = static_cast<int>(record.exitCode);
  instance.signal = static_cast<int>(record.signal);
  instance.oom_killed = record.oomKilled;
  instance.reason = record.reason;
  instance.message = record.message;
  instance.resources = record.resources;
  instance.phase = ContainerInstance::Phase::kExited;
  instance.in_current_sandbox = false;
  using Restart = ContainerInstance::Restart;
  instance.restart = record.restartForResize ? Restart::kForResize
                     : record.restartAsked   ? Restart::kAsked
                                             : Restart::kNone;
  instance.removed_for_restart = record.removedForRestart;
  return instance;
}

void ApplyState(const sandbox::ContainerState& state, ContainerInstance& instance) {
  instance.phase = state.phase == sandbox::ContainerPhase::kExited ? ContainerInstance::Phase::kExited
                                                                   : ContainerInstance::Phase::kRunning;
  instance.started_at = state.started_at;
  instance.finished_at = state.finished_at;
  instance.exit_code = state.exit_code;
  instance.signal = state.signal;
  instance.oom_killed = state.oom_killed;
  instance.user = kube::LinuxContainerUser{state.uid, state.gid, state.groups};
}

void MarkLost(ContainerInstance& instance) {
  instance.phase = ContainerInstance::Phase::kExited;
  instance.exit_code = 137;
  instance.reason = "ContainerStatusUnknown";
  instance.message = "The container could not be located when the pod was terminated";
  instance.finished_at = UnixNow();
}

}  // namespace

PodWorker::PodWorker(PodWorkerContext& context, std::shared_ptr<const kube::Pod> pod)
    : context_(context),
      pod_(pod),
      desired_(std::move(pod)),
      wake_(context.loop),
      restart_backoff_(RestartLimits(context.max_restart_delay)),
      failure_backoff_(FailureLimits()) {
  timeline_.Stamp(PodStage::kObserved);
  view_.observed_generation = pod_->metadata.generation;
  view_.start_time = pod_->status.startTime ? *pod_->status.startTime : kube::Time{UnixNow()};
}

/// The warden is the truth: a run that it knows counts, whatever the record says.
void PodWorker::AddUnrecorded(const sandbox::ContainerState& state, PodRecord& record) const {
  const std::optional<kube::Container> container = FindContainer(*pod_, state.name);
  const bool known = std::any_of(record.containers.begin(), record.containers.end(),
                                 [&](const ContainerRecord& entry) { return entry.id == state.id; });
  if (known || !container) return;
  ContainerRecord entry;
  entry.name = state.name;
  entry.id = state.id;
  entry.attempt = state.attempt;
  entry.image = container->image;
  entry.resources = AppliedRequirements(*pod_, *container);
  record.containers.push_back(std::move(entry));
}

void PodWorker::Adopt(Recovered recovered) {
  first_start_ = false;
  ready_seen_ = true;
  AdoptResources(recovered.record);
  view_.start_time = recovered.record.startTime;
  view_.terminated = recovered.record.terminated;
  if (!recovered.record.failureReason.empty()) {
    view_.failure = WaitingInfo{recovered.record.failureReason, recovered.record.failureMessage};
  }
  std::map<std::string, const sandbox::ContainerState*> states;
  for (const sandbox::ContainerState& state : recovered.states) {
    states[state.id] = &state;
    AddUnrecorded(state, recovered.record);
  }
  if (!view_.terminated) HoldImages(recovered.record.images);
  const bool alive = recovered.sandbox != nullptr;
  if (alive) sandbox_ = std::make_shared<SandboxHandle>(std::move(recovered.sandbox));
  // Oldest first, so that the newest run ends up in front.
  std::sort(recovered.record.containers.begin(), recovered.record.containers.end(),
            [](const ContainerRecord& a, const ContainerRecord& b) { return a.attempt < b.attempt; });
  for (const ContainerRecord& record : recovered.record.containers) {
    ContainerInstance instance = FromRecord(record);
    auto state = states.find(record.id);
    if (state != states.end() && record.removedForRestart) {
      RemoveFromSandbox(record.id);
      state = states.end();
    }
    if (state != states.end()) {
      ApplyState(*state->second, instance);
      instance.in_current_sandbox = true;
    } else if (!record.ended) {
      // Written down, but no warden knows it: either the agent died before the start (then it never ran), or the
      // sandbox died with it.
      if (alive) continue;
      MarkLost(instance);
    }
    PushInstance(record.name, instance);
    ContainerView& view = View(record.name);
    if (instance.phase == ContainerInstance::Phase::kExited && state != states.end()) {
      ContainerEnded(record.name, view.instances.front());
    }
  }
  if (alive) {
    view_.sandbox_ready = true;
    view_.pod_ips = sandbox_->unlocked().network().addresses;
    WriteMissingPodFiles();
    WatchSandboxEvents();
  }
}

/// What counts no more and may still be there.
void PodWorker::RemoveFromSandbox(const std::string& id) {
  context_.pool.Submit([sandbox = sandbox_, id] {
    LogIfError(sandbox->With([&](sandbox::Sandbox& s) { return s.RemoveContainer(id); }), "Old container not removed");
  });
}

void PodWorker::Refuse(const Refusal& refusal) {
  view_.failure = WaitingInfo{refusal.reason, refusal.message};
  view_.terminated = true;
  Event("", "Warning", refusal.reason, refusal.message);
}

void PodWorker::Start() {
  const std::string& phase = pod_->status.phase;
  // A terminal phase is never left: whatever this node remembers, the pod's life is over. What runs of it stops as in
  // any other end.
  if (phase == "Succeeded" || phase == "Failed") {
    view_.terminated = view_.terminated || sandbox_ == nullptr;
    RequestTermination(std::nullopt);
  }
  if (pod_->metadata.deletionTimestamp) RequestTermination(std::nullopt);
  // Nobody mounts the volumes of an adopted pod again, but their content is kept fresh from here on.
  if (sandbox_ != nullptr) context_.volumes.Refresh(pod_);
  context_.tasks.Spawn(absl::StrCat("pod ", ObjectName(pod_->metadata)), Run());
}

kube::Task<void> PodWorker::Run() {
  if (!view_.terminated) {
    co_await Sync();
    const auto stopping = std::chrono::steady_clock::now();
    co_await StopContainers();
    MeterStep("terminating", stopping);
  }
  const auto removing = std::chrono::steady_clock::now();
  co_await TearDown();
  MeterStep("terminated", removing);
  co_await AwaitRemoval();
  context_.done(pod_->metadata.uid);
}

void PodWorker::MeterStep(const char* operation, kube::SteadyTime begin) {
  context_.metrics.Observe(Series::kPodWorkerDuration,
                           std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count(),
                           {{"operation_type", operation}});
}

void PodWorker::Update(std::shared_ptr<const kube::Pod> pod) {
  pod_ = WithAllocation(pod, *pod_);
  desired_ = std::move(pod);
  view_.observed_generation = std::max(view_.observed_generation, pod_->metadata.generation);
  if (sandbox_ != nullptr) context_.volumes.Refresh(pod_);
  // Others may end a pod by its phase alone (eviction of a lost node): its resources are then given to the next.
  const bool ended = pod_->status.phase == "Succeeded" || pod_->status.phase == "Failed";
  if (pod_->metadata.deletionTimestamp || ended) RequestTermination(std::nullopt);
  wake_.Set();
}

void PodWorker::ObjectsChanged() {
  retry_at_.clear();  // what was missing may be there now
  if (sandbox_ != nullptr) context_.volumes.Refresh(pod_);
  wake_.Set();
}

void PodWorker::Removed() {
  removed_ = true;
  RequestTermination(std::nullopt);
  wake_.Set();
}

void PodWorker::Fail(const std::string& reason, const std::string& message, std::chrono::seconds grace) {
  if (!view_.failure) view_.failure = WaitingInfo{reason, message};
  RequestTermination(grace);
}

void PodWorker::Stop() {
  removed_ = true;
  RequestTermination(std::nullopt);
}

ContainerView& PodWorker::View(const std::string& name) {
  const auto [it, inserted] = view_.containers.try_emplace(name);
  if (inserted) {
    for (const kube::Container& container : pod_->spec.initContainers) {
      if (container.name == name) it->second.kind = ContainerKind::kInit;
    }
    for (const kube::EphemeralContainer& container : pod_->spec.ephemeralContainers) {
      if (container.name == name) it->second.kind = ContainerKind::kEphemeral;
    }
  }
  return it->second;
}

void PodWorker::PushInstance(const std::string& name, ContainerInstance instance) {
  ContainerView& view = View(name);
  view.image = instance.image;
  view.image_id = instance.image_id;
  view.restart_count = std::max(view.restart_count, instance.attempt);
  view.startup_passed.reset();  // results belong to one run
  view.readiness_passed.reset();
  view.instances.insert(view.instances.begin(), std::move(instance));
  while (view.instances.size() > 2) {
    const ContainerInstance old = view.instances.back();
    view.instances.pop_back();
    auto sandbox = old.in_current_sandbox ? sandbox_ : nullptr;
    context_.pool.Submit([sandbox, id = old.id, log = context_.paths.ContainerLog(*pod_, name, old.attempt),
                          message = context_.paths.TerminationMessage(pod_->metadata.uid, name, old.attempt)] {
      if (sandbox != nullptr) {
        LogIfError(sandbox->With([&](sandbox::Sandbox& s) { return s.RemoveContainer(id); }),
                   "Old container not removed");
      }
      RemoveLogs(log);
      RemoveOldFiles({message});
    });
  }
}

void PodWorker::ContainerEnded(const std::string& name, ContainerInstance& instance) {
  const std::optional<kube::Container> container = FindContainer(*pod_, name);
  if (!container) return;
  const bool fallback = container->terminationMessagePolicy == "FallbackToLogsOnError" && instance.exit_code != 0;
  instance.message =
      ReadTerminationMessage(context_.paths.TerminationMessage(pod_->metadata.uid, name, instance.attempt),
                             fallback ? context_.paths.ContainerLog(*pod_, name, instance.attempt) : "");
}

void PodWorker::ContainersChanged(std::vector<sandbox::ContainerState> states) {
  for (const sandbox::ContainerState& state : states) {
    bool known = false;
    for (ContainerInstance& instance : View(state.name).instances) {
      if (instance.id != state.id) continue;
      known = true;
      if (instance.phase == ContainerInstance::Phase::kExited) continue;
      ApplyState(state, instance);
      if (instance.phase == ContainerInstance::Phase::kExited) ContainerEnded(state.name, instance);
    }
    if (!known) early_states_[state.id] = state;
  }
  SyncProbes();
  wake_.Set();
}

void PodWorker::RunLost(const std::string& name) {
  ContainerInstance& instance = View(name).instances.front();
  if (instance.phase == ContainerInstance::Phase::kRunning) MarkLost(instance);
  instance.in_current_sandbox = false;
  record_stale_ = true;
}

void PodWorker::SandboxDied(const absl::Status& cause) {
  Warn("Sandbox died",
       {{"pod", ObjectName(pod_->metadata)}, {"podUID", pod_->metadata.uid}, {"err", cause.ToString()}});
  for (auto& [name, view] : view_.containers) {
    for (ContainerInstance& instance : view.instances) {
      if (instance.phase == ContainerInstance::Phase::kRunning) MarkLost(instance);
      instance.in_current_sandbox = false;
    }
  }
  pleg_.reset();
  record_stale_ = true;
  dead_sandboxes_.push_back(std::exchange(sandbox_, nullptr));
  view_.sandbox_ready = false;
  SyncProbes();
  if (!view_.terminating) {
    Event("", "Normal", "SandboxChanged", "Pod sandbox changed, it will be killed and re-created.");
  }
  wake_.Set();
}

void PodWorker::WatchSandboxEvents() {
  // The watch is destroyed with the worker's sandbox, so `this` outlives its calls; what is posted may come later.
  pleg_ = WatchSandbox(
      context_.loop, sandbox_,
      [this](std::vector<sandbox::ContainerState> states) { ContainersChanged(std::move(states)); },
      [this](absl::Status cause) {
        context_.loop.Post([weak = weak_from_this(), cause, died = sandbox_] {
          const auto self = weak.lock();
          if (self != nullptr && self->sandbox_ == died) self->SandboxDied(cause);
        });
      });
}

void PodWorker::Publish() {
  // A pod that ended before this agent knew it: the status that is stored is all that anybody remembers.
  const bool stored_end = pod_->status.phase == "Succeeded" || pod_->status.phase == "Failed";
  if (stored_end && view_.containers.empty() && !view_.failure) return;
  SyncProbes();
  kube::PodStatus previous = context_.statuses.Get(pod_->metadata.uid).value_or(pod_->status);
  // What others set is as the server has told it last; readiness gates are among it (kubelet_pods.go,
  // generateAPIPodStatus).
  previous = MergeStatus(pod_->status, std::move(previous));
  kube::PodStatus next = GeneratePodStatus(*pod_, view_, previous, {context_.node.addresses}, kube::Time{UnixNow()});
  if (!ready_seen_) {
    for (const kube::PodCondition& condition : next.conditions) {
      if (condition.type == "Ready" && condition.status == "True") ready_seen_ = true;
    }
    if (ready_seen_ && first_start_) {
      context_.statuses.WhenStored(pod_->metadata.uid, [weak = weak_from_this()] {
        const auto self = weak.lock();
        if (self == nullptr) return;
        self->timeline_.Stamp(PodStage::kReady);
        if (self->context_.started) self->context_.started(*self->pod_, self->timeline_);
      });
    }
  }
  context_.statuses.Set(pod_, std::move(next));
}

PodRecord PodWorker::MakeRecord() const {
  PodRecord record;
  record.pod = *pod_;
  record.applied = view_.applied;
  record.observedGeneration = view_.observed_generation;
  record.startTime = view_.start_time;
  record.terminated = view_.terminated;
  if (view_.failure) {
    record.failureReason = view_.failure->reason;
    record.failureMessage = view_.failure->message;
  }
  for (const auto& [id, image] : images_) record.images.push_back(id);
  for (const auto& [name, view] : view_.containers) {
    for (const ContainerInstance& instance : view.instances) {
      ContainerRecord entry;
      entry.name = name;
      entry.id = instance.id;
      entry.attempt = instance.attempt;
      entry.image = instance.image;
      entry.imageID = instance.image_id;
      entry.stopSignal = instance.stop_signal;
      entry.startedAt = instance.started_at;
      entry.reason = instance.reason;
      entry.message = instance.message;
      entry.resources = instance.resources;
      entry.restartForResize = instance.restart_for_resize();
      entry.restartAsked = instance.restart_asked();
      entry.removedForRestart = instance.removed_for_restart;
      entry.ended = instance.phase == ContainerInstance::Phase::kExited;
      entry.exitCode = instance.exit_code;
      entry.signal = instance.signal;
      entry.oomKilled = instance.oom_killed;
      entry.finishedAt = instance.finished_at;
      record.containers.push_back(std::move(entry));
    }
  }
  return record;
}

void PodWorker::WriteRecord() { LogIfError(WritePodRecord(context_.paths, MakeRecord()), "Pod record not written"); }

absl::StatusOr<const ContainerInstance*> PodWorker::LogRun(const std::string& container, bool previous) const {
  const auto view = view_.containers.find(container);
  const std::string where = absl::StrCat("container \"", container, "\" in pod \"", pod_->metadata.name, "\"");
  const std::optional<kube::Container> spec = FindContainer(*pod_, container);
  if (!spec) {
    return absl::NotFoundError(
        absl::StrCat("container \"", container, "\" not found in pod \"", pod_->metadata.name, "\""));
  }
  // A container in back-off shows its last run as the previous one already.
  const bool waits = view != view_.containers.end() && view->second.waiting && !IsRunning(view->second);
  const std::size_t index = previous && !waits ? 1 : 0;
  if (view == view_.containers.end() || view->second.instances.size() <= index) {
    if (previous) return absl::InvalidArgumentError(absl::StrCat("previous terminated ", where, " not found"));
    std::string reason = pod_->spec.initContainers.empty() ? "ContainerCreating" : "PodInitializing";
    if (view != view_.containers.end() && view->second.waiting) reason = view->second.waiting->reason;
    return absl::InvalidArgumentError(absl::StrCat(where, " is waiting to start: ", reason));
  }
  return &view->second.instances[index];
}

absl::StatusOr<std::string> PodWorker::LogPath(const std::string& container, bool previous) const {
  ASSIGN_OR_RETURN(const ContainerInstance* run, LogRun(container, previous));
  return context_.paths.ContainerLog(*pod_, container, run->attempt);
}

absl::StatusOr<std::string> PodWorker::RunningContainer(const std::string& container) const {
  const auto view = view_.containers.find(container);
  if (view == view_.containers.end() || view->second.instances.empty()) {
    return absl::NotFoundError(absl::StrCat("container not found (\"", container, "\")"));
  }
  if (!IsRunning(view->second)) {
    return absl::FailedPreconditionError(absl::StrCat("container \"", container, "\" is not running"));
  }
  return view->second.instances.front().id;
}

std::string PodWorker::FieldPath(const std::string& container) const {
  if (container.empty()) return "";
  const auto view = view_.containers.find(container);
  const ContainerKind kind = view == view_.containers.end() ? ContainerKind::kApp : view->second.kind;
  const char* list = kind == ContainerKind::kInit        ? "initContainers"
                     : kind == ContainerKind::kEphemeral ? "ephemeralContainers"
                                                         : "containers";
  return absl::StrCat("spec.", list, "{", container, "}");
}

void PodWorker::Event(const std::string& container, const std::string& type, const std::string& reason,
                      const std::string& message) {
  context_.events.PodEvent(*pod_, FieldPath(container), type, reason, message);
}

}  // namespace burstlet::provider
