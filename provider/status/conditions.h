// The pod conditions that a node owns; all others belong to somebody else and pass through.
//
// Pure functions. Source: pkg/kubelet/status/generate.go, pkg/kubelet/types/pod_status.go. Threads: any.
#pragma once

#include <string>
#include <vector>

#include "kube/api/pod.h"
#include "provider/status/container_statuses.h"

namespace burstlet::provider {

/// PodScheduled, Ready, Initialized, ContainersReady, PodReadyToStartContainers, the resize conditions and
/// AllContainersRestarting. DisruptionTarget is shared and counts as foreign here.
bool OwnedCondition(const std::string& type);

const kube::PodCondition* FindCondition(const std::vector<kube::PodCondition>& conditions, const std::string& type);

struct ConditionInput {
  const kube::Pod& pod;
  const ContainerStatuses& statuses;
  const kube::PodStatus& previous;
  std::string phase;
  bool sandbox_ready = false;
  bool had_sandbox = false;
  bool restarting_all = false;
  std::int64_t generation = 0;
  kube::Time now;
};

/// Foreign conditions of `previous`, then the node's own, in the kubelet's order.
std::vector<kube::PodCondition> MakeConditions(const ConditionInput& input);

/// DisruptionTarget, of a pod that the node has ended for the sake of another (pkg/kubelet/preemption). It replaces one
/// that others have set.
void AddDisruption(std::int64_t generation, kube::Time now, std::vector<kube::PodCondition>& conditions);
/// The condition above, and not another's of that type.
bool IsDisruptionByNode(const kube::PodCondition& condition);

/// A terminal phase never goes with Ready or ContainersReady True (kubernetes issue 108594).
void ForceUnready(const std::string& phase, kube::Time now, std::vector<kube::PodCondition>& conditions);

}  // namespace burstlet::provider
