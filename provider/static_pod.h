// Static pods: pods that a file of this host asks for, and their mirrors, which make them visible in the API.
//
// Pure. Threads: any. Failure: kInvalidArgument that names the field.
// Source: pkg/kubelet/config/common.go, pkg/kubelet/types/pod_update.go, pkg/kubelet/pod/mirror_client.go.
#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "kube/api/pod.h"
#include "provider/yaml.h"

namespace burstlet::provider {

inline constexpr char kConfigSource[] = "kubernetes.io/config.source";
inline constexpr char kConfigHash[] = "kubernetes.io/config.hash";
inline constexpr char kConfigSeen[] = "kubernetes.io/config.seen";
inline constexpr char kConfigMirror[] = "kubernetes.io/config.mirror";

/// The pod's source is not the API server.
bool IsStaticPod(const kube::Pod& pod);
/// An API object that stands for a static pod.
bool IsMirrorPod(const kube::Pod& pod);
/// Exempt from the rules for ordinary pods: static, mirror, or of a system priority.
bool IsCriticalPod(const kube::Pod& pod);

/// Where a static pod was found.
struct StaticOrigin {
  enum class Kind { kFile, kUrl };
  Kind kind = Kind::kFile;
  std::string place;  // path or URL
};
/// "file" or "http", as the annotation kConfigSource has it.
const char* SourceName(StaticOrigin::Kind kind);
/// Of a static pod or its mirror.
StaticOrigin::Kind StaticKindOf(const kube::Pod& pod);

/// A pod as its file has it becomes this node's: name with the node's, UID from the content, annotations, toleration,
/// defaults; refused where it is not valid or needs objects of the API. `seen` in Unix nanoseconds.
absl::StatusOr<kube::Pod> MakeStaticPod(kube::Pod pod, const StaticOrigin& origin, const std::string& node_name,
                                        std::int64_t seen);

/// The same from a document: apiVersion v1, kind Pod, and no field that is unknown.
absl::StatusOr<kube::Pod> DecodeStaticPod(const YamlNode& document, const StaticOrigin& origin,
                                          const std::string& node_name, std::int64_t seen);

/// What is created in the API for a static pod: owned by the node, marked with its hash.
kube::Pod MakeMirrorPod(const kube::Pod& pod, const std::string& node_name, const std::string& node_uid);
bool IsMirrorOf(const kube::Pod& mirror, const kube::Pod& pod);

}  // namespace burstlet::provider
