// What a pod asks for as a whole: the sums that scheduling, admission, status and cgroups agree on.
//
// Pure functions. Sources: component-helpers resource/helpers.go (PodRequests, PodLimits; KEP-753 for sidecars,
// KEP-2837 for pod-level resources), pkg/apis/core/v1/helper/qos/qos.go. Threads: any.
#pragma once

#include "kube/api/pod.h"

namespace burstlet::provider {

/// Requests of the pod: containers and sidecars summed, at least the peak of its init containers, overridden by
/// pod-level requests, plus overhead.
kube::ResourceList PodRequests(const kube::Pod& pod);

/// The same for limits; overhead is added to limits that are set.
kube::ResourceList PodLimits(const kube::Pod& pod);

}  // namespace burstlet::provider
