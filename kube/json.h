// API objects to JSON text and back, driven by the field lists of kube/api (BURSTLET_API_FIELDS).
//
// Decoding is strict about types and lenient about unknown fields, which are collected ("spec.foo"). Depth and size are
// bounded. cpprestsdk's web::json is used inside the bodies only. Threads: any.
#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "kube/api/auth.h"
#include "kube/api/core.h"
#include "kube/api/node.h"
#include "kube/api/pod.h"

namespace burstlet::kube {

/// Explicitly instantiated for Pod, PodSpec, PodStatus, PodCondition, ContainerStatus, Container, EphemeralContainer,
/// PodResources..., Node, NodeStatus, ConfigMap, Secret, Event, Service, Lease, TokenRequest, TokenReview,
/// SubjectAccessReview, ApiStatus, and parts of these (kube/api/*_json.cpp lists them). Errors name the path:
/// "spec.containers[0].image: expected a string".
template <typename T>
absl::StatusOr<T> Decode(const std::string& json, std::vector<std::string>* unknown_fields = nullptr);
template <typename T>
std::string Encode(const T& object);

/// metadata.resourceVersion, metadata.name and so on without decoding the rest.
struct ObjectHead {
  std::string kind;
  ObjectMeta metadata;
};
absl::StatusOr<ObjectHead> DecodeHead(const std::string& json);

/// One JSON string, quoted and escaped; bytes that are no UTF-8 are replaced as everywhere.
std::string EncodeText(const std::string& text);

/// A list object, e.g. ("PodList", "v1"), around items that are JSON text already.
std::string EncodeList(const std::string& kind, const std::string& api_version, const std::vector<std::string>& items);

/// RFC 3339; years that nanoseconds cannot hold are cut to the nearest, and Go's zero time (year 1) is 0.
absl::StatusOr<std::int64_t> ParseTime(const std::string& text);
std::string FormatTime(Time time);
std::string FormatMicroTime(MicroTime time);

}  // namespace burstlet::kube
