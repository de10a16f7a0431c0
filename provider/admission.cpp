#include "provider/admission.h"

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "provider/admission_checks.h"
#include "provider/static_pod.h"

namespace burstlet::provider {
namespace {

Refusal Predicate(const char* name, const char* what) {
  return {name, absl::StrCat("Predicate ", name, " failed: ", what)};
}

std::optional<Refusal> CheckOperatingSystem(const kube::Pod& pod) {
  const auto label = pod.metadata.labels.find("kubernetes.io/os");
  if (label != pod.metadata.labels.end() && label->second != "linux") {
    return Refusal{"PodOSSelectorNodeLabelDoesNotMatch",
                   "Failed to admit pod as the `kubernetes.io/os` label doesn't match node label"};
  }
  if (pod.spec.os && pod.spec.os->name != "linux") {
    return Refusal{"PodOSNotSupported", "Failed to admit pod as the OS field doesn't match node OS"};
  }
  return std::nullopt;
}

std::optional<Refusal> CheckRuntimeClass(const kube::Pod& pod, const AdmissionContext& context) {
  const std::string name = pod.spec.runtimeClassName.value_or("");
  if (name.empty() || context.runtime_handlers.count(name) != 0) return std::nullopt;
  std::vector<std::string> known;
  for (const std::string& handler : context.runtime_handlers) {
    if (!handler.empty()) known.push_back(handler);
  }
  return Refusal{"UnknownRuntimeHandler",
                 absl::StrCat("spec.runtimeClassName: this node has no runtime handler for \"", name,
                              "\"; it has: ", known.empty() ? "only the default" : absl::StrJoin(known, ", "))};
}

}  // namespace

std::optional<Refusal> Admit(const kube::Pod& pod, const AdmissionContext& context) {
  if (auto refusal = CheckSupported(pod)) return refusal;
  if (auto refusal = CheckSysctls(pod.spec, context.allowed_unsafe_sysctls)) return refusal;
  if (auto refusal = CheckAppArmor(pod, context.app_armor)) return refusal;
  if (auto refusal = CheckOperatingSystem(pod)) return refusal;
  if (auto refusal = CheckRuntimeClass(pod, context)) return refusal;
  if (auto refusal = CheckResources(pod, context)) return refusal;
  if (!MatchesNode(pod.spec, context.node_labels, context.node.name)) {
    return Predicate("NodeAffinity", "node(s) didn't match Pod's node affinity/selector");
  }
  if (!pod.spec.nodeName.empty() && pod.spec.nodeName != context.node.name) {
    return Predicate("NodeName", "node(s) didn't match the requested node name");
  }
  if (!HostPortsFree(pod, context)) {
    return Predicate("NodePorts", "node(s) didn't have free ports for the requested pod ports");
  }
  if (!IsStaticPod(pod) && !ToleratesNoExecute(pod.spec.tolerations, context.node_taints)) {
    return Predicate("TaintToleration", "node(s) had taints that the pod didn't tolerate");
  }
  return std::nullopt;
}

}  // namespace burstlet::provider
