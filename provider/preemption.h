// Room for critical pods: which others must end.
//
// Pure: `fits` judges whether the pod would be admitted beside a set of pods. Threads: any.
// Source: pkg/kubelet/preemption/preemption.go.
#pragma once

#include <functional>
#include <memory>
#include <vector>

#include "kube/api/pod.h"

namespace burstlet::provider {

using PodList = std::vector<std::shared_ptr<const kube::Pod>>;

/// As few as possible, best effort before burstable before guaranteed; empty when even all that may be ended would not
/// make room. Critical pods give way to nobody but a critical pod of a higher priority.
PodList ChoosePreempted(const kube::Pod& pod, const PodList& active, const std::function<bool(PodList)>& fits);

}  // namespace burstlet::provider
