#include "provider/static_pod.h"

#include <cctype>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "kube/json.h"
#include "metrics/status.h"
#include "provider/defaults.h"
#include "provider/translate/environment.h"
#include "provider/volumes/volume_plan.h"

namespace burstlet::provider {
namespace {

constexpr std::int64_t kSystemCriticalPriority = 2'000'000'000;

std::string AnnotationOf(const kube::Pod& pod, const char* name) {
  const auto found = pod.metadata.annotations.find(name);
  return found == pod.metadata.annotations.end() ? "" : found->second;
}

/// FNV-1a of 128 bits, as hex digits: a pod's UID.
std::string HashOf(const std::string& text) {
  using Wide = unsigned __int128;
  Wide hash = (static_cast<Wide>(0x6c62272e07bb0142u) << 64) | 0x62b821756295c58du;
  const Wide prime = (static_cast<Wide>(1) << 88) | 0x13bu;
  for (const char c : text) hash = (hash ^ static_cast<unsigned char>(c)) * prime;
  return absl::StrFormat("%016x%016x", static_cast<std::uint64_t>(hash >> 64), static_cast<std::uint64_t>(hash));
}

std::string ReferenceOf(const kube::Volume& volume) {
  if (volume.configMap) return "configmaps (via configmap volumes)";
  if (volume.secret) return "secrets (via secret volumes)";
  if (volume.csi) return "csidrivers (via CSI volumes)";
  if (volume.glusterfs) return "endpoints (via glusterFS volumes)";
  if (volume.persistentVolumeClaim) return "persistentvolumeclaims";
  if (volume.ephemeral) return "persistentvolumeclaims (via ephemeral volumes)";
  if (volume.azureFile) return "secrets (via azureFile volumes)";
  if (!volume.projected) return "";
  for (const kube::VolumeProjection& source : volume.projected->sources) {
    if (source.configMap) return "configmaps (via projected volumes)";
    if (source.secret) return "secrets (via projected volumes)";
    if (source.serviceAccountToken) return "serviceaccounts (via projected volumes)";
    if (source.clusterTrustBundle) return "clustertrustbundles";
    if (source.podCertificate) return "podcertificates";
  }
  return "";
}

/// What of the API the pod refers to; empty: nothing. It must run without one (pkg/api/pod HasAPIObjectReference).
std::string ApiReference(const kube::Pod& pod) {
  if (!pod.spec.serviceAccountName.empty()) return "serviceaccounts";
  const ObjectNames environment = EnvironmentObjects(pod);
  if (!environment.secrets.empty() || !pod.spec.imagePullSecrets.empty()) return "secrets";
  if (!environment.config_maps.empty()) return "configmaps";
  if (!pod.spec.resourceClaims.empty()) return "resourceclaims";
  for (const kube::Volume& volume : pod.spec.volumes) {
    if (std::string reference = ReferenceOf(volume); !reference.empty()) return reference;
  }
  return "";
}

void Tolerate(kube::Pod& pod) {
  for (const kube::Toleration& toleration : pod.spec.tolerations) {
    const bool any_key = toleration.key.empty() && toleration.operator_ == "Exists";
    if (any_key && toleration.effect == "NoExecute" && !toleration.tolerationSeconds) return;
  }
  kube::Toleration toleration;
  toleration.operator_ = "Exists";
  toleration.effect = "NoExecute";
  pod.spec.tolerations.push_back(std::move(toleration));
}

}  // namespace

bool IsStaticPod(const kube::Pod& pod) {
  const std::string source = AnnotationOf(pod, kConfigSource);
  return !source.empty() && source != "api";
}

bool IsMirrorPod(const kube::Pod& pod) { return pod.metadata.annotations.contains(kConfigMirror); }

bool IsCriticalPod(const kube::Pod& pod) {
  return IsStaticPod(pod) || IsMirrorPod(pod) || pod.spec.priority.value_or(0) >= kSystemCriticalPriority;
}

const char* SourceName(StaticOrigin::Kind kind) { return kind == StaticOrigin::Kind::kFile ? "file" : "http"; }

StaticOrigin::Kind StaticKindOf(const kube::Pod& pod) {
  return AnnotationOf(pod, kConfigSource) == SourceName(StaticOrigin::Kind::kUrl) ? StaticOrigin::Kind::kUrl
                                                                                  : StaticOrigin::Kind::kFile;
}

absl::StatusOr<kube::Pod> MakeStaticPod(kube::Pod pod, const StaticOrigin& origin, const std::string& node_name,
                                        std::int64_t seen) {
  if (pod.metadata.name.empty()) return absl::InvalidArgumentError("metadata.name: name is needed for the pod");
  if (pod.metadata.uid.empty()) {
    const std::string place = origin.kind == StaticOrigin::Kind::kUrl
                                  ? absl::StrCat("url:", origin.place)
                                  : absl::StrCat("host:", node_name, "file:", origin.place);
    pod.metadata.uid = HashOf(absl::StrCat(kube::Encode(pod), place));
  }
  if (!IsPodUid(pod.metadata.uid)) {
    return absl::InvalidArgumentError("metadata.uid: must consist of letters, digits and '-'");
  }
  std::string suffix = node_name;
  for (char& c : suffix) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  absl::StrAppend(&pod.metadata.name, "-", suffix);
  if (pod.metadata.namespace_.empty()) pod.metadata.namespace_ = "default";
  pod.metadata.generation = 1;
  pod.metadata.creationTimestamp = {seen};
  pod.metadata.deletionTimestamp.reset();
  pod.metadata.deletionGracePeriodSeconds.reset();
  pod.metadata.annotations.erase(kConfigMirror);
  pod.metadata.annotations[kConfigHash] = pod.metadata.uid;
  pod.metadata.annotations[kConfigSource] = SourceName(origin.kind);
  pod.metadata.annotations[kConfigSeen] = kube::FormatTime({seen});
  pod.spec.nodeName = node_name;
  Tolerate(pod);
  pod.status = {};
  pod.status.phase = "Pending";
  ApplyPodDefaults(pod);
  const std::vector<std::string> complaints = ValidatePod(pod);
  if (!complaints.empty()) return absl::InvalidArgumentError(absl::StrJoin(complaints, "; "));
  const std::string reference = ApiReference(pod);
  if (!reference.empty()) {
    return absl::InvalidArgumentError(absl::StrCat("static pods may not reference ", reference));
  }
  return pod;
}

absl::StatusOr<kube::Pod> DecodeStaticPod(const YamlNode& document, const StaticOrigin& origin,
                                          const std::string& node_name, std::int64_t seen) {
  const YamlNode* kind = document.Find("kind");
  const YamlNode* version = document.Find("apiVersion");
  if (kind == nullptr || version == nullptr || kind->scalar != "Pod" || version->scalar != "v1") {
    return absl::InvalidArgumentError("expected apiVersion v1 and kind Pod");
  }
  std::vector<std::string> unknown;
  ASSIGN_OR_RETURN(kube::Pod pod, kube::Decode<kube::Pod>(YamlToJson(document), &unknown));
  if (!unknown.empty()) return absl::InvalidArgumentError(absl::StrCat("unknown field \"", unknown.front(), "\""));
  return MakeStaticPod(std::move(pod), origin, node_name, seen);
}

kube::Pod MakeMirrorPod(const kube::Pod& pod, const std::string& node_name, const std::string& node_uid) {
  kube::Pod mirror = pod;
  mirror.metadata.uid.clear();
  mirror.metadata.resourceVersion.clear();
  mirror.metadata.generation = 0;
  mirror.metadata.creationTimestamp = {};
  mirror.metadata.annotations[kConfigMirror] = AnnotationOf(pod, kConfigHash);
  kube::OwnerReference owner;
  owner.apiVersion = "v1";
  owner.kind = "Node";
  owner.name = node_name;
  owner.uid = node_uid;
  owner.controller = true;
  mirror.metadata.ownerReferences = {owner};
  mirror.status = {};
  return mirror;
}

bool IsMirrorOf(const kube::Pod& mirror, const kube::Pod& pod) {
  return kube::ObjectName(mirror.metadata) == kube::ObjectName(pod.metadata) &&
         AnnotationOf(mirror, kConfigMirror) == AnnotationOf(pod, kConfigHash);
}

}  // namespace burstlet::provider
