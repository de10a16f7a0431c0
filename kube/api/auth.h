// The node's own small requests: leases, tokens, reviews, certificate signing requests.
//
// Plain data with the JSON spelling of the API reference (coordination.k8s.io/v1, authentication.k8s.io/v1,
// authorization.k8s.io/v1, certificates.k8s.io/v1).
#pragma once

#include "kube/api/meta.h"

namespace burstlet::kube {

struct LeaseSpec {
  std::optional<std::string> holderIdentity;
  std::optional<std::int32_t> leaseDurationSeconds;
  std::optional<MicroTime> acquireTime;
  std::optional<MicroTime> renewTime;
  std::optional<std::int32_t> leaseTransitions;
};
BURSTLET_API_FIELDS(LeaseSpec, (), holderIdentity, leaseDurationSeconds, acquireTime, renewTime, leaseTransitions);

struct Lease {
  std::string apiVersion;
  std::string kind;
  ObjectMeta metadata;
  LeaseSpec spec;
};
BURSTLET_API_FIELDS(Lease, (), apiVersion, kind, metadata, spec);

struct BoundObjectReference {
  std::string kind;
  std::string apiVersion;
  std::string name;
  std::string uid;
};
BURSTLET_API_FIELDS(BoundObjectReference, (), kind, apiVersion, name, uid);

struct TokenRequestSpec {
  std::vector<std::string> audiences;
  std::optional<std::int64_t> expirationSeconds;
  std::optional<BoundObjectReference> boundObjectRef;
};
BURSTLET_API_FIELDS(TokenRequestSpec, (audiences), expirationSeconds, boundObjectRef);

struct TokenRequestStatus {
  std::string token;
  Time expirationTimestamp;
};
BURSTLET_API_FIELDS(TokenRequestStatus, (), token, expirationTimestamp);

struct TokenRequest {
  std::string apiVersion;
  std::string kind;
  ObjectMeta metadata;
  TokenRequestSpec spec;
  TokenRequestStatus status;
};
BURSTLET_API_FIELDS(TokenRequest, (), apiVersion, kind, metadata, spec, status);

struct UserInfo {
  std::string username;
  std::string uid;
  std::vector<std::string> groups;
  std::map<std::string, std::vector<std::string>> extra;
};
BURSTLET_API_FIELDS(UserInfo, (), username, uid, groups, extra);

struct TokenReviewSpec {
  std::string token;
  std::vector<std::string> audiences;
};
BURSTLET_API_FIELDS(TokenReviewSpec, (), token, audiences);

struct TokenReviewStatus {
  bool authenticated = false;
  UserInfo user;
  std::vector<std::string> audiences;
  std::string error;
};
BURSTLET_API_FIELDS(TokenReviewStatus, (), authenticated, user, audiences, error);

struct TokenReview {
  std::string apiVersion;
  std::string kind;
  TokenReviewSpec spec;
  TokenReviewStatus status;
};
BURSTLET_API_FIELDS(TokenReview, (), apiVersion, kind, spec, status);

struct ResourceAttributes {
  std::string namespace_;
  std::string verb;
  std::string group;
  std::string version;
  std::string resource;
  std::string subresource;
  std::string name;
};
BURSTLET_API_FIELDS(ResourceAttributes, (), namespace_, verb, group, version, resource, subresource, name);

struct NonResourceAttributes {
  std::string path;
  std::string verb;
};
BURSTLET_API_FIELDS(NonResourceAttributes, (), path, verb);

struct SubjectAccessReviewSpec {
  std::optional<ResourceAttributes> resourceAttributes;
  std::optional<NonResourceAttributes> nonResourceAttributes;
  std::string user;
  std::vector<std::string> groups;
  std::map<std::string, std::vector<std::string>> extra;
  std::string uid;
};
BURSTLET_API_FIELDS(SubjectAccessReviewSpec, (), resourceAttributes, nonResourceAttributes, user, groups, extra, uid);

struct SubjectAccessReviewStatus {
  bool allowed = false;
  bool denied = false;
  std::string reason;
  std::string evaluationError;
};
BURSTLET_API_FIELDS(SubjectAccessReviewStatus, (allowed), denied, reason, evaluationError);

struct SubjectAccessReview {
  std::string apiVersion;
  std::string kind;
  SubjectAccessReviewSpec spec;
  SubjectAccessReviewStatus status;
};
BURSTLET_API_FIELDS(SubjectAccessReview, (), apiVersion, kind, spec, status);

/// metav1.Status: what the API server answers instead of the object.
struct StatusCause {
  std::string reason;
  std::string message;
  std::string field;
};
BURSTLET_API_FIELDS(StatusCause, (), reason, message, field);

struct StatusDetails {
  std::string name;
  std::string group;
  std::string kind;
  std::string uid;
  std::vector<StatusCause> causes;
  std::int32_t retryAfterSeconds = 0;
};
BURSTLET_API_FIELDS(StatusDetails, (), name, group, kind, uid, causes, retryAfterSeconds);

struct ApiStatus {
  std::string apiVersion;
  std::string kind;
  std::string status;
  std::string message;
  std::string reason;
  std::optional<StatusDetails> details;
  std::int32_t code = 0;
};
BURSTLET_API_FIELDS(ApiStatus, (), apiVersion, kind, status, message, reason, details, code);

}  // namespace burstlet::kube
