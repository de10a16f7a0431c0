#include "provider/allocation.h"

#include <algorithm>
#include <limits>
#include <tuple>

#include "absl/strings/str_cat.h"
#include "kube/api/quantity.h"
#include "kube/json_codec.h"
#include "provider/translate/resources.h"

namespace burstlet::provider {
namespace {

struct ContainerAllocation {
  std::string name;
  kube::ResourceRequirements resources;
};
BURSTLET_API_FIELDS(ContainerAllocation, (name, resources));

struct ResourceSummary {
  std::vector<ContainerAllocation> initContainers;
  std::vector<ContainerAllocation> containers;
  std::int64_t generation = 0;
  std::string error;
};
BURSTLET_API_FIELDS(ResourceSummary, (), initContainers, containers, generation, error);

std::vector<ContainerAllocation> Summarize(const std::vector<kube::Container>& containers) {
  std::vector<ContainerAllocation> result;
  for (const kube::Container& container : containers) result.push_back({container.name, container.resources});
  return result;
}

bool SameContainers(const std::vector<kube::Container>& a, const std::vector<kube::Container>& b) {
  return a.size() == b.size() &&
         std::equal(a.begin(), a.end(), b.begin(), [](const kube::Container& x, const kube::Container& y) {
           return x.name == y.name && SameResources(x.resources, y.resources);
         });
}

void TakeResources(std::vector<kube::Container>& containers, const std::vector<kube::Container>& from) {
  for (kube::Container& container : containers) {
    for (const kube::Container& other : from) {
      if (other.name == container.name) container.resources = other.resources;
    }
  }
}

}  // namespace
}  // namespace burstlet::provider

namespace burstlet::kube {
template std::string Encode<provider::ResourceSummary>(const provider::ResourceSummary&);
}  // namespace burstlet::kube

namespace burstlet::provider {

bool SameResources(const kube::ResourceList& a, const kube::ResourceList& b) {
  return a.size() == b.size() && std::equal(a.begin(), a.end(), b.begin(), [](const auto& x, const auto& y) {
           return x.first == y.first &&
                  (x.second.text == y.second.text || kube::CompareQuantity(x.second, y.second) == 0);
         });
}

bool SameResources(const kube::ResourceRequirements& a, const kube::ResourceRequirements& b) {
  return SameResources(a.requests, b.requests) && SameResources(a.limits, b.limits);
}

bool SameResources(const kube::Pod& a, const kube::Pod& b) {
  if (a.spec.resources.has_value() != b.spec.resources.has_value()) return false;
  if (a.spec.resources && !SameResources(*a.spec.resources, *b.spec.resources)) return false;
  return SameContainers(a.spec.containers, b.spec.containers) &&
         SameContainers(a.spec.initContainers, b.spec.initContainers);
}

std::shared_ptr<const kube::Pod> WithAllocation(std::shared_ptr<const kube::Pod> desired, const kube::Pod& allocated) {
  if (SameResources(*desired, allocated)) return desired;
  auto pod = std::make_shared<kube::Pod>(*desired);
  pod->spec.resources = allocated.spec.resources;
  TakeResources(pod->spec.containers, allocated.spec.containers);
  TakeResources(pod->spec.initContainers, allocated.spec.initContainers);
  return pod;
}

bool IncreasesRequests(const kube::Pod& allocated, const kube::Pod& desired) {
  const kube::ResourceList before = PodRequests(allocated);
  const kube::ResourceList after = PodRequests(desired);
  return MilliValueOf(after, "cpu") > MilliValueOf(before, "cpu") ||
         ValueOf(after, "memory") > ValueOf(before, "memory");
}

std::string ResizeMessage(const std::string& what, const kube::Pod& pod, std::int64_t generation,
                          const std::string& error) {
  const ResourceSummary summary{Summarize(pod.spec.initContainers), Summarize(pod.spec.containers), generation, error};
  return absl::StrCat(what, ": ", kube::Encode(summary));
}

void SortPending(std::vector<PendingResize>& pending) {
  using Key = std::tuple<bool, std::int64_t, bool, std::int64_t, std::string>;
  const auto key = [](const PendingResize& one) {
    // What asks for no more succeeds whatever the others do.
    if (!one.increases) return Key(false, 0, false, 0, one.uid);
    const std::int64_t since = one.since ? one.since->unix_nanos : std::numeric_limits<std::int64_t>::max();
    return Key(true, -one.priority, !one.guaranteed, since, one.uid);
  };
  std::sort(pending.begin(), pending.end(),
            [&](const PendingResize& a, const PendingResize& b) { return key(a) < key(b); });
}

}  // namespace burstlet::provider
