// Limits and requests of containers and of the pod.
#include <algorithm>
#include <set>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "kube/api/quantity.h"
#include "provider/translate/resources.h"
#include "provider/validation.h"
#include "provider/validation_names.h"

namespace burstlet::provider::validation {
namespace {

bool IsHugePages(const std::string& name) { return name.starts_with("hugepages-"); }

/// Names without a domain belong to Kubernetes (pkg/apis/core/helper).
bool IsNative(const std::string& name) {
  return name.find('/') == std::string::npos || name.find("kubernetes.io/") != std::string::npos;
}

bool IsExtended(const std::string& name) {
  return !IsNative(name) && !name.starts_with("requests.") && QualifiedName(absl::StrCat("requests.", name)).empty();
}

bool MayOvercommit(const std::string& name) { return IsNative(name) && !IsHugePages(name); }

/// What quotas may count; only the first three are resources of a container.
bool IsStandard(const std::string& name) {
  static const std::vector<std::string> kNames = {"cpu",
                                                  "memory",
                                                  "ephemeral-storage",
                                                  "requests.cpu",
                                                  "requests.memory",
                                                  "requests.ephemeral-storage",
                                                  "limits.cpu",
                                                  "limits.memory",
                                                  "limits.ephemeral-storage",
                                                  "pods",
                                                  "resourcequotas",
                                                  "services",
                                                  "replicationcontrollers",
                                                  "secrets",
                                                  "configmaps",
                                                  "persistentvolumeclaims",
                                                  "storage",
                                                  "requests.storage",
                                                  "services.nodeports",
                                                  "services.loadbalancers"};
  return std::find(kNames.begin(), kNames.end(), name) != kNames.end() || IsHugePages(name) ||
         name.starts_with("requests.hugepages-");
}

bool IsCounted(const std::string& name) {
  static const std::vector<std::string> kNames = {
      "pods",       "resourcequotas",         "services",           "replicationcontrollers", "secrets",
      "configmaps", "persistentvolumeclaims", "services.nodeports", "services.loadbalancers"};
  return std::find(kNames.begin(), kNames.end(), name) != kNames.end() || IsExtended(name);
}

/// True when the name is well-formed.
bool CheckQualified(Complaints& complaints, const std::string& path, const std::string& name) {
  const std::vector<std::string> messages = QualifiedName(name);
  complaints.InvalidEach(path, name, messages);
  if (!messages.empty()) return false;
  if (name.find('/') != std::string::npos || IsStandard(name)) return true;
  complaints.Invalid(path, name, "must be a standard resource type or fully qualified");
  return false;
}

void CheckContainerName(Complaints& complaints, const std::string& path, const std::string& name) {
  CheckQualified(complaints, path, name);
  if (name.find('/') == std::string::npos) {
    if (name != "cpu" && name != "memory" && name != "ephemeral-storage" && !IsHugePages(name)) {
      complaints.Invalid(path, name, "must be a standard resource for containers");
    }
  } else if (!IsNative(name) && !IsExtended(name)) {
    complaints.Invalid(path, name, "doesn't follow extended resource name standard");
  }
}

void CheckPodName(Complaints& complaints, const std::string& path, const std::string& name) {
  if (!CheckQualified(complaints, path, name)) return;
  if (name != "cpu" && name != "memory" && !IsHugePages(name)) {
    complaints.NotSupported(path, name, {"cpu", "hugepages-", "memory"});
  }
}

bool IsMultiple(const std::string& name, const kube::Quantity& quantity) {
  const std::string size = name.substr(name.find('-') + 1);
  if (!kube::ParseQuantity(size).ok()) return false;
  const std::int64_t milli = kube::QuantityMilliValue({size});
  if (milli <= 0 || milli % 1000 != 0) return false;
  return kube::QuantityValue(quantity) % kube::QuantityValue({size}) == 0;
}

/// False when the text is no quantity: the server refuses such a document before it looks at the pod.
bool CheckQuantity(Complaints& complaints, const std::string& path, const std::string& name,
                   const kube::Quantity& quantity) {
  if (!kube::ParseQuantity(quantity.text).ok()) {
    complaints.Invalid(path, quantity.text,
                       "quantities must match the regular expression "
                       "'^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'");
    return false;
  }
  if (kube::CompareQuantity(quantity, {"0"}) < 0) {
    complaints.Invalid(path, quantity.text, "must be greater than or equal to 0");
  }
  if (IsCounted(name) && kube::QuantityMilliValue(quantity) % 1000 != 0) {
    complaints.Invalid(path, quantity.text, "must be an integer");
  }
  if (IsHugePages(name) && !IsMultiple(name, quantity)) {
    complaints.Invalid(path, quantity.text, absl::StrCat(quantity.text, " is not positive integer multiple of ", name));
  }
  return true;
}

void CheckAgainstLimit(Complaints& complaints, const std::string& path, const std::string& name,
                       const kube::Quantity& request, const kube::ResourceList& limits) {
  const auto limit = limits.find(name);
  if (limit == limits.end()) {
    if (!MayOvercommit(name)) {
      complaints.Required(path + ".limits", "Limit must be set for non overcommitable resources");
    }
    return;
  }
  const int order = kube::CompareQuantity(request, limit->second);
  if (order != 0 && !MayOvercommit(name)) {
    complaints.Invalid(path + ".requests", request.text,
                       absl::StrCat("must be equal to ", name, " limit of ", limit->second.text));
  } else if (order > 0) {
    complaints.Invalid(path + ".requests", request.text,
                       absl::StrCat("must be less than or equal to ", name, " limit of ", limit->second.text));
  }
}

template <typename CheckName>
void CheckRequirements(Complaints& complaints, const std::string& path, const kube::ResourceRequirements& resources,
                       CheckName check_name) {
  bool huge_pages = false;
  bool cpu_or_memory = false;
  const auto look = [&](const char* list, const std::string& name, const kube::Quantity& quantity) {
    const std::string at = Key(absl::StrCat(path, ".", list), name);
    huge_pages = huge_pages || IsHugePages(name);
    cpu_or_memory = cpu_or_memory || name == "cpu" || name == "memory";
    check_name(complaints, at, name);
    return CheckQuantity(complaints, at, name, quantity);
  };
  for (const auto& [name, quantity] : resources.limits) look("limits", name, quantity);
  for (const auto& [name, quantity] : resources.requests) {
    if (look("requests", name, quantity)) CheckAgainstLimit(complaints, path, name, quantity, resources.limits);
  }
  if (huge_pages && !cpu_or_memory) complaints.Forbidden(path, "HugePages require cpu or memory");
}

void CheckClaims(Complaints& complaints, const std::string& path, const std::vector<kube::ResourceClaim>& claims,
                 const std::vector<kube::PodResourceClaim>& known) {
  std::set<std::string> names;
  for (const kube::PodResourceClaim& claim : known) {
    if (!claim.name.empty()) names.insert(claim.name);
  }
  const std::string list = names.empty() ? " which is empty" : absl::StrCat(": ", absl::StrJoin(names, ", "));
  for (std::size_t i = 0; i < claims.size(); ++i) {
    if (claims[i].name.empty()) {
      complaints.Required(Index(path, i));
    } else if (names.count(claims[i].name) == 0) {
      complaints.NotFound(Index(path, i), claims[i].name,
                          absl::StrCat("must be one of the names in pod.spec.resourceClaims", list));
    }
  }
}

/// What the containers have together may not exceed what the pod has.
void CheckSums(Complaints& complaints, const kube::PodSpec& spec) {
  kube::Pod bare;
  bare.spec.containers = spec.containers;
  bare.spec.initContainers = spec.initContainers;
  const kube::ResourceRequirements& pod = *spec.resources;
  for (const auto& [name, sum] : PodRequests(bare)) {
    const auto own = pod.requests.find(name);
    if (own == pod.requests.end() || kube::CompareQuantity(sum, own->second) <= 0) continue;
    complaints.Invalid(Key("spec.resources.requests", name), own->second.text,
                       absl::StrCat("must be greater than or equal to aggregate container requests of ", sum.text));
  }
  for (const auto& [name, sum] : PodLimits(bare)) {
    const auto own = pod.limits.find(name);
    if (!IsHugePages(name) || own == pod.limits.end() || kube::CompareQuantity(sum, own->second) <= 0) continue;
    complaints.Invalid(Key("spec.resources.limits", name), own->second.text,
                       absl::StrCat("must be greater than or equal to aggregate container limits of ", sum.text));
  }
  for (std::size_t i = 0; i < spec.containers.size(); ++i) {
    for (const auto& [name, limit] : spec.containers[i].resources.limits) {
      const auto own = pod.limits.find(name);
      if (own == pod.limits.end() || kube::CompareQuantity(limit, own->second) <= 0) continue;
      const std::string path = absl::StrCat(Key(Index("spec.resources.containers", i), name), ".limits");
      complaints.Invalid(path, limit.text,
                         absl::StrCat("must be less than or equal to pod limits of ", own->second.text));
    }
  }
}

}  // namespace

void CheckResources(Complaints& complaints, const std::string& path, const kube::ResourceRequirements& resources,
                    const kube::PodSpec& spec) {
  CheckRequirements(complaints, path, resources, CheckContainerName);
  CheckClaims(complaints, path + ".claims", resources.claims, spec.resourceClaims);
}

void CheckPodResources(Complaints& complaints, const kube::PodSpec& spec) {
  if (!spec.resources) return;
  if (!spec.resources->claims.empty()) {
    complaints.Forbidden("spec.resources.claims", "claims may not be set for Resources at pod-level");
  }
  CheckRequirements(complaints, "spec.resources", *spec.resources, CheckPodName);
  CheckSums(complaints, spec);
}

void CheckOverhead(Complaints& complaints, const kube::PodSpec& spec) {
  kube::ResourceRequirements as_limits;
  as_limits.limits = spec.overhead;
  CheckRequirements(complaints, "spec.overhead", as_limits, CheckContainerName);
}

}  // namespace burstlet::provider::validation
