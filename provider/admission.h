// May this node run this pod? The kubelet's admission as pure functions over plain data.
//
// Sources: pkg/kubelet/lifecycle/predicate.go, pkg/kubelet/lifecycle/handlers.go, component-helpers nodeaffinity,
// scheduler NodeResourcesFit / NodePorts / TaintToleration (NoExecute only, as the kubelet does), sysctl allow-list.
#pragma once

#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "kube/api/pod.h"
#include "provider/node_info.h"

namespace burstlet::provider {

/// A refusal: the pod becomes Failed with this reason and message.
struct Refusal {
  std::string reason;   // "OutOfcpu", "NodeAffinity", "PodOSNotSupported", "SysctlForbidden", "UnsupportedField", ...
  std::string message;  // names the field
};

struct AdmissionContext {
  const NodeInfo& node;
  const std::map<std::string, std::string>& node_labels;  // as the API server has them now
  const std::vector<kube::Taint>& node_taints;
  std::vector<std::shared_ptr<const kube::Pod>> active_pods;  // admitted and not terminal, without this one
  std::set<std::string> runtime_handlers;                     // "" (default) and the configured ones
  std::set<std::string> allowed_unsafe_sysctls;
  bool app_armor = false;  // the kernel has it
};

std::optional<Refusal> Admit(const kube::Pod& pod, const AdmissionContext& context);

/// How burstlet treats each field of PodSpec: the table of provider/README.md is made from this list, and a test holds
/// it against the API server's own schema.
struct FieldSupport {
  std::string path;  // "spec.containers[].livenessProbe.grpc"
  bool supported = false;
  std::string note;  // what is done, or why and until when it is refused
};
const std::vector<FieldSupport>& PodFieldTable();

/// The first field set in `pod` that is not supported.
std::optional<Refusal> CheckSupported(const kube::Pod& pod);

}  // namespace burstlet::provider
