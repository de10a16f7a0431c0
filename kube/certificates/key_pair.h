// Keys, requests for certificates and what stands in a certificate, as PEM text.
//
// ECDSA P-256, as the kubelet's. Pure but for OpenSSL's random numbers. Threads: any. Failure: kInvalidArgument says
// which text is broken, kInternal has OpenSSL's words.
#pragma once

#include <chrono>
#include <string>
#include <vector>

#include "absl/status/statusor.h"

namespace burstlet::kube {

struct CertificateSubject {
  std::string common_name;
  std::vector<std::string> organizations;
  std::vector<std::string> dns_names;
  std::vector<std::string> ip_addresses;  // text, e.g. "::1"
};

/// The leaf of a certificate file.
struct CertificateInfo {
  CertificateSubject subject;
  std::chrono::system_clock::time_point not_before;
  std::chrono::system_clock::time_point not_after;
};

/// A new private key.
absl::StatusOr<std::string> NewKey();

/// A PKCS #10 request of this key for this subject.
absl::StatusOr<std::string> MakeCertificateRequest(const std::string& key_pem, const CertificateSubject& subject);

/// "node-csr-..." from key, subject and usages: the same question has the same name, so that an agent that died while
/// it waited finds its own request again. Without alternative names it is the kubelet's own name for it. Source:
/// pkg/kubelet/certificate/bootstrap digestedName.
absl::StatusOr<std::string> CertificateRequestName(const std::string& key_pem, const CertificateSubject& subject,
                                                   const std::vector<std::string>& usages);

/// Whether a PKCS #10 request was made of this key.
absl::Status CheckRequestKey(const std::string& request_pem, const std::string& key_pem);

/// Reads the first certificate of `cert_pem` and checks that the key is its own.
absl::StatusOr<CertificateInfo> ReadKeyPair(const std::string& cert_pem, const std::string& key_pem);

/// All dates of a chain: the earliest not_after. Used to judge a kubeconfig's certificate.
absl::StatusOr<std::chrono::system_clock::time_point> ChainExpiry(const std::string& cert_pem);

/// Whether a certificate with `have` is good for what `want` asks: its names and organizations, or more.
/// Source: client-go certificate_manager.go certSatisfiesTemplate.
bool Satisfies(const CertificateSubject& have, const CertificateSubject& want);

}  // namespace burstlet::kube
