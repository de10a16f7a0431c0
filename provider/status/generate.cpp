#include "provider/status/generate.h"

#include <algorithm>
#include <set>
#include <utility>

#include "provider/status/conditions.h"
#include "provider/status/container_statuses.h"
#include "provider/status/merge.h"
#include "provider/status/restart.h"
#include "provider/translate/resources.h"

namespace burstlet::provider {
namespace {

bool IsIpv6(const std::string& ip) { return ip.find(':') != std::string::npos; }

/// The node's primary family first, at most one address of each (kubelet_pods.go, sortPodIPs).
std::vector<kube::PodIP> SortedPodIps(const std::vector<std::string>& ips, const HostAddresses& host) {
  const bool primary_ipv6 = !host.ips.empty() && IsIpv6(host.ips.front());
  std::vector<kube::PodIP> result;
  for (const bool ipv6 : {primary_ipv6, !primary_ipv6}) {
    const auto it = std::find_if(ips.begin(), ips.end(), [&](const std::string& ip) { return IsIpv6(ip) == ipv6; });
    if (it != ips.end()) result.push_back(kube::PodIP{*it});
  }
  return result;
}

void SetAddresses(const kube::Pod& pod, const PodRuntimeView& view, const kube::PodStatus& previous,
                  const HostAddresses& host, kube::PodStatus& status) {
  for (std::size_t i = 0; i < host.ips.size() && i < 2; ++i) status.hostIPs.push_back(kube::HostIP{host.ips[i]});
  if (!status.hostIPs.empty()) status.hostIP = status.hostIPs.front().ip;
  if (pod.spec.hostNetwork) {
    for (const kube::HostIP& ip : status.hostIPs) status.podIPs.push_back(kube::PodIP{ip.ip});
  } else if (!view.pod_ips.empty()) {
    status.podIPs = SortedPodIps(view.pod_ips, host);
  } else if (!view.sandbox_ready) {
    status.podIPs = previous.podIPs;  // a pod that has ended keeps the address it had
  }
  if (!status.podIPs.empty()) status.podIP = status.podIPs.front().ip;
}

bool AppRanInSandbox(const kube::Pod& pod, const PodRuntimeView& view) {
  for (const kube::Container& container : pod.spec.containers) {
    const auto it = view.containers.find(container.name);
    if (it == view.containers.end()) continue;
    for (const ContainerInstance& instance : it->second.instances) {
      if (instance.in_current_sandbox) return true;
    }
  }
  return false;
}

std::set<std::string> Restarting(const PodRuntimeView& view) {
  std::set<std::string> names;
  for (const auto& [name, container] : view.containers) {
    if (!container.instances.empty() && container.instances.front().restart_asked()) names.insert(name);
  }
  return names;
}

bool AnyRun(const PodRuntimeView& view) {
  return std::any_of(view.containers.begin(), view.containers.end(),
                     [](const auto& entry) { return !entry.second.instances.empty(); });
}

/// Once there was a sandbox, its absence is worded differently.
bool HadSandbox(const PodRuntimeView& view, const kube::PodStatus& previous) {
  if (AnyRun(view)) return true;
  const kube::PodCondition* before = FindCondition(previous.conditions, "PodReadyToStartContainers");
  return before != nullptr && (before->status == "True" || before->message == "pod sandbox is not ready");
}

/// Refused before anything of it existed (kubelet.go, rejectPod): such a status has no container statuses.
/// What a node does to pods that it had admitted is told from the reason.
bool Rejected(const PodRuntimeView& view, const kube::PodStatus& previous) {
  for (const char* later : {"DeadlineExceeded", "Evicted", "Preempting", "Terminated"}) {
    if (view.failure && view.failure->reason == later) return false;
  }
  return view.failure && !view.sandbox_ready && !AnyRun(view) && previous.containerStatuses.empty();
}

kube::PodStatus Base(const kube::Pod& pod, const PodRuntimeView& view, const kube::PodStatus& previous,
                     kube::Time now) {
  kube::PodStatus status;
  status.qosClass = previous.qosClass.empty() ? PodQosClass(pod) : previous.qosClass;
  const std::int64_t generation = view.observed_generation > 0 ? view.observed_generation : pod.metadata.generation;
  status.observedGeneration = std::max(generation, previous.observedGeneration);
  if (previous.startTime && *previous.startTime) {
    status.startTime = previous.startTime;
  } else {
    status.startTime = view.start_time ? view.start_time : now;
  }
  KeepForeignFields(previous, status);
  return status;
}

kube::PodStatus RejectedStatus(kube::PodStatus status, const PodRuntimeView& view, const kube::PodStatus& previous) {
  status.phase = "Failed";
  status.reason = view.failure->reason;
  status.message = view.failure->message;
  constexpr char kPrefix[] = "Pod was rejected: ";
  if (status.message.rfind(kPrefix, 0) != 0) status.message.insert(0, kPrefix);
  for (const kube::PodCondition& condition : previous.conditions) {
    if (!OwnedCondition(condition.type) || condition.type == "PodScheduled") status.conditions.push_back(condition);
  }
  return status;
}

/// Phase, reason and message as they follow from the containers and from what the node decided.
void SetPhase(const kube::Pod& pod, const PodRuntimeView& view, const kube::PodStatus& previous,
              const ContainerStatuses& containers, kube::PodStatus& status) {
  const bool terminal = view.terminated || (view.terminating && !AnyRunning(view));
  status.phase = PodPhase({pod.spec, containers.init, containers.app, terminal, AppRanInSandbox(pod, view),
                           terminal ? std::set<std::string>{} : Restarting(view)});
  for (const std::string* before : {&previous.phase, &pod.status.phase}) {
    if (!TerminalPhase(*before)) continue;
    status.phase = *before;  // terminal phases are never left, nor swapped
    break;
  }
  if (status.phase == previous.phase) {
    status.reason = previous.reason.empty() ? pod.status.reason : previous.reason;
    status.message = previous.message.empty() ? pod.status.message : previous.message;
  } else if (TerminalPhase(pod.status.phase) && status.phase == pod.status.phase) {
    status.reason = pod.status.reason;  // others have ended it, and said why
    status.message = pod.status.message;
  }
  if (view.failure && !TerminalPhase(previous.phase) && !TerminalPhase(pod.status.phase)) {
    status.phase = "Failed";
    status.reason = view.failure->reason;
    status.message = view.failure->message;
  }
}

/// A pod with a running container is not shown as ended, since it still holds what others wait for
/// (status_manager.go, mergePodStatus).
void HoldPhase(const kube::Pod& pod, const PodRuntimeView& view, const kube::PodStatus& previous,
               kube::PodStatus& status) {
  if (view.terminated || !AnyRunning(view)) return;
  if (TerminalPhase(pod.status.phase)) return;  // others have ended it: that is not taken back
  if (!TerminalPhase(status.phase) || TerminalPhase(previous.phase)) return;
  status.phase = previous.phase.empty() ? "Pending" : previous.phase;
  status.reason = previous.reason;
  status.message = previous.message;
}

}  // namespace

kube::PodStatus GeneratePodStatus(const kube::Pod& pod, const PodRuntimeView& view, const kube::PodStatus& previous,
                                  const HostAddresses& host, kube::Time now) {
  kube::PodStatus status = Base(pod, view, previous, now);
  if (Rejected(view, previous)) {
    status = RejectedStatus(std::move(status), view, previous);
    NormalizeStatus(pod, status);
    return status;
  }
  SetAddresses(pod, view, previous, host, status);
  ContainerStatuses containers = MakeContainerStatuses(pod, view, previous);
  SetPhase(pod, view, previous, containers, status);
  if (view.terminated) {
    EndContainerStatuses(pod, containers);
    if (!TerminalPhase(status.phase)) status.phase = "Failed";
  }
  status.conditions = MakeConditions({pod, containers, previous, status.phase, view.sandbox_ready,
                                      HadSandbox(view, previous), view.restarting_all, status.observedGeneration, now});
  if (!view.terminated && !TerminalPhase(status.phase)) {
    for (const auto* resize : {&view.resize_pending, &view.resize_in_progress}) {
      if (*resize) status.conditions.push_back(**resize);
    }
  }
  HoldPhase(pod, view, previous, status);
  if (TerminalPhase(status.phase)) ForceUnready(status.phase, now, status.conditions);
  if (TerminalPhase(status.phase) && view.failure && view.failure->reason == "Preempting") {
    AddDisruption(status.observedGeneration, now, status.conditions);
  }
  status.allocatedResources = PodRequests(pod);
  status.resources = PodResourcesStatus(pod, view, status.phase);
  status.initContainerStatuses = std::move(containers.init);
  status.containerStatuses = std::move(containers.app);
  status.ephemeralContainerStatuses = std::move(containers.ephemeral);
  NormalizeStatus(pod, status);
  return status;
}

}  // namespace burstlet::provider
