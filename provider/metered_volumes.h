// Times what is done to pods' volumes: a volume manager around a volume manager.
//
// Owner: PodRuntime. Loop thread only. Source of the names: pkg/volume/util/metrics.go.
#pragma once

#include <memory>
#include <string>

#include "kube/api/pod.h"
#include "metrics/catalog.h"
#include "provider/volumes/volume_manager.h"

namespace burstlet::provider {

/// "kubernetes.io/configmap": what the kubelet calls the volume's plugin; "kubernetes.io/unknown" where there is none.
std::string VolumePluginName(const kube::Volume& volume);

/// `metrics` outlives the manager.
std::unique_ptr<VolumeManager> Metered(std::unique_ptr<VolumeManager> volumes, Metrics& metrics);

}  // namespace burstlet::provider
