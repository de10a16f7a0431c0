// The pieces all API objects share, and the macro that lists a struct's fields once for every use.
//
// Plain data with the JSON spelling of the API reference. Times are nanoseconds since 1970 (0 = not set); a quantity
// keeps its text and is read with kube/api/quantity.h. Threads: values, share them as shared_ptr<const T>.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace burstlet::kube {

/// metav1.Time: second precision in JSON (RFC 3339, UTC).
struct Time {
  std::int64_t unix_nanos = 0;
  bool operator==(const Time&) const = default;
  explicit operator bool() const { return unix_nanos != 0; }
};

/// metav1.MicroTime: microseconds in JSON.
struct MicroTime {
  std::int64_t unix_nanos = 0;
  bool operator==(const MicroTime&) const = default;
};

/// resource.Quantity as it was written ("500m", "1Gi"). Numbers come from ParseQuantity.
struct Quantity {
  std::string text;
  bool operator==(const Quantity&) const = default;
};

using ResourceList = std::map<std::string, Quantity>;

/// intstr.IntOrString.
struct IntOrString {
  std::int32_t number = 0;
  std::string text;  // not empty: it is a string
  bool operator==(const IntOrString&) const = default;
};

/// []byte: base64 in JSON, raw here.
struct Bytes {
  std::string data;
  bool operator==(const Bytes&) const = default;
};

/// A value that burstlet carries but does not look into, as compact JSON; empty = absent.
struct RawJson {
  std::string text;
  bool operator==(const RawJson&) const = default;
};

}  // namespace burstlet::kube

// --- field lists --------------------------------------------------------------------------------------------------
// BURSTLET_API_FIELDS(Type, (always, ...), omitted_when_empty...) defines VisitFields(visitor, object), which calls
// visitor("name", object.name, kAlways | kOmitEmpty) for each. A trailing underscore (C++ keywords) is not part of the
// JSON name.
namespace burstlet::kube {

enum class Presence { kAlways, kOmitEmpty };

}  // namespace burstlet::kube

#define BURSTLET_EXPAND(...) BURSTLET_EXPAND3(BURSTLET_EXPAND3(BURSTLET_EXPAND3(BURSTLET_EXPAND3(__VA_ARGS__))))
#define BURSTLET_EXPAND3(...) BURSTLET_EXPAND2(BURSTLET_EXPAND2(BURSTLET_EXPAND2(BURSTLET_EXPAND2(__VA_ARGS__))))
#define BURSTLET_EXPAND2(...) BURSTLET_EXPAND1(BURSTLET_EXPAND1(BURSTLET_EXPAND1(BURSTLET_EXPAND1(__VA_ARGS__))))
#define BURSTLET_EXPAND1(...) __VA_ARGS__
#define BURSTLET_PARENS ()
#define BURSTLET_VISIT_EACH(presence, ...) __VA_OPT__(BURSTLET_EXPAND(BURSTLET_VISIT_STEP(presence, __VA_ARGS__)))
#define BURSTLET_VISIT_STEP(presence, field, ...) \
  visitor(#field, object.field, presence);        \
  __VA_OPT__(BURSTLET_VISIT_AGAIN BURSTLET_PARENS(presence, __VA_ARGS__))
#define BURSTLET_VISIT_AGAIN() BURSTLET_VISIT_STEP
#define BURSTLET_UNPAREN(...) __VA_ARGS__

#define BURSTLET_API_FIELDS(Type, always, ...)                                             \
  template <typename Visitor>                                                              \
  void VisitFields(Visitor& visitor, Type& object) {                                       \
    (void)visitor, (void)object;                                                           \
    BURSTLET_VISIT_EACH(::burstlet::kube::Presence::kAlways, BURSTLET_UNPAREN always)      \
    BURSTLET_VISIT_EACH(::burstlet::kube::Presence::kOmitEmpty __VA_OPT__(, ) __VA_ARGS__) \
  }                                                                                        \
  template <typename Visitor>                                                              \
  void VisitFields(Visitor& visitor, const Type& object) {                                 \
    (void)visitor, (void)object;                                                           \
    BURSTLET_VISIT_EACH(::burstlet::kube::Presence::kAlways, BURSTLET_UNPAREN always)      \
    BURSTLET_VISIT_EACH(::burstlet::kube::Presence::kOmitEmpty __VA_OPT__(, ) __VA_ARGS__) \
  }                                                                                        \
  static_assert(true)

namespace burstlet::kube {

struct OwnerReference {
  std::string apiVersion;
  std::string kind;
  std::string name;
  std::string uid;
  std::optional<bool> controller;
  std::optional<bool> blockOwnerDeletion;
};
BURSTLET_API_FIELDS(OwnerReference, (apiVersion, kind, name, uid), controller, blockOwnerDeletion);

struct ObjectMeta {
  std::string name;
  std::string generateName;
  std::string namespace_;
  std::string selfLink;
  std::string uid;
  std::string resourceVersion;
  std::int64_t generation = 0;
  Time creationTimestamp;
  std::optional<Time> deletionTimestamp;
  std::optional<std::int64_t> deletionGracePeriodSeconds;
  std::map<std::string, std::string> labels;
  std::map<std::string, std::string> annotations;
  std::vector<OwnerReference> ownerReferences;
  std::vector<std::string> finalizers;
  RawJson managedFields;
};
BURSTLET_API_FIELDS(ObjectMeta, (), name, generateName, namespace_, selfLink, uid, resourceVersion, generation,
                    creationTimestamp, deletionTimestamp, deletionGracePeriodSeconds, labels, annotations,
                    ownerReferences, finalizers, managedFields);

/// "namespace/name", the form of log lines and events.
inline std::string ObjectName(const ObjectMeta& meta) { return meta.namespace_ + "/" + meta.name; }

}  // namespace burstlet::kube
