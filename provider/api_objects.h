// The ObjectSource of a node in a cluster: watches for Secrets and ConfigMaps, TokenRequest for tokens.
//
// Loop thread only. Source: pkg/kubelet/util/manager, pkg/kubelet/token/token_manager.go.
#pragma once

#include <memory>

#include "kube/client.h"
#include "kube/object_watch.h"
#include "provider/volumes/volume_manager.h"

namespace burstlet::provider {

std::unique_ptr<ObjectSource> NewApiObjectSource(kube::Client& client, kube::Loop& loop, kube::ObjectWatch& watches);

}  // namespace burstlet::provider
