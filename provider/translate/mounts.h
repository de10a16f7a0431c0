// A container's mounts: volumeMounts, sub-paths with variables, and the pod's own files.
//
// Pure. Failure: a status with reason CreateContainerConfigError and the kubelet's words. Threads: any.
// Source: pkg/kubelet/kubelet_pods.go makeMounts, containerd's CRI plugin for the order.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "kube/api/pod.h"
#include "provider/translate/translate.h"
#include "sandbox/spec.h"

namespace burstlet::provider {

/// Shallow destinations first, so that no mount hides one below it. `env` is the container's own, for subPathExpr.
absl::StatusOr<std::vector<sandbox::MountSpec>> TranslateMounts(const kube::Pod& pod, const kube::Container& container,
                                                                const std::map<std::string, std::string>& env,
                                                                const std::vector<sandbox::MountSpec>& files,
                                                                const ImageVolumes& image_volumes,
                                                                bool read_only_rootfs);

}  // namespace burstlet::provider
