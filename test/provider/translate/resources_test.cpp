// cgroup values that depend on the node's configuration: CPU quota, memory throttling and protection, huge pages.
#include "provider/translate/resources.h"

#include <catch2/catch.hpp>

#include "provider/translate/translate.h"
#include "provider/volumes/empty_dir.h"

namespace burstlet::provider {
namespace {

constexpr std::int64_t kMi = 1 << 20;

kube::ResourceList Memory(const std::string& amount) {
  return amount.empty() ? kube::ResourceList{} : kube::ResourceList{{"memory", kube::Quantity{amount}}};
}

kube::Pod PodOf(const std::string& request, const std::string& limit) {
  kube::Pod pod;
  kube::Container container;
  container.name = "a";
  container.resources = {Memory(limit), Memory(request), {}};
  pod.spec.containers = {container};
  return pod;
}

sandbox::Resources Of(const kube::Pod& pod, const NodeInfo& node) {
  return ContainerResources(pod, pod.spec.containers[0], node);
}

}  // namespace

TEST_CASE("memory is throttled part of the way from request to limit, in whole pages", "[resources]") {
  NodeInfo node;
  node.allocatable = Memory("1000Mi");
  CHECK_FALSE(Of(PodOf("100Mi", "200Mi"), node).memory_high_bytes);
  node.memory_throttling_factor = 0.9;
  CHECK(Of(PodOf("100Mi", "200Mi"), node).memory_high_bytes == 190 * kMi);
  CHECK(Of(PodOf("1000", "100001"), node).memory_high_bytes == 21 * 4096);
  // Up to what the node has where there is no limit; never for who asks for all that it may have.
  CHECK(Of(PodOf("", ""), node).memory_high_bytes == 900 * kMi);
  CHECK(Of(PodOf("200Mi", "200Mi"), node).memory_high_bytes == -1);
  // A container without a limit is throttled by its pod.
  kube::Pod pod = PodOf("", "");
  pod.spec.resources = kube::ResourceRequirements{Memory("200Mi"), Memory("100Mi"), {}};
  CHECK(Of(pod, node).memory_high_bytes == -1);
  CHECK(PodResources(pod, node).memory_high_bytes == 190 * kMi);
}

TEST_CASE("requests are protected when the node reserves memory", "[resources]") {
  NodeInfo node;
  CHECK_FALSE(Of(PodOf("100Mi", "200Mi"), node).memory_low_bytes);
  node.tiered_memory_reservation = true;
  const sandbox::Resources burstable = Of(PodOf("100Mi", "200Mi"), node);
  CHECK(burstable.memory_low_bytes == 100 * kMi);
  CHECK_FALSE(burstable.memory_min_bytes);
  kube::Pod pod = PodOf("100Mi", "100Mi");
  pod.status.qosClass = "Guaranteed";
  CHECK(Of(pod, node).memory_min_bytes == 100 * kMi);
  CHECK(PodResources(pod, node).memory_min_bytes == 100 * kMi);
  CHECK_FALSE(Of(PodOf("", ""), node).memory_low_bytes);
}

TEST_CASE("CPU limits are quotas of the node's period, or none", "[resources]") {
  kube::Pod pod = PodOf("", "");
  pod.spec.containers[0].resources.limits["cpu"] = kube::Quantity{"500m"};
  pod.spec.containers[0].resources.requests["cpu"] = kube::Quantity{"500m"};
  NodeInfo node;
  CHECK(Of(pod, node).cpu_quota_us == 50000);
  node.cpu_cfs_quota_period_us = 20000;
  CHECK(Of(pod, node).cpu_quota_us == 10000);
  CHECK(Of(pod, node).cpu_period_us == 20000);
  CHECK(PodResources(pod, node).cpu_quota_us == 10000);
  node.cpu_cfs_quota = false;
  CHECK_FALSE(Of(pod, node).cpu_quota_us);
  CHECK_FALSE(PodResources(pod, node).cpu_quota_us);
  CHECK(Of(pod, node).cpu_shares == 512);
}

TEST_CASE("a volume of huge pages has the size that the pod asks for", "[resources]") {
  kube::Pod pod = PodOf("", "");
  CHECK(HugePageSize(pod, "HugePages").status().message() ==
        "medium HugePages: hugePages storage requested, but there is no resource request for huge pages");
  pod.spec.containers[0].resources.requests["hugepages-2Mi"] = kube::Quantity{"4Mi"};
  CHECK(*HugePageSize(pod, "HugePages") == 2 * kMi);
  CHECK(*HugePageSize(pod, "HugePages-2Mi") == 2 * kMi);
  CHECK_FALSE(HugePageSize(pod, "HugePages-1Gi").ok());
  pod.spec.containers[0].resources.requests["hugepages-1Gi"] = kube::Quantity{"1Gi"};
  CHECK(*HugePageSize(pod, "HugePages-1Gi") == 1024 * kMi);
  CHECK(HugePageSize(pod, "HugePages").status().message() ==
        "medium: HugePages can't be used if container requests multiple huge page sizes");
}

}  // namespace burstlet::provider
