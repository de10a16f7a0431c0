// The single checks that admission is made of; each answers for one rule of the kubelet.
//
// Pure functions over plain data. Threads: any.
#pragma once

#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "provider/admission.h"

namespace burstlet::provider {

/// Requests against what is left of allocatable, in the order pods, cpu, memory, ephemeral-storage, others.
/// Extended resources that the node does not have are left out: they may be the cluster's. Source: scheduler
/// NodeResourcesFit, lifecycle/predicate.go (removeMissingExtendedResources).
std::optional<Refusal> CheckResources(const kube::Pod& pod, const AdmissionContext& context);

/// nodeSelector and the required node affinity. Terms are ORed, what is inside one is ANDed; a term that can't be read
/// matches nothing. Source: component-helpers scheduling/corev1/nodeaffinity.
bool MatchesNode(const kube::PodSpec& spec, const std::map<std::string, std::string>& labels,
                 const std::string& node_name);

/// Host ports (of containers and sidecars) free of those in use. Source: scheduler NodePorts.
bool HostPortsFree(const kube::Pod& pod, const AdmissionContext& context);

/// All NoExecute taints are tolerated. Source: component-helpers scheduling/corev1, api/core/v1/toleration.go.
bool ToleratesNoExecute(const std::vector<kube::Toleration>& tolerations, const std::vector<kube::Taint>& taints);

/// Profiles other than Unconfined, by field or by the older annotation, need AppArmor in the kernel.
/// Source: lifecycle/handlers.go, pkg/security/apparmor/validate.go.
std::optional<Refusal> CheckAppArmor(const kube::Pod& pod, bool enabled);

/// Safe sysctls and those that the configuration allows (names, or prefixes ending in "*"), none in a namespace that
/// the pod shares with the host. Source: pkg/kubelet/sysctl/{allowlist,safe_sysctls}.go.
std::optional<Refusal> CheckSysctls(const kube::PodSpec& spec, const std::set<std::string>& allowed_unsafe);

}  // namespace burstlet::provider
