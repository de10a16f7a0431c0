#include "kube/tls.h"

#include <openssl/err.h>
#include <openssl/pem.h>

#include "absl/strings/str_cat.h"
#include "metrics/status.h"

namespace burstlet::kube {
namespace {

struct BioFree {
  void operator()(BIO* p) const { BIO_free(p); }
};

std::unique_ptr<BIO, BioFree> MemoryBio(const std::string& text) {
  return std::unique_ptr<BIO, BioFree>(BIO_new_mem_buf(text.data(), static_cast<int>(text.size())));
}

std::string OpenSslError() {
  char buffer[256] = "unknown error";
  const unsigned long code = ERR_peek_last_error();
  if (code != 0) ERR_error_string_n(code, buffer, sizeof(buffer));
  ERR_clear_error();
  return buffer;
}

/// Keys with a pass phrase are refused rather than asked for on the terminal.
int NoPassPhrase(char*, int, int, void*) { return -1; }

}  // namespace

absl::StatusOr<std::vector<TlsMaterial::Certificate>> TlsMaterial::ParseCertificates(const std::string& pem,
                                                                                     const char* what) {
  const auto bio = MemoryBio(pem);
  std::vector<Certificate> certificates;
  while (X509* certificate = PEM_read_bio_X509(bio.get(), nullptr, NoPassPhrase, nullptr)) {
    certificates.emplace_back(certificate);
  }
  if (certificates.empty()) {
    return absl::InvalidArgumentError(absl::StrCat(what, ": no PEM certificate in it: ", OpenSslError()));
  }
  ERR_clear_error();  // the end of the text is reported as an error
  return certificates;
}

absl::StatusOr<std::shared_ptr<const TlsMaterial>> TlsMaterial::Create(const CredentialMaterial& material) {
  auto tls = std::make_shared<TlsMaterial>();
  if (!material.ca.empty()) {
    ASSIGN_OR_RETURN(const auto roots, ParseCertificates(material.ca, "certificate authority"));
    tls->trust_.reset(X509_STORE_new());
    for (const Certificate& root : roots) X509_STORE_add_cert(tls->trust_.get(), root.get());
  }
  if (!material.cert.empty()) {
    ASSIGN_OR_RETURN(tls->chain_, ParseCertificates(material.cert, "client certificate"));
    const auto bio = MemoryBio(material.key);
    tls->key_.reset(PEM_read_bio_PrivateKey(bio.get(), nullptr, NoPassPhrase, nullptr));
    if (!tls->key_) return absl::InvalidArgumentError(absl::StrCat("client key: ", OpenSslError()));
    if (X509_check_private_key(tls->chain_[0].get(), tls->key_.get()) != 1) {
      ERR_clear_error();
      return absl::InvalidArgumentError("client key: it is not the client certificate's");
    }
  }
  return tls;
}

absl::Status TlsMaterial::Apply(SSL_CTX* context) const {
  SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION);
  if (trust_) {
    X509_STORE_up_ref(trust_.get());
    SSL_CTX_set_cert_store(context, trust_.get());
  }
  if (chain_.empty()) return absl::OkStatus();
  bool good = SSL_CTX_use_certificate(context, chain_[0].get()) == 1;
  for (std::size_t i = 1; i < chain_.size(); ++i) good = good && SSL_CTX_add1_chain_cert(context, chain_[i].get()) == 1;
  good = good && SSL_CTX_use_PrivateKey(context, key_.get()) == 1;
  if (!good) return absl::InternalError(absl::StrCat("client certificate: ", OpenSslError()));
  return absl::OkStatus();
}

}  // namespace burstlet::kube
