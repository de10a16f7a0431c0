// securityContext of pod and container, put together: who the program is and what it may do.
//
// Pure. Failure: a status with the kubelet's reason and words. Threads: any.
// Sources: pkg/securitycontext/util.go, pkg/kubelet/kuberuntime/security_context*.go, containerd's CRI plugin for
// capabilities and for what privileged means.
#pragma once

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "cache/image_store.h"
#include "kube/api/pod.h"
#include "provider/node_info.h"
#include "provider/translate/translate.h"
#include "sandbox/spec.h"

namespace burstlet::provider {

/// The container's fields over the pod's (DetermineEffectiveSecurityContext); seccomp included.
kube::SecurityContext EffectiveSecurityContext(const kube::Pod& pod, const kube::Container& container);

/// The profile that RuntimeDefault means (deploy/apparmor).
inline constexpr const char* kAppArmorDefault = "burstlet-default";

/// Who runs: runAsUser, runAsGroup, groups, and runAsNonRoot checked against the image's USER.
absl::StatusOr<sandbox::UserSpec> TranslateUser(const kube::Pod& pod, const kube::Container& container,
                                                const std::string& image_user);

/// Fills privileged, no_new_privileges, capabilities, seccomp, masked and read-only paths, rootfs.read_only.
absl::Status TranslateSecurity(const kube::Pod& pod, const kube::Container& container, const NodeInfo& node,
                               const TranslateOptions& options, sandbox::ContainerSpec& spec);

/// Names without "CAP_", in the kernel's order: containerd's default set changed by add and drop, "ALL" included.
std::vector<std::string> CapabilitySet(const std::optional<kube::Capabilities>& change, bool privileged);

}  // namespace burstlet::provider
