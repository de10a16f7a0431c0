#include "provider/translate/resources.h"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <cmath>

#include "kube/api/quantity.h"
#include "provider/translate/translate.h"

namespace burstlet::provider {
namespace {

using kube::ResourceList;

constexpr std::int64_t kMinShares = 2;
constexpr std::int64_t kMaxShares = 262144;
// The kernel refuses quotas below a millisecond.
constexpr std::int64_t kMinQuotaUs = 1000;
constexpr int kGuaranteedOomScore = -997;
constexpr int kBestEffortOomScore = 1000;
const char kHugePages[] = "hugepages-";

bool IsHugePages(const std::string& name) { return name.rfind(kHugePages, 0) == 0; }

bool IsPodLevelResource(const std::string& name) { return name == "cpu" || name == "memory" || IsHugePages(name); }

bool HasPodLevel(const ResourceList& list) {
  return std::any_of(list.begin(), list.end(), [](const auto& entry) { return IsPodLevelResource(entry.first); });
}

bool PodLevelRequestsSet(const kube::Pod& pod) {
  return pod.spec.resources && HasPodLevel(pod.spec.resources->requests);
}

void AddList(ResourceList& sum, const ResourceList& more) {
  for (const auto& [name, quantity] : more) {
    auto [entry, is_new] = sum.emplace(name, quantity);
    if (!is_new) entry->second = kube::AddQuantity(entry->second, quantity);
  }
}

void MaxList(ResourceList& result, const ResourceList& other) {
  for (const auto& [name, quantity] : other) {
    auto [entry, is_new] = result.emplace(name, quantity);
    if (!is_new && kube::CompareQuantity(quantity, entry->second) > 0) entry->second = quantity;
  }
}

/// Sum of what `of` tells over what runs together; an init container counts beside the sidecars that were started
/// before it.
template <typename Of>
ResourceList AggregateBy(const kube::Pod& pod, Of of) {
  ResourceList result;
  for (const auto& container : pod.spec.containers) AddList(result, of(container));
  ResourceList sidecars;
  ResourceList peak;
  for (const auto& container : pod.spec.initContainers) {
    const ResourceList& own = of(container);
    if (IsSidecar(container)) {
      AddList(result, own);
      AddList(sidecars, own);
      MaxList(peak, sidecars);
    } else {
      ResourceList together = own;
      AddList(together, sidecars);
      MaxList(peak, together);
    }
  }
  MaxList(result, peak);
  return result;
}

ResourceList Aggregate(const kube::Pod& pod, ResourceList kube::ResourceRequirements::* part) {
  return AggregateBy(pod, [&](const kube::Container& c) -> const ResourceList& { return c.resources.*part; });
}

const kube::ContainerStatus* StatusOf(const kube::Pod& pod, const std::string& name) {
  for (const auto* list : {&pod.status.containerStatuses, &pod.status.initContainerStatuses}) {
    for (const auto& status : *list) {
      if (status.name == name) return &status;
    }
  }
  return nullptr;
}

const ResourceList& AllocatedRequests(const kube::Pod& pod, const kube::Container& container) {
  const kube::ContainerStatus* status = StatusOf(pod, container.name);
  const bool told = status != nullptr && !status->allocatedResources.empty();
  return told ? status->allocatedResources : container.resources.requests;
}

const ResourceList& ActualRequests(const kube::Pod& pod, const kube::Container& container) {
  const kube::ContainerStatus* status = StatusOf(pod, container.name);
  if (status != nullptr && status->resources && !status->resources->requests.empty())
    return status->resources->requests;
  return AllocatedRequests(pod, container);
}

void ApplyPodLevel(ResourceList& result, const ResourceList& pod_level) {
  for (const auto& [name, quantity] : pod_level) {
    if (IsPodLevelResource(name)) result[name] = quantity;
  }
}

sandbox::QosClass RequirementsQos(const kube::ResourceRequirements& resources) {
  using sandbox::QosClass;
  std::optional<QosClass> result;
  for (const char* name : {"cpu", "memory"}) {
    auto quantity = [&](const ResourceList& list) {
      auto entry = list.find(name);
      return entry == list.end() ? kube::Quantity{"0"} : entry->second;
    };
    kube::Quantity request = quantity(resources.requests);
    if (kube::CompareQuantity(request, quantity(resources.limits)) != 0) return QosClass::kBurstable;
    QosClass one = kube::CompareQuantity(request, {"0"}) == 0 ? QosClass::kBestEffort : QosClass::kGuaranteed;
    if (result && *result != one) return QosClass::kBurstable;
    result = one;
  }
  return *result;
}

sandbox::QosClass ComputeQos(const kube::Pod& pod) {
  if (PodLevelResourcesSet(pod)) return RequirementsQos(*pod.spec.resources);
  std::optional<sandbox::QosClass> result;
  for (const auto* list : {&pod.spec.initContainers, &pod.spec.containers}) {
    for (const auto& container : *list) {
      auto one = RequirementsQos(container.resources);
      if (one == sandbox::QosClass::kBurstable || (result && *result != one)) return sandbox::QosClass::kBurstable;
      result = one;
    }
  }
  return result.value_or(sandbox::QosClass::kBestEffort);
}

/// The pod's own memory request that no container claims, shared out evenly (KEP-2837).
std::int64_t UnclaimedMemoryPerContainer(const kube::Pod& pod) {
  if (!PodLevelRequestsSet(pod)) return 0;
  std::int64_t remaining = ValueOf(pod.spec.resources->requests, "memory");
  std::int64_t count = static_cast<std::int64_t>(pod.spec.containers.size() + pod.spec.initContainers.size());
  remaining -= ValueOf(Aggregate(pod, &kube::ResourceRequirements::requests), "memory");
  return count == 0 ? 0 : std::max<std::int64_t>(remaining, 0) / count;
}

std::int64_t OomScore(std::int64_t memory_request, std::int64_t capacity) {
  // In floating point, as 1000 * request overflows for absurd but valid quantities.
  return 1000 - static_cast<std::int64_t>(static_cast<long double>(1000) * static_cast<long double>(memory_request) /
                                          static_cast<long double>(capacity));
}

/// Every page size the node knows is set, to 0 where the list has none: huge pages are never overcommitted.
void SetHugePages(const ResourceList& list, const NodeInfo& node, std::map<std::string, std::int64_t>& limits) {
  for (const auto& [name, unused] : node.capacity) {
    std::string size = HugePageSizeName(name);
    if (!size.empty()) limits.emplace(size, 0);
  }
  for (const auto& [name, quantity] : list) {
    std::string size = HugePageSizeName(name);
    if (!size.empty()) limits[size] = kube::QuantityValue(quantity);
  }
}

/// memory.high: part of the way from the request to the limit, whole pages; -1 (none) when that is not above the
/// request. Source: KEP-2570.
std::int64_t MemoryHigh(std::int64_t request, std::int64_t limit, double factor) {
  static const std::int64_t page = sysconf(_SC_PAGESIZE);
  const double high = static_cast<double>(request) + static_cast<double>(limit - request) * factor;
  const std::int64_t bytes = static_cast<std::int64_t>(std::floor(high / static_cast<double>(page))) * page;
  return bytes > request ? bytes : -1;
}

/// What a request protects (memoryReservationPolicy): hard for a guaranteed pod, by preference for others.
void Reserve(const NodeInfo& node, sandbox::QosClass qos, std::int64_t request, sandbox::Resources& result) {
  if (!node.tiered_memory_reservation || request == 0) return;
  (qos == sandbox::QosClass::kGuaranteed ? result.memory_min_bytes : result.memory_low_bytes) = request;
}

void SetContainerMemoryQos(const kube::Pod& pod, const kube::Container& container, const NodeInfo& node,
                           sandbox::Resources& result) {
  const std::int64_t request = ValueOf(container.resources.requests, "memory");
  const std::int64_t limit = ValueOf(container.resources.limits, "memory");
  Reserve(node, PodQos(pod), request, result);
  if (!node.memory_throttling_factor) return;
  result.memory_high_bytes = -1;
  // The pod's own cgroup throttles what has no limit but the pod's.
  const bool by_pod = limit == 0 && PodLevelResourcesSet(pod) && ValueOf(pod.spec.resources->limits, "memory") != 0;
  if (by_pod || (request == limit && request != 0)) return;
  const std::int64_t until = limit != 0 ? limit : ValueOf(node.allocatable, "memory");
  if (until > 0) result.memory_high_bytes = MemoryHigh(request, until, *node.memory_throttling_factor);
}

void SetPodMemoryQos(const kube::Pod& pod, std::int64_t request, std::int64_t limit, bool limit_declared,
                     const NodeInfo& node, sandbox::Resources& result) {
  Reserve(node, PodQos(pod), request, result);
  if (!node.memory_throttling_factor || !PodLevelResourcesSet(pod)) return;
  const bool throttled = limit_declared && limit != 0 && request != limit;
  result.memory_high_bytes = throttled ? MemoryHigh(request, limit, *node.memory_throttling_factor) : -1;
}

bool LimitDeclared(const kube::Pod& pod, const std::string& name) {
  if (PodLevelResourcesSet(pod) && MilliValueOf(pod.spec.resources->limits, name) != 0) return true;
  for (const auto* list : {&pod.spec.initContainers, &pod.spec.containers}) {
    for (const auto& container : *list) {
      if (MilliValueOf(container.resources.limits, name) == 0) return false;
    }
  }
  return true;
}

}  // namespace

std::int64_t ValueOf(const ResourceList& list, const std::string& name) {
  auto entry = list.find(name);
  return entry == list.end() ? 0 : kube::QuantityValue(entry->second);
}

std::int64_t MilliValueOf(const ResourceList& list, const std::string& name) {
  auto entry = list.find(name);
  return entry == list.end() ? 0 : kube::QuantityMilliValue(entry->second);
}

bool IsSidecar(const kube::Container& container) { return container.restartPolicy == "Always"; }

bool PodLevelResourcesSet(const kube::Pod& pod) {
  return pod.spec.resources && (HasPodLevel(pod.spec.resources->requests) || HasPodLevel(pod.spec.resources->limits));
}

sandbox::QosClass PodQos(const kube::Pod& pod) {
  if (pod.status.qosClass == "Guaranteed") return sandbox::QosClass::kGuaranteed;
  if (pod.status.qosClass == "Burstable") return sandbox::QosClass::kBurstable;
  if (pod.status.qosClass == "BestEffort") return sandbox::QosClass::kBestEffort;
  return ComputeQos(pod);
}

std::string PodQosClass(const kube::Pod& pod) {
  switch (PodQos(pod)) {
    case sandbox::QosClass::kGuaranteed:
      return "Guaranteed";
    case sandbox::QosClass::kBurstable:
      return "Burstable";
    case sandbox::QosClass::kBestEffort:
      break;
  }
  return "BestEffort";
}

ResourceList PodRequests(const kube::Pod& pod, bool with_overhead) {
  ResourceList result = Aggregate(pod, &kube::ResourceRequirements::requests);
  if (PodLevelRequestsSet(pod)) ApplyPodLevel(result, pod.spec.resources->requests);
  if (with_overhead) AddList(result, pod.spec.overhead);
  return result;
}

ResourceList PodRequestsInUse(const kube::Pod& pod) {
  ResourceList result = Aggregate(pod, &kube::ResourceRequirements::requests);
  if (!pod.status.allocatedResources.empty() && pod.status.resources && !pod.status.resources->requests.empty()) {
    MaxList(result, pod.status.allocatedResources);
    MaxList(result, pod.status.resources->requests);
  } else {
    MaxList(result, AggregateBy(pod, [&](const kube::Container& c) -> const ResourceList& {
              return AllocatedRequests(pod, c);
            }));
    MaxList(result,
            AggregateBy(pod, [&](const kube::Container& c) -> const ResourceList& { return ActualRequests(pod, c); }));
  }
  if (PodLevelRequestsSet(pod)) {
    ResourceList pod_level = pod.spec.resources->requests;
    if (pod.status.resources) {
      MaxList(pod_level, pod.status.resources->requests);
      MaxList(pod_level, pod.status.allocatedResources);
    }
    ApplyPodLevel(result, pod_level);
  }
  AddList(result, pod.spec.overhead);
  return result;
}

ResourceList EffectiveLimits(const kube::Pod& pod, const kube::Container& container) {
  ResourceList limits = container.resources.limits;
  if (!pod.spec.resources) return limits;
  for (const char* name : {"cpu", "memory"}) {
    if (MilliValueOf(limits, name) != 0 || MilliValueOf(pod.spec.resources->limits, name) == 0) continue;
    limits[name] = pod.spec.resources->limits.at(name);
  }
  return limits;
}

ResourceList PodLimits(const kube::Pod& pod, bool with_overhead) {
  ResourceList result = Aggregate(pod, &kube::ResourceRequirements::limits);
  if (PodLevelResourcesSet(pod)) ApplyPodLevel(result, pod.spec.resources->limits);
  if (with_overhead) {
    for (const auto& [name, quantity] : pod.spec.overhead) {
      auto entry = result.find(name);
      // An unlimited resource stays so.
      if (entry != result.end() && kube::QuantityMilliValue(entry->second) != 0) {
        entry->second = kube::AddQuantity(entry->second, quantity);
      }
    }
  }
  return result;
}

std::uint64_t MilliCpuToShares(std::int64_t milli_cpu) {
  // Clamped before the product, so that it can't overflow.
  milli_cpu = std::clamp<std::int64_t>(milli_cpu, 0, kMaxShares * 1000);
  return static_cast<std::uint64_t>(std::clamp<std::int64_t>(milli_cpu * 1024 / 1000, kMinShares, kMaxShares));
}

std::int64_t MilliCpuToQuota(std::int64_t milli_cpu, std::uint64_t period_us) {
  if (milli_cpu == 0) return 0;
  const auto period = static_cast<std::int64_t>(period_us);
  milli_cpu = std::min<std::int64_t>(milli_cpu, INT64_MAX / period);
  return std::max(milli_cpu * period / 1000, kMinQuotaUs);
}

std::string HugePageSizeName(const std::string& resource) {
  if (!IsHugePages(resource)) return "";
  auto size = kube::ParseQuantity(resource.substr(sizeof(kHugePages) - 1));
  if (!size.ok()) return "";
  std::int64_t bytes = kube::QuantityValue(*size);
  if (bytes <= 0) return "";
  constexpr std::array<const char*, 6> kUnits = {"B", "KB", "MB", "GB", "TB", "PB"};
  std::size_t unit = 0;
  while (bytes >= 1024 && unit + 1 < kUnits.size()) {
    bytes /= 1024;
    ++unit;
  }
  return std::to_string(bytes) + kUnits[unit];
}

int OomScoreAdjust(const kube::Pod& pod, const kube::Container& container, std::int64_t memory_capacity) {
  // Such a pod is critical for the node by definition (its priority is of the system range).
  if (pod.spec.priorityClassName == "system-node-critical") return kGuaranteedOomScore;
  switch (PodQos(pod)) {
    case sandbox::QosClass::kGuaranteed:
      return kGuaranteedOomScore;
    case sandbox::QosClass::kBestEffort:
      return kBestEffortOomScore;
    case sandbox::QosClass::kBurstable:
      break;
  }
  std::int64_t capacity = std::max<std::int64_t>(memory_capacity, 1);
  std::int64_t unclaimed = UnclaimedMemoryPerContainer(pod);
  std::int64_t score = OomScore(ValueOf(container.resources.requests, "memory") + unclaimed, capacity);
  bool is_sidecar =
      IsSidecar(container) && std::any_of(pod.spec.initContainers.begin(), pod.spec.initContainers.end(),
                                          [&](const kube::Container& init) { return init.name == container.name; });
  if (is_sidecar && !pod.spec.containers.empty()) {
    // A sidecar is not killed before the containers that it serves.
    std::int64_t smallest = INT64_MAX;
    for (const auto& app : pod.spec.containers) {
      smallest = std::min(smallest, ValueOf(app.resources.requests, "memory"));
    }
    score = std::min(score, OomScore(smallest + unclaimed, capacity));
  }
  // Above every guaranteed container, below every best-effort one.
  if (score < 1000 + kGuaranteedOomScore) return 1000 + kGuaranteedOomScore;
  if (score >= kBestEffortOomScore) return kBestEffortOomScore - 1;
  return static_cast<int>(score);
}

sandbox::Resources ContainerResources(const kube::Pod& pod, const kube::Container& container, const NodeInfo& node) {
  sandbox::Resources result;
  // Without a limit of its own a container may use all of the pod's.
  const ResourceList limits = EffectiveLimits(pod, container);
  const std::int64_t cpu_limit = MilliValueOf(limits, "cpu");
  std::int64_t cpu_request =
      container.resources.requests.count("cpu") != 0 ? MilliValueOf(container.resources.requests, "cpu") : cpu_limit;
  result.cpu_shares = MilliCpuToShares(cpu_request);
  if (cpu_limit != 0 && node.cpu_cfs_quota) {
    result.cpu_quota_us = MilliCpuToQuota(cpu_limit, node.cpu_cfs_quota_period_us);
    result.cpu_period_us = node.cpu_cfs_quota_period_us;
  }
  const std::int64_t memory_limit = ValueOf(limits, "memory");
  if (memory_limit != 0) result.memory_limit_bytes = memory_limit;
  SetContainerMemoryQos(pod, container, node, result);
  if (PodLevelResourcesSet(pod)) SetHugePages(pod.spec.resources->limits, node, result.hugepage_limits);
  SetHugePages(container.resources.limits, node, result.hugepage_limits);
  return result;
}

sandbox::Resources PodResources(const kube::Pod& pod, const NodeInfo& node) {
  sandbox::Resources result;
  ResourceList requests = PodRequests(pod);
  ResourceList limits = PodLimits(pod);
  const auto qos = PodQos(pod);
  result.cpu_shares =
      qos == sandbox::QosClass::kBestEffort ? kMinShares : MilliCpuToShares(MilliValueOf(requests, "cpu"));
  const bool guaranteed = qos == sandbox::QosClass::kGuaranteed;
  const bool burstable = qos == sandbox::QosClass::kBurstable;
  const std::int64_t quota = MilliCpuToQuota(MilliValueOf(limits, "cpu"), node.cpu_cfs_quota_period_us);
  if (quota != 0 && node.cpu_cfs_quota && (guaranteed || (burstable && LimitDeclared(pod, "cpu")))) {
    result.cpu_quota_us = quota;
    result.cpu_period_us = node.cpu_cfs_quota_period_us;
  }
  const std::int64_t memory = ValueOf(limits, "memory");
  const bool memory_declared = guaranteed || (burstable && LimitDeclared(pod, "memory"));
  if (memory != 0 && memory_declared) result.memory_limit_bytes = memory;
  SetPodMemoryQos(pod, ValueOf(requests, "memory"), memory, memory_declared, node, result);
  SetHugePages(requests, node, result.hugepage_limits);
  if (node.pids_limit > 0) result.pids_limit = node.pids_limit;
  return result;
}

}  // namespace burstlet::provider
