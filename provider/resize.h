// From the resources that are allocated to a running pod to writes of its cgroups: what differs, in which order.
//
// Pure functions over the pod and what its worker knows; the worker carries the steps out (pod_worker_resize.cpp).
// Sources: KEP-1287, KEP-5419, pkg/kubelet/kuberuntime/kuberuntime_manager.go (computePodResizeAction,
// doPodResizeAction, validateMemoryResizeAction, IsPodResizeInProgress). Threads: any.
#pragma once

#include <cstdint>
#include <set>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "kube/api/pod.h"
#include "provider/node_info.h"
#include "provider/runtime_view.h"
#include "sandbox/sandbox.h"
#include "sandbox/spec.h"

namespace burstlet::provider {

/// CPU in thousandths, memory in bytes; 0: none.
struct ResourceValues {
  std::int64_t cpu_request = 0;
  std::int64_t cpu_limit = 0;
  std::int64_t memory_request = 0;
  std::int64_t memory_limit = 0;
  bool operator==(const ResourceValues&) const = default;
};

struct ContainerResize {
  std::string name;
  std::string id;
  ResourceValues desired;
  ResourceValues current;
};

struct ResizePlan {
  /// Containers to change while they run: what shrinks comes first.
  std::vector<ContainerResize> memory;
  std::vector<ContainerResize> cpu;
  /// Containers whose resizePolicy asks for another run.
  std::vector<std::string> restart;
  /// The pod's cgroup is to change; `goal` is what it will be then.
  bool pod = false;
  AppliedPodResources goal;
  bool empty() const { return memory.empty() && cpu.empty() && restart.empty() && !pod; }
};

/// `pod` as allocated. `stopping`: ids of runs that end already; their next run has the right size.
ResizePlan PlanResize(const kube::Pod& pod, const PodRuntimeView& view, const NodeInfo& node,
                      const std::set<std::string>& stopping);

/// Something runs with other resources than are allocated.
bool ResizeInProgress(const kube::Pod& pod, const PodRuntimeView& view);

/// One write. An empty `container` means the pod's cgroup.
struct ResizeStep {
  enum class Kind { kMemory, kCpu };
  Kind kind = Kind::kMemory;
  std::string container;
  std::string id;
  sandbox::Resources resources;
};

/// Memory before CPU; the pod grows before its containers do, and shrinks after them, so that no container ever is
/// promised more than its pod has.
std::vector<ResizeStep> ResizeSteps(const ResizePlan& plan, const kube::Pod& pod, const PodRuntimeView& view,
                                    const NodeInfo& node);

/// kFailedPrecondition when a memory limit would fall below what is in use: version 2 would kill for it.
absl::Status CheckMemoryInUse(const ResizePlan& plan, const PodRuntimeView& view, const sandbox::SandboxStats& stats);
/// Some memory limit shrinks or appears, so that CheckMemoryInUse must be asked.
bool LowersMemory(const ResizePlan& plan, const PodRuntimeView& view);

/// What a container's start or a finished resize applies: its own requests, its limits or else the pod's.
kube::ResourceRequirements AppliedRequirements(const kube::Pod& pod, const kube::Container& container);
/// The same of the pod's cgroup.
AppliedPodResources AppliedTo(const kube::Pod& pod, const NodeInfo& node);

}  // namespace burstlet::provider
