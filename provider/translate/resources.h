// The arithmetic behind a pod's resources: QoS class, sums over containers, cgroup numbers, oom_score_adj.
//
// Pure functions over API objects; the public face is translate.h, admission and status may use these too. Failure:
// none, quantities have been parsed before. Threads: any.
// Sources: component-helpers/resource/helpers.go, pkg/apis/core/v1/helper/qos, pkg/kubelet/cm/helpers_linux.go,
// pkg/kubelet/qos/policy.go.
#pragma once

#include <cstdint>
#include <map>
#include <string>

#include "kube/api/pod.h"
#include "provider/node_info.h"
#include "sandbox/spec.h"

namespace burstlet::provider {

/// status.qosClass when the API server has set it, else computed (ComputePodQOS).
sandbox::QosClass PodQos(const kube::Pod& pod);
/// The same as the API spells it.
std::string PodQosClass(const kube::Pod& pod);

/// What the pod asks for as a whole: containers, init containers at their peak, sidecars, pod-level values, overhead.
kube::ResourceList PodRequests(const kube::Pod& pod, bool with_overhead = true);
kube::ResourceList PodLimits(const kube::Pod& pod, bool with_overhead = true);

/// What the pod holds of the node, by its own requests and by what its status tells: a pod that is to shrink holds the
/// rest until that has been done (PodRequests with UseStatusResources).
kube::ResourceList PodRequestsInUse(const kube::Pod& pod);

/// The container's limits; the pod's for CPU and memory where it has none (kubelet/util, GetLimits).
kube::ResourceList EffectiveLimits(const kube::Pod& pod, const kube::Container& container);

/// True when spec.resources names cpu, memory or huge pages (IsPodLevelResourcesSet).
bool PodLevelResourcesSet(const kube::Pod& pod);

/// GetContainerOOMScoreAdjust; `memory_capacity` is the node's memory in bytes.
int OomScoreAdjust(const kube::Pod& pod, const kube::Container& container, std::int64_t memory_capacity);

/// A restartable init container.
bool IsSidecar(const kube::Container& container);

/// cgroup values: 1000 milli CPUs are 1024 shares, and a whole period of quota.
std::uint64_t MilliCpuToShares(std::int64_t milli_cpu);
std::int64_t MilliCpuToQuota(std::int64_t milli_cpu, std::uint64_t period_us = 100000);

/// "hugepages-2Mi" -> "2MB", the kernel's name of the page size; empty when it is not such a resource.
std::string HugePageSizeName(const std::string& resource);

/// The quantity's value (rounded up), 0 when it is not there.
std::int64_t ValueOf(const kube::ResourceList& list, const std::string& name);
std::int64_t MilliValueOf(const kube::ResourceList& list, const std::string& name);

}  // namespace burstlet::provider
