// What files a volume's sources become.
//
// Pure: objects and tokens come in. Failure: a status with the kubelet's words ("configmap "x" not found",
// "references non-existent secret key: k"). Threads: any.
// Sources: MakePayload and CollectData of pkg/volume/{configmap,secret,downwardapi,projected}.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "kube/api/core.h"
#include "kube/api/pod.h"
#include "provider/node_info.h"
#include "provider/volumes/atomic_writer.h"
#include "provider/volumes/credentials.h"

namespace burstlet::provider {

/// A projected token is known by its audience and its life in seconds.
using TokenKey = std::pair<std::string, std::int64_t>;

/// Everything a pod's volumes take from the API server; an error says why a thing is not there.
struct VolumeObjectsSnapshot {
  std::map<std::string, absl::StatusOr<std::shared_ptr<const kube::ConfigMap>>> config_maps;
  std::map<std::string, absl::StatusOr<std::shared_ptr<const kube::Secret>>> secrets;
  std::map<TokenKey, absl::StatusOr<std::string>> tokens;
  std::map<TrustKey, absl::StatusOr<std::string>> anchors;
  std::map<CertificateKey, absl::StatusOr<CredentialBundle>> certificates;
};

/// True for volumes whose files the agent writes: configMap, secret, downwardAPI, projected.
bool HasPayload(const kube::Volume& volume);

/// The tokens, trust anchors and certificates that a pod's projected volumes ask for.
std::vector<TokenKey> PodTokens(const kube::Pod& pod);
std::vector<TrustKey> PodAnchors(const kube::Pod& pod);
std::vector<CertificateKey> PodCertificateSources(const kube::Pod& pod);
TokenKey KeyOf(const kube::ServiceAccountTokenProjection& projection);

absl::StatusOr<Payload> VolumePayload(const kube::Pod& pod, const kube::Volume& volume,
                                      const VolumeObjectsSnapshot& objects, const NodeInfo& node,
                                      const std::vector<std::string>& pod_ips);

/// The group that owns a payload volume's files (fsGroup): it may read them.
std::optional<GroupOwnership> PayloadOwnership(const kube::Pod& pod);

/// Directories that other volumes are mounted on inside this one, relative to its root: containers can't make them.
std::vector<std::string> NestedMountPoints(const kube::Pod& pod, const std::string& volume);

}  // namespace burstlet::provider
