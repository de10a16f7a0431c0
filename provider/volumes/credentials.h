// What projected volumes take from the cluster besides objects and tokens: trust anchors and the pod's certificates.
//
// Plain data. Sources: pkg/kubelet/clustertrustbundle, pkg/kubelet/podcertificate.
#pragma once

#include <compare>
#include <cstddef>
#include <string>
#include <utility>

#include "kube/api/volume.h"

namespace burstlet::provider {

/// Which trust anchors: a bundle by its name, or all of a signer that a selector matches.
struct TrustKey {
  std::string name;
  std::string signer;
  std::string selector;  // JSON of a LabelSelector; empty: none, which matches nothing
  auto operator<=>(const TrustKey&) const = default;
};

inline TrustKey KeyOf(const kube::ClusterTrustBundleProjection& projection) {
  TrustKey key;
  if (projection.name) {
    key.name = *projection.name;
  } else {
    key.signer = projection.signerName.value_or("");
    if (projection.labelSelector) key.selector = projection.labelSelector->text;
  }
  return key;
}

/// A podCertificate source of a pod: volume and place among the volume's sources.
using CertificateKey = std::pair<std::string, std::size_t>;

struct CredentialBundle {
  std::string key_pem;
  std::string chain_pem;
};

}  // namespace burstlet::provider
