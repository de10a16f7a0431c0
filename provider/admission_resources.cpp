// Resources, host ports and taints: what a pod takes of the node against what is left.
#include <charconv>
#include <cstdint>
#include <tuple>

#include "absl/strings/str_cat.h"
#include "kube/api/quantity.h"
#include "provider/admission_checks.h"
#include "provider/pod_actions.h"
#include "provider/translate/resources.h"

namespace burstlet::provider {
namespace {

/// The unit that the scheduler counts in: CPU in thousandths, everything else in ones.
std::int64_t Amount(const kube::ResourceList& list, const std::string& name) {
  const auto it = list.find(name);
  if (it == list.end()) return 0;
  return name == "cpu" ? kube::QuantityMilliValue(it->second) : kube::QuantityValue(it->second);
}

/// pkg/apis/core/v1/helper: a name with a domain that is not Kubernetes' own.
bool IsExtended(const std::string& name) {
  const std::size_t slash = name.find('/');
  if (slash == std::string::npos) return false;
  const std::string domain = name.substr(0, slash);
  return domain != "kubernetes.io" && !(domain.size() > 14 && domain.ends_with(".kubernetes.io"));
}

Refusal OutOf(const std::string& name, std::int64_t requested, std::int64_t used, std::int64_t capacity) {
  return {absl::StrCat("OutOf", name), absl::StrCat("Node didn't have enough resource: ", name, ", requested: ",
                                                    requested, ", used: ", used, ", capacity: ", capacity)};
}

using HostPort = std::tuple<std::string, std::string, std::int32_t>;  // protocol, address, port

std::vector<HostPort> HostPorts(const kube::PodSpec& spec) {
  std::vector<HostPort> ports;
  const auto collect = [&](const kube::Container& container) {
    for (const kube::ContainerPort& port : container.ports) {
      if (port.hostPort <= 0) continue;
      const bool any = port.hostIP.empty() || port.hostIP == "::";
      ports.emplace_back(port.protocol.empty() ? "TCP" : port.protocol, any ? "0.0.0.0" : port.hostIP, port.hostPort);
    }
  };
  for (const kube::Container& container : spec.containers) collect(container);
  for (const kube::Container& container : spec.initContainers) {
    if (IsSidecar(container)) collect(container);
  }
  return ports;
}

bool Conflict(const HostPort& a, const HostPort& b) {
  const auto& [a_protocol, a_ip, a_port] = a;
  const auto& [b_protocol, b_ip, b_port] = b;
  return a_protocol == b_protocol && a_port == b_port && (a_ip == b_ip || a_ip == "0.0.0.0" || b_ip == "0.0.0.0");
}

/// Lt and Gt (KEP-5471) compare whole numbers: the taint's value against the toleration's.
bool CompareNumbers(const kube::Toleration& toleration, const kube::Taint& taint) {
  const auto parse = [](const std::string& text, std::int64_t& value) {
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    return error == std::errc() && end == text.data() + text.size();
  };
  std::int64_t wanted = 0;
  std::int64_t actual = 0;
  if (!parse(toleration.value, wanted) || !parse(taint.value, actual)) return false;
  return toleration.operator_ == "Lt" ? actual < wanted : actual > wanted;
}

bool Tolerates(const kube::Toleration& toleration, const kube::Taint& taint) {
  if (!toleration.effect.empty() && toleration.effect != taint.effect) return false;
  if (!toleration.key.empty() && toleration.key != taint.key) return false;
  if (toleration.operator_.empty() || toleration.operator_ == "Equal") return toleration.value == taint.value;
  if (toleration.operator_ == "Exists") return true;
  return (toleration.operator_ == "Lt" || toleration.operator_ == "Gt") && CompareNumbers(toleration, taint);
}

}  // namespace

std::optional<Refusal> CheckResources(const kube::Pod& pod, const AdmissionContext& context) {
  const kube::ResourceList& allocatable = context.node.allocatable;
  const auto pods = static_cast<std::int64_t>(context.active_pods.size());
  const std::int64_t most_pods = Amount(allocatable, "pods");
  if (pods + 1 > most_pods) return OutOf("pods", 1, pods, most_pods);

  const kube::ResourceList requests = PodRequests(pod);
  std::map<std::string, std::int64_t> used;
  for (const auto& other : context.active_pods) {
    const kube::ResourceList theirs = PodRequestsInUse(*other);
    for (const auto& [name, quantity] : theirs) used[name] += Amount(theirs, name);
  }
  std::vector<std::string> names = {"cpu", "memory", "ephemeral-storage"};
  for (const auto& [name, quantity] : requests) {
    if (name != "cpu" && name != "memory" && name != "ephemeral-storage") names.push_back(name);
  }
  for (const std::string& name : names) {
    const std::int64_t requested = Amount(requests, name);
    if (requested <= 0) continue;
    if (IsExtended(name) && allocatable.count(name) == 0) continue;
    const std::int64_t capacity = Amount(allocatable, name);
    if (requested > capacity - used[name]) return OutOf(name, requested, used[name], capacity);
  }
  return std::nullopt;
}

bool HostPortsFree(const kube::Pod& pod, const AdmissionContext& context) {
  const std::vector<HostPort> wanted = HostPorts(pod.spec);
  if (wanted.empty()) return true;
  for (const auto& other : context.active_pods) {
    for (const HostPort& theirs : HostPorts(other->spec)) {
      for (const HostPort& ours : wanted) {
        if (Conflict(ours, theirs)) return false;
      }
    }
  }
  return true;
}

bool ToleratesNoExecute(const std::vector<kube::Toleration>& tolerations, const std::vector<kube::Taint>& taints) {
  for (const kube::Taint& taint : taints) {
    if (taint.effect != "NoExecute") continue;
    bool tolerated = false;
    for (const kube::Toleration& toleration : tolerations) tolerated = tolerated || Tolerates(toleration, taint);
    if (!tolerated) return false;
  }
  return true;
}

}  // namespace burstlet::provider
