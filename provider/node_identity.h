// As whom the agent speaks to the API server: the kubeconfig's identity, or one asked for with a bootstrap token.
//
// With --bootstrap-kubeconfig, and when --kubeconfig is missing or its certificate has expired, a client certificate of
// system:node:NAME is asked for, and --kubeconfig written to point to it. An agent killed at any point of that goes on
// where it was. Failure: wrong files are kInvalidArgument (one line, nothing touched); a server that is away or a
// request that is denied is logged and tried again for ever.
// Source: pkg/kubelet/certificate/bootstrap/bootstrap.go, cmd/kubelet/app/server.go buildKubeletClientConfig.
#pragma once

#include <optional>

#include "absl/status/statusor.h"
#include "kube/certificates/certificate_store.h"
#include "kube/client.h"
#include "metrics/catalog.h"
#include "provider/config.h"

namespace burstlet::provider {

struct NodeIdentity {
  kube::ClientConfig client;
  bool rotates = false;
  /// What `client` presents when it rotates; `replace_at_once` for a certificate that is not of this node's own asking.
  std::optional<kube::CertificateInfo> certificate;
  bool replace_at_once = false;
};

/// Blocks until there is an identity.
absl::StatusOr<NodeIdentity> EstablishIdentity(const Config& config, Metrics& metrics);

absl::StatusOr<kube::ClientConfig> LoadKubeconfig(const std::string& file);
kube::CertificateStore ClientCertificateStore(const Config& config);
/// CN=system:node:NAME, O=system:nodes.
kube::CertificateSubject NodeSubject(const std::string& node_name);

}  // namespace burstlet::provider
