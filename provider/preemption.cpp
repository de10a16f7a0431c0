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
  std::sort(candidates.begin(), candidates.end(), [](const auto& a, const auto& b) {
    if (Worth(*a) != Worth(*b)) return Worth(*a) > Worth(*b);
    if (a->spec.priority != b->spec.priority) return a->spec.priority.value_or(0) > b->spec.priority.value_or(0);
    return a->metadata.uid < b->metadata.uid;  // any, but always the same
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
