// One CertificateSigningRequest: filed, watched until it is issued or refused, and stored.
//
// Loop thread; file operations run on a thread of their own. Failure: a Status; the next try of the same question goes
// on where this one stopped, since key and name are kept on disk. Source: client-go util/certificate/csr/csr.go.
#pragma once

#include <chrono>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "kube/async/cancel.h"
#include "kube/certificates/certificate_store.h"
#include "kube/client.h"

namespace burstlet::kube {

inline constexpr char kClientSigner[] = "kubernetes.io/kube-apiserver-client-kubelet";
inline constexpr char kServingSigner[] = "kubernetes.io/kubelet-serving";

struct SigningQuestion {
  std::string signer;
  CertificateSubject subject;
  std::vector<std::string> usages;  // {"digital signature", "client auth"}
};

/// The kubelet's usages for these signers and an ECDSA key.
std::vector<std::string> UsagesOf(const std::string& signer);

/// Asks for a certificate and makes it the store's current one. kFailedPrecondition: this request never will be
/// answered (denied, failed, deleted, of another key, or its certificate has expired): the next try is a new one with
/// a new key. kDeadlineExceeded: not answered until `deadline`; the next try watches on.
Task<absl::StatusOr<StoredCertificate>> ObtainCertificate(Client& client, Loop& loop, CertificateStore& store,
                                                          SigningQuestion question, SteadyTime deadline,
                                                          CancelToken cancel);

}  // namespace burstlet::kube
