// CertificateSigningRequest, as far as a node files and reads it (certificates.k8s.io/v1).
//
// Plain data with the JSON spelling of the API reference. `request` and `certificate` are base64 of PEM text.
#pragma once

#include "kube/api/meta.h"

namespace burstlet::kube {

struct CertificateSigningRequestSpec {
  std::string request;
  std::string signerName;
  std::vector<std::string> usages;
};
BURSTLET_API_FIELDS(CertificateSigningRequestSpec, (), request, signerName, usages);

struct CertificateSigningRequestCondition {
  std::string type;  // Approved, Denied, Failed
  std::string status;
  std::string reason;
  std::string message;
};
BURSTLET_API_FIELDS(CertificateSigningRequestCondition, (), type, status, reason, message);

struct CertificateSigningRequestStatus {
  std::string certificate;
  std::vector<CertificateSigningRequestCondition> conditions;
};
BURSTLET_API_FIELDS(CertificateSigningRequestStatus, (), certificate, conditions);

struct CertificateSigningRequest {
  std::string apiVersion;
  std::string kind;
  ObjectMeta metadata;
  CertificateSigningRequestSpec spec;
  CertificateSigningRequestStatus status;
};
BURSTLET_API_FIELDS(CertificateSigningRequest, (), apiVersion, kind, metadata, spec, status);

}  // namespace burstlet::kube
