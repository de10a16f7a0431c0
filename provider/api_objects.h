// The ObjectSource of a node in a cluster: watches for Secrets, ConfigMaps and trust
// bundles, TokenRequest for tokens, PodCertificateRequest for certificates.
//
// Loop thread only. Source: pkg/kubelet/util/manager, pkg/kubelet/token/token_manager.go.
#pragma once

#include <memory>

#include "kube/client.h"
#include "kube/object_watch.h"
#include "provider/volumes/pod_certificates.h"
#include "provider/volumes/trust_bundles.h"
#include "provider/volumes/volume_manager.h"

namespace burstlet::provider {

std::unique_ptr<ObjectSource> NewApiObjectSource(kube::Client& client, kube::Loop& loop, kube::ObjectWatch& watches,
                                                 TrustBundles& trust, PodCertificates& certificates);

}  // namespace burstlet::provider
