// The pod's name for itself, as the kernel shows it (uname, $HOSTNAME).
//
// Pure. Failure: a status that names the field. Threads: any. Source: pkg/kubelet/util GetNodenameForKernel.
#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "kube/api/pod.h"
#include "provider/node_info.h"

namespace burstlet::provider {

/// The host's name for hostNetwork pods, else the pod's hostname, with its domain when setHostnameAsFQDN asks for it.
absl::StatusOr<std::string> KernelHostname(const kube::Pod& pod, const NodeInfo& node);

}  // namespace burstlet::provider
