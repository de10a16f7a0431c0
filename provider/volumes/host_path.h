// hostPath: a path of the host, checked against its type and made where the type says so.
//
// Blocking; threads: any. Failure: a status with the kubelet's words. The path is the cluster's word (the pod was
// allowed to name it), so links are followed. Source: pkg/volume/hostpath/host_path.go, pkg/volume/util/hostutil.
#pragma once

#include "absl/status/status.h"
#include "kube/api/volume.h"

namespace burstlet::provider {

absl::Status CheckHostPath(const kube::HostPathVolumeSource& source);

}  // namespace burstlet::provider
