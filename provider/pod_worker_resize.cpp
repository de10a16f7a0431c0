// In-place resize of a running pod: what is allocated becomes true for its cgroups, and the conditions tell how far.
//
// Sources: KEP-1287, KEP-5419, pkg/kubelet/kubelet.go SyncPod, kuberuntime_manager.go doPodResizeAction,
// status_manager.go SetPodResizeInProgressCondition.
#include <algorithm>
#include <chrono>
#include <set>
#include <utility>

#include "absl/strings/str_cat.h"
#include "metrics/log.h"
#include "metrics/status.h"
#include "provider/allocation.h"
#include "provider/pod_worker.h"
#include "provider/resize.h"

namespace burstlet::provider {
namespace {

constexpr char kStep[] = "/resize";

kube::Time Now() {
  return kube::Time{
      std::chrono::duration_cast<std::chrono::nanoseconds>(std::chrono::system_clock::now().time_since_epoch())
          .count()};
}

/// The condition with its new words; its transition time stays while the reason does.
kube::PodCondition Condition(const char* type, const std::optional<kube::PodCondition>& before,
                             const std::string& reason, const std::string& message, std::int64_t generation) {
  kube::PodCondition condition;
  condition.type = type;
  condition.status = "True";
  condition.lastProbeTime = Now();
  condition.lastTransitionTime = before && before->reason == reason ? before->lastTransitionTime : Now();
  condition.observedGeneration = generation;
  condition.reason = reason;
  condition.message = message;
  return condition;
}

/// What the steps of one resize did before the first error.
struct Outcome {
  std::size_t done = 0;
  absl::Status status;
};

}  // namespace

bool PodWorker::ResizeWanted() const { return !SameResources(*desired_, *pod_); }

void PodWorker::AllocateResize() {
  pod_ = desired_;
  const std::int64_t generation = pod_->metadata.generation;
  view_.resize_pending.reset();
  view_.resize_in_progress = Condition("PodResizeInProgress", std::nullopt, "", "", generation);
  Event("", "Normal", "ResizeStarted", ResizeMessage("Pod resize started", *pod_, generation));
  failure_backoff_.Forget(kStep);
  retry_at_.erase(kStep);
  resize_due_ = true;
  // Before anything is applied: an agent that finds larger containers than it knows would not account for them.
  record_stale_ = true;
  wake_.Set();
}

void PodWorker::PostponeResize(const std::string& reason, const std::string& message) {
  const std::int64_t generation = desired_->metadata.generation;
  // Whatever else is in the way may go away (status_manager.go, SetPodResizePendingCondition).
  const std::string shown = reason == "Infeasible" ? reason : "Deferred";
  const auto before = view_.resize_pending;
  const bool changed = !before || before->reason != shown || before->observedGeneration != generation;
  if (!changed && before->message == message) return;
  view_.resize_pending = Condition("PodResizePending", before, shown, message, generation);
  if (changed) {
    Event("", "Warning", absl::StrCat("Resize", shown),
          ResizeMessage(absl::StrCat("Pod resize ", reason), *desired_, generation, message));
  }
  wake_.Set();
}

void PodWorker::ForgetPendingResize() {
  if (!view_.resize_pending) return;
  view_.resize_pending.reset();
  wake_.Set();
}

void PodWorker::ObserveResize(bool due) {
  if (ResizeInProgress(*pod_, view_)) {
    if (view_.resize_in_progress) return;
    view_.resize_in_progress = Condition("PodResizeInProgress", std::nullopt, "", "", pod_->metadata.generation);
  } else if (view_.resize_in_progress && !due) {
    const std::int64_t generation = view_.resize_in_progress->observedGeneration;
    view_.resize_in_progress.reset();
    failure_backoff_.Forget(kStep);
    Event("", "Normal", "ResizeCompleted", ResizeMessage("Pod resize completed", *pod_, generation));
  }
}

void PodWorker::ResizeFailed(const std::string& message) {
  const auto before = view_.resize_in_progress;
  const std::int64_t generation = before ? before->observedGeneration : pod_->metadata.generation;
  if (!before || before->reason != "Error" || before->message != message) {
    view_.resize_in_progress = Condition("PodResizeInProgress", before, "Error", message, generation);
    Event("", "Warning", "ResizeError", ResizeMessage("Pod resize error", *pod_, generation, message));
  }
  RetryAfterFailure(kStep);
}

bool PodWorker::RestartForResize(const std::vector<std::string>& names) {
  bool running = false;
  for (const std::string& name : names) {
    ContainerInstance& run = View(name).instances.front();
    run.restart = ContainerInstance::Restart::kForResize;
    record_stale_ = true;
    running = true;
  }
  // Written first: the next run must come although the policy may not ask for it.
  if (std::exchange(record_stale_, false)) WriteRecord();
  for (const std::string& name : names) {
    BeginStop(name, absl::StrCat("Container ", name, " resize requires restart"),
              std::chrono::steady_clock::now() + GracePeriod());
  }
  for (const auto& [name, view] : view_.containers) {
    running = running || (IsRunning(view) && view.instances.front().restart_for_resize());
  }
  return running;
}

void PodWorker::Applied(const ResizeStep& step, const AppliedPodResources& goal) {
  const char* resource = step.kind == ResizeStep::Kind::kMemory ? "memory" : "cpu";
  if (step.id.empty()) {
    if (step.resources.cpu_shares) view_.applied.cpuShares = goal.cpuShares;
    if (step.resources.cpu_quota_us) {
      view_.applied.cpuQuota = goal.cpuQuota;
      view_.applied.cpuPeriod = goal.cpuPeriod;
    }
    if (step.kind == ResizeStep::Kind::kMemory) view_.applied.memoryLimit = goal.memoryLimit;
    return;
  }
  const std::optional<kube::Container> container = FindContainer(*pod_, step.container);
  ContainerView& view = View(step.container);
  if (!container || view.instances.empty() || view.instances.front().id != step.id) return;
  kube::ResourceRequirements& applied = view.instances.front().resources;
  const kube::ResourceRequirements now = AppliedRequirements(*pod_, *container);
  for (const auto part : {&kube::ResourceRequirements::limits, &kube::ResourceRequirements::requests}) {
    const auto value = (now.*part).find(resource);
    if (value == (now.*part).end()) {
      (applied.*part).erase(resource);
    } else {
      (applied.*part)[resource] = value->second;
    }
  }
}

kube::Task<void> PodWorker::Resize() {
  std::set<std::string> stopping;
  for (const auto& [id, stop] : stops_) stopping.insert(id);
  const ResizePlan plan = PlanResize(*pod_, view_, context_.node, stopping);
  resize_due_ = !plan.empty();
  ObserveResize(resize_due_);
  // What a restart needs is applied when the old run has gone.
  if (RestartForResize(plan.restart)) co_return;
  if (plan.empty() || TooEarly(kStep)) co_return;
  const auto pod = pod_;
  const std::vector<ResizeStep> steps = ResizeSteps(plan, *pod, view_, context_.node);
  auto handle = sandbox_;
  auto work = [handle, steps, plan, view = view_, lowers = LowersMemory(plan, view_)]() -> Outcome {
    Outcome outcome;
    outcome.status = handle->With([&](sandbox::Sandbox& sandbox) -> absl::Status {
      if (lowers) {
        ASSIGN_OR_RETURN(const sandbox::SandboxStats stats, sandbox.Stats(sandbox::StatsDetail::kUsage));
        RETURN_IF_ERROR(CheckMemoryInUse(plan, view, stats));
      }
      for (const ResizeStep& step : steps) {
        RETURN_IF_ERROR(step.id.empty() ? sandbox.UpdatePodResources(step.resources)
                                        : sandbox.UpdateResources(step.id, step.resources));
        ++outcome.done;
      }
      return absl::OkStatus();
    });
    return outcome;
  };
  const Outcome outcome = co_await kube::Offload(context_.loop, context_.pool, std::move(work));
  // Another resize, allocated meanwhile, is applied in the next round, which compares with what was written now.
  const auto latest = std::exchange(pod_, pod);
  for (std::size_t i = 0; i < outcome.done; ++i) Applied(steps[i], plan.goal);
  if (outcome.status.ok()) view_.applied.spec = plan.goal.spec;
  pod_ = latest;
  record_stale_ = true;
  if (latest != pod) wake_.Set();
  resize_due_ = !outcome.status.ok() || latest != pod;
  if (!outcome.status.ok()) {
    Warn("Resize failed", {{"pod", ObjectName(pod_->metadata)},
                           {"podUID", pod_->metadata.uid},
                           {"err", std::string(outcome.status.message())}});
    ResizeFailed(std::string(outcome.status.message()));
    co_return;
  }
  WriteRecord();
  record_stale_ = false;
  ObserveResize(resize_due_);
}

/// What a former agent allocated and applied; a record from before there were resizes tells only the first.
void PodWorker::AdoptResources(const PodRecord& record) {
  pod_ = WithAllocation(desired_, record.pod);
  view_.applied = record.applied;
  if (view_.applied.cpuShares == 0) view_.applied = AppliedTo(*pod_, context_.node);
  resize_due_ = true;
  for (const kube::PodCondition& condition : pod_->status.conditions) {
    if (condition.type == "PodResizePending") view_.resize_pending = condition;
    if (condition.type == "PodResizeInProgress") view_.resize_in_progress = condition;
  }
}

}  // namespace burstlet::provider
