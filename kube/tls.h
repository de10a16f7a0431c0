// The client side of TLS as OpenSSL objects, parsed once and shared by all connections.
//
// Only the given CA is trusted when there is one; the system's roots otherwise. Immutable after Create; Apply may be
// called from any thread. Failure: kInvalidArgument that says which of CA, certificate and key is broken.
#pragma once

#include <openssl/ssl.h>

#include <memory>
#include <vector>

#include "absl/status/statusor.h"
#include "kube/credentials.h"

namespace burstlet::kube {

class TlsMaterial {
 public:
  static absl::StatusOr<std::shared_ptr<const TlsMaterial>> Create(const CredentialMaterial& material);

  /// Gives a new connection's context trust store, certificate, key, and TLS 1.2 as its least version.
  absl::Status Apply(SSL_CTX* context) const;

 private:
  struct Free {
    void operator()(X509* p) const { X509_free(p); }
    void operator()(X509_STORE* p) const { X509_STORE_free(p); }
    void operator()(EVP_PKEY* p) const { EVP_PKEY_free(p); }
  };
  using Certificate = std::unique_ptr<X509, Free>;

  static absl::StatusOr<std::vector<Certificate>> ParseCertificates(const std::string& pem, const char* what);

  std::unique_ptr<X509_STORE, Free> trust_;
  std::vector<Certificate> chain_;  // the leaf first
  std::unique_ptr<EVP_PKEY, Free> key_;
};

}  // namespace burstlet::kube
