#include "provider/preemption.h"

#include <algorithm>

#include "provider/static_pod.h"
#include "provider/translate/resources.h"

namespace burstlet::provider {
namespace {

bool Preemptable(const kube::Pod& by, const kube::Pod& pod) {
  if (IsCriticalPod(by) && !IsCriticalPod(pod)) return true;
  return by.spec.priority && pod.spec.priority && *by.spec.priority > *pod.spec.priority;
}

/// What is kept longest comes first.
int Worth(const kube::Pod& pod) {
  switch (PodQos(pod)) {
    case sandbox::QosClass::kGuaranteed:
      return 2;
    case sandbox::QosClass::kBurstable:
      return 1;
    case sandbox::QosClass::kBestEffort:
      break;
  }
  return 0;
}

}  // namespace

PodList ChoosePreempted(const kube::Pod& pod, const PodList& active, const std::function<bool(PodList)>& fits) {
  PodList kept;
  PodList candidates;
  for (const auto& other : active) (Preemptable(pod, *other) ? candidates : kept).push_back(other);
  if (candidates.empty() || !fits(kept)) return {};
  // Of equal worth and priority the older is kept.
  std::sort(candidates.begin(), candidates.end(), [](const auto& a, const auto& b) {
    if (Worth(*a) != Worth(*b)) return Worth(*a) > Worth(*b);
    const std::int32_t of_a = a->spec.priority.value_or(0);
    const std::int32_t of_b = b->spec.priority.value_or(0);
    if (of_a != of_b) return of_a > of_b;
    const std::int64_t since_a = a->metadata.creationTimestamp.unix_nanos;
    const std::int64_t since_b = b->metadata.creationTimestamp.unix_nanos;
    return since_a != since_b ? since_a < since_b : a->metadata.uid < b->metadata.uid;
  });
  PodList ended;
  for (const auto& candidate : candidates) {
    kept.push_back(candidate);
    if (fits(kept)) continue;
    kept.pop_back();
    ended.push_back(candidate);
  }
  return ended;
}

}  // namespace burstlet::provider
