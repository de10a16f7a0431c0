#include "provider/status/pod_resources.h"

#include <functional>
#include <string>

#include "kube/api/quantity.h"
#include "provider/pod_actions.h"
#include "provider/status/generate.h"

namespace burstlet::provider {
namespace {

using kube::Quantity;
using kube::ResourceList;

bool IsZero(const Quantity& quantity) { return quantity.text.empty() || kube::QuantityMilliValue(quantity) == 0; }

bool PodLevelResource(const std::string& name) {
  return name == "cpu" || name == "memory" || name.rfind("hugepages-", 0) == 0;
}

bool AnyPodLevel(const ResourceList& list) {
  for (const auto& [name, quantity] : list) {
    if (PodLevelResource(name)) return true;
  }
  return false;
}

void AddTo(ResourceList& sum, const ResourceList& more) {
  for (const auto& [name, quantity] : more) {
    auto [it, fresh] = sum.emplace(name, quantity);
    if (!fresh) it->second = kube::AddQuantity(it->second, quantity);
  }
}

void RaiseTo(ResourceList& sum, const ResourceList& floor) {
  for (const auto& [name, quantity] : floor) {
    auto [it, fresh] = sum.emplace(name, quantity);
    if (!fresh && kube::CompareQuantity(it->second, quantity) < 0) it->second = quantity;
  }
}

using Pick = std::function<const ResourceList&(const kube::Container&)>;

/// While init container i runs, the sidecars before it run too: that sum is what the pod needs at least.
ResourceList Aggregate(const kube::PodSpec& spec, const Pick& pick) {
  ResourceList sum;
  for (const kube::Container& container : spec.containers) AddTo(sum, pick(container));
  ResourceList sidecars;
  ResourceList peak;
  for (const kube::Container& container : spec.initContainers) {
    if (IsSidecar(container)) {
      AddTo(sum, pick(container));
      AddTo(sidecars, pick(container));
      RaiseTo(peak, sidecars);
      continue;
    }
    ResourceList during = pick(container);
    AddTo(during, sidecars);
    RaiseTo(peak, during);
  }
  RaiseTo(sum, peak);
  return sum;
}

void ApplyPodLevel(ResourceList& sum, const ResourceList& pod_level) {
  for (const auto& [name, quantity] : pod_level) {
    if (PodLevelResource(name)) sum[name] = quantity;
  }
}

// The classes of one resource and of one set of requirements; kept as words because that is what the API shows.
constexpr char kGuaranteed[] = "Guaranteed";
constexpr char kBurstable[] = "Burstable";
constexpr char kBestEffort[] = "BestEffort";

Quantity Lookup(const ResourceList& list, const char* name) {
  const auto it = list.find(name);
  return it == list.end() ? Quantity{"0"} : it->second;
}

std::string ResourceClass(const kube::ResourceRequirements& resources, const char* name) {
  const Quantity request = Lookup(resources.requests, name);
  const Quantity limit = Lookup(resources.limits, name);
  if (kube::CompareQuantity(request, limit) != 0) return kBurstable;
  return IsZero(request) ? kBestEffort : kGuaranteed;
}

std::string RequirementsClass(const kube::ResourceRequirements& resources) {
  if (resources.requests.empty() && resources.limits.empty()) return kBestEffort;
  const std::string cpu = ResourceClass(resources, "cpu");
  const std::string memory = ResourceClass(resources, "memory");
  return cpu == memory ? cpu : kBurstable;
}

}  // namespace

kube::ResourceList PodRequests(const kube::Pod& pod) {
  ResourceList sum = Aggregate(
      pod.spec, [](const kube::Container& c) -> const ResourceList& { return c.resources.requests; });
  if (pod.spec.resources) ApplyPodLevel(sum, pod.spec.resources->requests);
  AddTo(sum, pod.spec.overhead);
  return sum;
}

kube::ResourceList PodLimits(const kube::Pod& pod) {
  ResourceList sum =
      Aggregate(pod.spec, [](const kube::Container& c) -> const ResourceList& { return c.resources.limits; });
  if (pod.spec.resources) ApplyPodLevel(sum, pod.spec.resources->limits);
  for (const auto& [name, quantity] : pod.spec.overhead) {
    const auto it = sum.find(name);
    if (it != sum.end() && !IsZero(it->second)) it->second = kube::AddQuantity(it->second, quantity);
  }
  return sum;
}

std::string PodQosClass(const kube::Pod& pod) {
  if (!pod.status.qosClass.empty()) return pod.status.qosClass;
  if (pod.spec.resources && (AnyPodLevel(pod.spec.resources->requests) || AnyPodLevel(pod.spec.resources->limits))) {
    return RequirementsClass(*pod.spec.resources);
  }
  std::string pod_class;
  for (const auto* containers : {&pod.spec.initContainers, &pod.spec.containers}) {
    for (const kube::Container& container : *containers) {
      const std::string own = RequirementsClass(container.resources);
      if (own == kBurstable || (!pod_class.empty() && pod_class != own)) return kBurstable;
      pod_class = own;
    }
  }
  return pod_class.empty() ? kBestEffort : pod_class;
}

}  // namespace burstlet::provider
