#include "provider/prober/prober_manager.h"

#include <algorithm>
#include <chrono>
#include <random>

#include "provider/pod_actions.h"

namespace burstlet::provider {
namespace {

using std::chrono::steady_clock;

constexpr ProbeKind kKinds[] = {ProbeKind::kStartup, ProbeKind::kLiveness, ProbeKind::kReadiness};

bool HasProbe(const kube::Container& container) {
  return container.startupProbe || container.livenessProbe || container.readinessProbe;
}

/// Ordinary init containers have no probes (the API refuses them).
template <typename Fn>
void ForEachProbed(const kube::Pod& pod, Fn fn) {
  for (const kube::Container& container : pod.spec.initContainers) {
    if (HasProbe(container)) fn(container);
  }
  for (const kube::Container& container : pod.spec.containers) {
    if (HasProbe(container)) fn(container);
  }
}

kube::SteadyTime SteadyFromUnix(std::int64_t unix_nanos) {
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  const auto age = std::max<std::chrono::nanoseconds>(now - std::chrono::nanoseconds(unix_nanos), {});
  return steady_clock::now() - std::chrono::duration_cast<steady_clock::duration>(age);
}

double RandomShare() {
  static std::minstd_rand generator(std::random_device{}());
  return std::uniform_real_distribution<double>(0, 1)(generator);
}

}  // namespace

bool PodProber::Wanted(const kube::Pod& pod) {
  bool wanted = false;
  ForEachProbed(pod, [&](const kube::Container&) { wanted = true; });
  return wanted;
}

PodProber::PodProber(ProbeServices services, PodRuntimeView& view, Callbacks callbacks)
    : services_(services), view_(view), callbacks_(std::move(callbacks)) {}

PodProber::~PodProber() {
  for (const auto& [key, worker] : workers_) worker->Stop();
}

void PodProber::Adopt(const kube::Pod& pod) {
  const auto adopt = [&](const std::vector<kube::ContainerStatus>& statuses) {
    for (const kube::ContainerStatus& status : statuses) {
      const auto found = view_.containers.find(status.name);
      if (found == view_.containers.end() || !IsRunning(found->second)) continue;
      ContainerView& view = found->second;
      const std::string& id = view.instances.front().id;
      if (status.containerID != "burstlet://" + id) continue;  // the status is of another run
      view.startup_passed = status.started.value_or(false);
      view.readiness_passed = status.ready;
      adopted_.insert(id);
    }
  };
  adopt(pod.status.initContainerStatuses);
  adopt(pod.status.containerStatuses);
}

void PodProber::Sync(const kube::Pod& pod, const std::shared_ptr<SandboxHandle>& sandbox, const std::string& pod_ip) {
  pod_ = {"", "", pod.metadata.name, pod.metadata.namespace_, pod.metadata.uid};
  ForEachProbed(pod, [&](const kube::Container& container) { SyncContainer(container, sandbox, pod_ip); });
}

void PodProber::SyncContainer(const kube::Container& container, const std::shared_ptr<SandboxHandle>& sandbox,
                              const std::string& pod_ip) {
  const auto found = view_.containers.find(container.name);
  const bool running = found != view_.containers.end() && IsRunning(found->second) && sandbox != nullptr;
  for (const ProbeKind kind : kKinds) {
    const auto worker = workers_.find(Key{container.name, kind});
    if (worker == workers_.end()) continue;
    if (!running || worker->second->subject().container_id != found->second.instances.front().id) {
      StopProbe(container.name, kind);
    }
  }
  if (!running) return;
  if (view_.terminating) {
    StopProbe(container.name, ProbeKind::kLiveness);
    StopProbe(container.name, ProbeKind::kStartup);
  }
  const bool started = !container.startupProbe || found->second.startup_passed.value_or(false);
  if (!started) {
    if (!view_.terminating) Ensure(ProbeKind::kStartup, container, *container.startupProbe, sandbox, pod_ip);
    return;
  }
  if (container.readinessProbe) Ensure(ProbeKind::kReadiness, container, *container.readinessProbe, sandbox, pod_ip);
  if (container.livenessProbe && !view_.terminating) {
    Ensure(ProbeKind::kLiveness, container, *container.livenessProbe, sandbox, pod_ip);
  }
}

void PodProber::Ensure(ProbeKind kind, const kube::Container& container, const kube::Probe& probe,
                       const std::shared_ptr<SandboxHandle>& sandbox, const std::string& pod_ip) {
  const Key key{container.name, kind};
  if (workers_.contains(key)) return;  // also one that has ended: it had its result for this run
  const ContainerInstance& run = view_.containers.at(container.name).instances.front();
  const auto now = steady_clock::now();
  const auto delay_over = SteadyFromUnix(run.started_at) + std::chrono::seconds(probe.initialDelaySeconds);
  ProbeSchedule schedule(kind, probe, std::max(now, delay_over));
  // All probes of a node at once after a restart of the agent would be a burst: they spread over their period.
  if (adopted_.contains(run.id))
    schedule = ProbeSchedule::Adopted(kind, probe, std::max(now, delay_over), RandomShare());
  ProbeSubject subject{kind, container, probe, run.id, pod_ip, sandbox, pod_};
  subject.identity.probe_type = ProbeKindName(kind);
  subject.identity.container = container.name;
  // Stop precedes the end of this object, and no callback follows it.
  ProbeWorker::Callbacks callbacks{[this](const ProbeSubject& of, bool success) { Result(of, success); },
                                   callbacks_.event};
  auto worker = std::make_shared<ProbeWorker>(services_, std::move(subject), schedule, std::move(callbacks));
  workers_.emplace(key, worker);
  worker->Start();
}

void PodProber::StopProbe(const std::string& container, ProbeKind kind) {
  const auto found = workers_.find(Key{container, kind});
  if (found == workers_.end()) return;
  found->second->Stop();
  workers_.erase(found);
}

void PodProber::Result(const ProbeSubject& subject, bool success) {
  const auto found = view_.containers.find(subject.container.name);
  if (found == view_.containers.end() || found->second.instances.empty()) return;
  if (found->second.instances.front().id != subject.container_id) return;
  if (!success && subject.kind != ProbeKind::kReadiness) return callbacks_.failed(subject);
  if (subject.kind == ProbeKind::kLiveness) return;
  std::optional<bool>& result =
      subject.kind == ProbeKind::kStartup ? found->second.startup_passed : found->second.readiness_passed;
  if (result == success) return;
  result = success;
  callbacks_.changed();
}

}  // namespace burstlet::provider
