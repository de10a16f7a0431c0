// Trust of pods: bundles of trust anchors, and certificates that a node asks for on a pod's behalf.
//
// Plain data with the JSON spelling of the API reference (certificates.k8s.io/v1, meta/v1 LabelSelector).
#pragma once

#include "kube/api/core.h"
#include "kube/api/meta.h"

namespace burstlet::kube {

struct LabelSelectorRequirement {
  std::string key;
  std::string operator_;
  std::vector<std::string> values;
};
BURSTLET_API_FIELDS(LabelSelectorRequirement, (key, operator_), values);

struct LabelSelector {
  std::map<std::string, std::string> matchLabels;
  std::vector<LabelSelectorRequirement> matchExpressions;
};
BURSTLET_API_FIELDS(LabelSelector, (), matchLabels, matchExpressions);

struct ClusterTrustBundleSpec {
  std::string signerName;
  std::string trustBundle;  // PEM
};
BURSTLET_API_FIELDS(ClusterTrustBundleSpec, (), signerName, trustBundle);

struct ClusterTrustBundle {
  std::string apiVersion;
  std::string kind;
  ObjectMeta metadata;
  ClusterTrustBundleSpec spec;
};
BURSTLET_API_FIELDS(ClusterTrustBundle, (), apiVersion, kind, metadata, spec);

struct PodCertificateRequestSpec {
  std::string signerName;
  std::string podName;
  std::string podUID;
  std::string serviceAccountName;
  std::string serviceAccountUID;
  std::string nodeName;
  std::string nodeUID;
  std::optional<std::int32_t> maxExpirationSeconds;
  Bytes stubPKCS10Request;  // DER
  std::map<std::string, std::string> unverifiedUserAnnotations;
};
BURSTLET_API_FIELDS(PodCertificateRequestSpec, (), signerName, podName, podUID, serviceAccountName, serviceAccountUID,
                    nodeName, nodeUID, maxExpirationSeconds, stubPKCS10Request, unverifiedUserAnnotations);

/// metav1.Condition as far as it is read here.
struct CertificateCondition {
  std::string type;
  std::string status;
  std::string reason;
  std::string message;
};
BURSTLET_API_FIELDS(CertificateCondition, (), type, status, reason, message);

struct PodCertificateRequestStatus {
  std::vector<CertificateCondition> conditions;
  std::string certificateChain;  // PEM, leaf first
  std::optional<Time> notBefore;
  std::optional<Time> beginRefreshAt;
  std::optional<Time> notAfter;
};
BURSTLET_API_FIELDS(PodCertificateRequestStatus, (), conditions, certificateChain, notBefore, beginRefreshAt, notAfter);

struct PodCertificateRequest {
  std::string apiVersion;
  std::string kind;
  ObjectMeta metadata;
  PodCertificateRequestSpec spec;
  PodCertificateRequestStatus status;
};
BURSTLET_API_FIELDS(PodCertificateRequest, (), apiVersion, kind, metadata, spec, status);

}  // namespace burstlet::kube
