// What probes and hooks mean for the pod, and the stop of one container within its grace.
#include <algorithm>
#include <chrono>
#include <utility>

#include "absl/strings/str_cat.h"
#include "metrics/log.h"
#include "metrics/status.h"
#include "provider/lifecycle.h"
#include "provider/pod_worker.h"

namespace burstlet::provider {
namespace {

using std::chrono::steady_clock;

/// How long a killed container may take to be reaped before that is worth a log line.
constexpr std::chrono::seconds kKillPatience{30};
/// Between the stop signal and SIGKILL there is never less (kuberuntime_container.go, minimumGracePeriodInSeconds).
constexpr std::chrono::seconds kMinimumStopTime{2};
/// When a signal that found no handler is sent again: soon at first, since programs start quickly.
constexpr std::chrono::milliseconds kFirstRetry{10};
constexpr std::chrono::milliseconds kLastRetry{1000};

}  // namespace

/// A container on its way down, shared by its coroutine and whoever shortens its time.
struct PodWorker::ContainerStop {
  ContainerStop(kube::Loop& loop, std::string i, kube::SteadyTime d, bool turn)
      : id(std::move(i)), deadline(d), its_turn(turn), changed(loop) {}
  std::string id;
  kube::SteadyTime deadline;
  bool its_turn;              // false: a sidecar that others still need, of which only the hook may run
  kube::SignalEvent changed;  // its deadline, the container, or the hook
  bool hook_running = false;
  kube::CancelToken hook_cancel;
};

std::string PodWorker::PodIp() const {
  if (!view_.pod_ips.empty()) return view_.pod_ips.front();
  return context_.node.addresses.empty() ? "" : context_.node.addresses.front();
}

bool PodWorker::Runs(const std::string& name, const std::string& id) const {
  const auto found = view_.containers.find(name);
  return found != view_.containers.end() && IsRunning(found->second) && found->second.instances.front().id == id;
}

void PodWorker::SyncProbes() {
  for (const auto& [id, stop] : stops_) stop->changed.Set();
  if (post_start_ && !Runs(post_start_->container, post_start_->id)) post_start_->cancel.Cancel();
  if (!PodProber::Wanted(*pod_)) return;
  if (prober_ == nullptr) {
    if (sandbox_ == nullptr) return;
    PodProber::Callbacks callbacks;
    callbacks.changed = [this] {
      Publish();
      wake_.Set();
    };
    callbacks.failed = [this](const ProbeSubject& subject) { ProbeFailed(subject); };
    callbacks.event = [this](const std::string& container, const std::string& reason, const std::string& message) {
      Event(container, "Warning", reason, message);
    };
    prober_ =
        std::make_unique<PodProber>(ProbeServices{context_.loop, context_.pool, context_.tasks, context_.probe_metrics},
                                    view_, std::move(callbacks));
    if (!first_start_) prober_->Adopt(*pod_);
  }
  prober_->Sync(*pod_, sandbox_, PodIp());
}

/// Source: kuberuntime_manager.go computePodActions, kuberuntime_container.go setTerminationGracePeriod.
void PodWorker::ProbeFailed(const ProbeSubject& subject) {
  const std::string& name = subject.container.name;
  if (terminate_requested_ || view_.terminating || !Runs(name, subject.container_id)) return;
  std::chrono::seconds grace = GracePeriod();
  if (!pod_->metadata.deletionGracePeriodSeconds && subject.probe.terminationGracePeriodSeconds) {
    grace = std::chrono::seconds(*subject.probe.terminationGracePeriodSeconds);
  }
  const char* kind = subject.kind == ProbeKind::kStartup ? "startup" : "liveness";
  const bool sidecar = View(name).kind == ContainerKind::kInit;
  std::string message = absl::StrCat(sidecar ? "Init container " : "Container ", name, " failed ", kind, " probe");
  // The policy alone decides: what the program answers to its stop signal was not what it failed with.
  const bool restart = subject.container.restartPolicy.value_or(pod_->spec.restartPolicy) != "Never";
  if (restart && !sidecar) absl::StrAppend(&message, ", will be restarted");
  if (restart) AskRestart(name);
  BeginStop(name, message, steady_clock::now() + grace);
}

void PodWorker::BeginStop(const std::string& name, const std::string& message, kube::SteadyTime deadline,
                          bool its_turn) {
  if (!IsRunning(View(name)) || sandbox_ == nullptr) return;
  const std::string id = View(name).instances.front().id;
  if (const auto under_way = stops_.find(id); under_way != stops_.end()) {
    under_way->second->deadline = std::min(under_way->second->deadline, deadline);
    under_way->second->its_turn |= its_turn;
    under_way->second->changed.Set();
    return;
  }
  Event(name, "Normal", "Killing", message);
  auto stop = std::make_shared<ContainerStop>(context_.loop, id, deadline, its_turn);
  stops_.emplace(id, stop);
  context_.tasks.Spawn(absl::StrCat("stop ", name), StopOne(shared_from_this(), name, stop));
}

kube::Task<void> PodWorker::StopOne(std::shared_ptr<PodWorker> self, std::string name,
                                    std::shared_ptr<ContainerStop> stop) {
  const std::optional<kube::Container> container = FindContainer(*self->pod_, name);
  const bool hook = container && container->lifecycle && container->lifecycle->preStop;
  if (hook && steady_clock::now() < stop->deadline) co_await RunPreStop(name, stop);
  while (!stop->its_turn && Runs(name, stop->id) && steady_clock::now() < stop->deadline) {
    co_await stop->changed.WaitUntil(stop->deadline);
  }
  co_await SignalAndKill(name, stop);
  stops_.erase(stop->id);
  wake_.Set();
}

/// The hook is part of the grace: what it leaves is the program's.
kube::Task<void> PodWorker::RunPreStop(std::string name, std::shared_ptr<ContainerStop> stop) {
  stop->hook_running = true;
  context_.tasks.Spawn(absl::StrCat("preStop ", name), PreStopHook(shared_from_this(), name, stop));
  while (stop->hook_running && Runs(name, stop->id) && steady_clock::now() < stop->deadline) {
    co_await stop->changed.WaitUntil(stop->deadline);
  }
  stop->hook_cancel.Cancel();
}

kube::Task<void> PodWorker::PreStopHook(std::shared_ptr<PodWorker> self, std::string name,
                                        std::shared_ptr<ContainerStop> stop) {
  const kube::Container container = *FindContainer(*self->pod_, name);
  auto guard = std::make_shared<ProbeGuard>(context_.loop, kube::SteadyTime::max(), stop->hook_cancel);
  HookTarget target{pod_, container, stop->id, PodIp(), sandbox_};
  const HookOutcome outcome =
      co_await RunHook(context_.loop, context_.pool, std::move(target), *container.lifecycle->preStop, guard);
  TellFallback(outcome.plain_http_host);
  if (!outcome.status.ok() && !guard->ended()) {
    Warn("PreStop hook failed", {{"pod", ObjectName(pod_->metadata)},
                                 {"podUID", pod_->metadata.uid},
                                 {"containerName", name},
                                 {"err", std::string(outcome.status.message())}});
    // Without the message: what the server says may be secret.
    Event(name, "Warning", "FailedPreStopHook", "PreStopHook failed");
  }
  stop->hook_running = false;
  stop->changed.Set();
}

/// Awaited where the container was started: the next one starts after it, as on a kubelet.
kube::Task<void> PodWorker::PostStartHook(std::string name) {
  const std::optional<kube::Container> found = FindContainer(*pod_, name);
  if (!found || !found->lifecycle || !found->lifecycle->postStart || !IsRunning(View(name))) co_return;
  const kube::Container container = *found;
  const std::string id = View(name).instances.front().id;
  // Nobody waits for the hook of a container that has ended, or of a pod that is to end.
  post_start_.emplace(RunningHook{name, id, {}});
  const auto both = cancel_.OnCancel([hook = post_start_->cancel]() mutable { hook.Cancel(); });
  auto guard = std::make_shared<ProbeGuard>(context_.loop, kube::SteadyTime::max(), post_start_->cancel);
  HookTarget target{pod_, container, id, PodIp(), sandbox_};
  const HookOutcome outcome =
      co_await RunHook(context_.loop, context_.pool, std::move(target), *container.lifecycle->postStart, guard);
  cancel_.Forget(both);
  post_start_.reset();
  TellFallback(outcome.plain_http_host);
  if (outcome.status.ok() || terminate_requested_) co_return;
  Warn("PostStart hook failed", {{"pod", ObjectName(pod_->metadata)},
                                 {"podUID", pod_->metadata.uid},
                                 {"containerName", name},
                                 {"err", std::string(outcome.status.message())}});
  Event(name, "Warning", "FailedPostStartHook", "PostStartHook failed");
  BeginStop(name, "FailedPostStartHook", steady_clock::now() + GracePeriod());
  while (Runs(name, id) && !terminate_requested_) {
    co_await wake_.Wait();
  }
  View(name).waiting = WaitingInfo{"PostStartHookError", std::string(outcome.status.message())};
  // What the waits above have swallowed is for Sync to see.
  wake_.Set();
}

void PodWorker::TellFallback(const std::string& host) {
  if (host.empty()) return;
  Event("", "Warning", "LifecycleHTTPFallback",
        absl::StrCat("request to HTTPS lifecycle hook ", host, " got HTTP response, retry with HTTP succeeded"));
}

kube::Task<void> PodWorker::SignalAndKill(std::string name, std::shared_ptr<ContainerStop> stop) {
  if (!Runs(name, stop->id)) co_return;
  auto handle = sandbox_;
  const std::string id = stop->id;
  const int number = View(name).instances.front().stop_signal;
  // True: the program has no handler for it yet, so that the signal was lost.
  auto signal = [handle, id, number] {
    const absl::Status status = handle->With([&](sandbox::Sandbox& sandbox) { return sandbox.Signal(id, number); });
    if (absl::IsUnavailable(status)) return true;
    if (!absl::IsNotFound(status)) LogIfError(status, "Stop signal not delivered");
    return false;
  };
  auto kill = [handle, id] {
    const absl::Status status = handle->With([&](sandbox::Sandbox& sandbox) { return sandbox.Kill(id); });
    if (!absl::IsNotFound(status)) LogIfError(status, "Container not killed");
    return true;
  };
  const kube::SteadyTime earliest = steady_clock::now() + kMinimumStopTime;
  bool deaf = co_await kube::Offload(context_.loop, context_.pool, signal);
  std::chrono::milliseconds retry = kFirstRetry;
  kube::SteadyTime again = steady_clock::now() + retry;
  bool killed = false;
  while (Runs(name, id)) {
    const kube::SteadyTime last = std::max(stop->deadline, earliest);
    kube::SteadyTime until = killed ? steady_clock::now() + kKillPatience : last;
    if (!killed && deaf) until = std::min(until, again);
    const bool woken = co_await stop->changed.WaitUntil(until);
    if (woken) continue;
    if (!killed && steady_clock::now() < last) {
      // A program that has just been started may not have come to install its handler.
      deaf = co_await kube::Offload(context_.loop, context_.pool, signal);
      retry = std::min(retry * 2, kLastRetry);
      again = steady_clock::now() + retry;
      continue;
    }
    if (killed) {
      Error("Killed container does not end",
            {{"pod", ObjectName(pod_->metadata)}, {"podUID", pod_->metadata.uid}, {"containerName", name}});
    }
    killed = true;
    co_await kube::Offload(context_.loop, context_.pool, kill);
  }
}

}  // namespace burstlet::provider
