#include "test/kube/server/test_certificates.h"

#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdlib.h>

#include <atomic>
#include <filesystem>
#include <fstream>
#include <memory>

namespace burstlet::kube::test {
namespace {

using Key = std::unique_ptr<EVP_PKEY, decltype(&EVP_PKEY_free)>;
using Cert = std::unique_ptr<X509, decltype(&X509_free)>;

std::string ToText(BIO* bio) {
  char* data = nullptr;
  const long size = BIO_get_mem_data(bio, &data);
  std::string text(data, static_cast<std::size_t>(size));
  BIO_free(bio);
  return text;
}

void AddExtension(X509* cert, X509* issuer, int kind, const char* value) {
  X509V3_CTX context;
  X509V3_set_ctx_nodb(&context);
  X509V3_set_ctx(&context, issuer, cert, nullptr, nullptr, 0);
  X509_EXTENSION* extension = X509V3_EXT_conf_nid(nullptr, &context, kind, value);
  X509_add_ext(cert, extension, -1);
  X509_EXTENSION_free(extension);
}

void AddName(X509_NAME* name, const char* field, const std::string& value) {
  X509_NAME_add_entry_by_txt(name, field, MBSTRING_UTF8, reinterpret_cast<const unsigned char*>(value.data()),
                             static_cast<int>(value.size()), -1, 0);
}

CertifiedKey Make(const CertifiedKey* ca, const CertificateRequest& request) {
  static std::atomic<long> serial{1};
  const Key key(EVP_EC_gen("P-256"), EVP_PKEY_free);
  const Cert cert(X509_new(), X509_free);
  X509_set_version(cert.get(), 2);
  ASN1_INTEGER_set(X509_get_serialNumber(cert.get()), serial++);
  X509_gmtime_adj(X509_getm_notBefore(cert.get()), request.not_before_seconds);
  X509_gmtime_adj(X509_getm_notAfter(cert.get()), request.not_after_seconds);
  X509_set_pubkey(cert.get(), key.get());
  X509_NAME* name = X509_get_subject_name(cert.get());
  for (const std::string& organization : request.organizations) AddName(name, "O", organization);
  if (!request.common_name.empty()) AddName(name, "CN", request.common_name);

  Cert issuer(nullptr, X509_free);
  Key issuer_key(nullptr, EVP_PKEY_free);
  if (ca != nullptr) {
    BIO* bio = BIO_new_mem_buf(ca->cert_pem.data(), static_cast<int>(ca->cert_pem.size()));
    issuer.reset(PEM_read_bio_X509(bio, nullptr, nullptr, nullptr));
    BIO_free(bio);
    bio = BIO_new_mem_buf(ca->key_pem.data(), static_cast<int>(ca->key_pem.size()));
    issuer_key.reset(PEM_read_bio_PrivateKey(bio, nullptr, nullptr, nullptr));
    BIO_free(bio);
  }
  X509* signer = issuer != nullptr ? issuer.get() : cert.get();
  X509_set_issuer_name(cert.get(), X509_get_subject_name(signer));
  AddExtension(cert.get(), signer, NID_basic_constraints, request.is_ca ? "critical,CA:TRUE" : "critical,CA:FALSE");
  if (request.is_ca) {
    AddExtension(cert.get(), signer, NID_key_usage, "critical,keyCertSign,cRLSign");
  } else {
    AddExtension(cert.get(), signer, NID_key_usage, "critical,digitalSignature");
    AddExtension(cert.get(), signer, NID_ext_key_usage, request.server ? "serverAuth" : "clientAuth");
    if (request.server) AddExtension(cert.get(), signer, NID_subject_alt_name, "IP:127.0.0.1");
  }
  X509_sign(cert.get(), issuer_key != nullptr ? issuer_key.get() : key.get(), EVP_sha256());

  CertifiedKey made;
  BIO* out = BIO_new(BIO_s_mem());
  PEM_write_bio_X509(out, cert.get());
  made.cert_pem = ToText(out);
  out = BIO_new(BIO_s_mem());
  PEM_write_bio_PrivateKey(out, key.get(), nullptr, nullptr, 0, nullptr, nullptr);
  made.key_pem = ToText(out);
  return made;
}

}  // namespace

CertifiedKey MakeCa(const std::string& common_name) {
  CertificateRequest request;
  request.common_name = common_name;
  request.is_ca = true;
  return Make(nullptr, request);
}

CertifiedKey Issue(const CertifiedKey& ca, const CertificateRequest& request) { return Make(&ca, request); }

TempDir::TempDir() {
  std::string name = (std::filesystem::temp_directory_path() / "burstlet-server-XXXXXX").string();
  path_ = mkdtemp(name.data());
}

TempDir::~TempDir() {
  std::error_code ignored;
  std::filesystem::remove_all(path_, ignored);
}

std::string TempDir::Write(const std::string& name, const std::string& content) const {
  const std::string path = path_ + "/" + name;
  std::ofstream(path, std::ios::binary | std::ios::trunc) << content;
  return path;
}

}  // namespace burstlet::kube::test
