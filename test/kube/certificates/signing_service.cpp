#include "test/kube/certificates/signing_service.h"

#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "kube/json.h"

namespace burstlet::kube::test {
namespace {

constexpr char kPath[] = "/apis/certificates.k8s.io/v1/certificatesigningrequests";

BIO* Reader(const std::string& text) { return BIO_new_mem_buf(text.data(), static_cast<int>(text.size())); }

/// Signs a PKCS #10 request as it stands, alternative names too.
std::string Sign(const CertifiedKey& ca, const std::string& request_pem, long seconds_valid) {
  BIO* bio = Reader(request_pem);
  X509_REQ* request = PEM_read_bio_X509_REQ(bio, nullptr, nullptr, nullptr);
  BIO_free(bio);
  bio = Reader(ca.cert_pem);
  X509* issuer = PEM_read_bio_X509(bio, nullptr, nullptr, nullptr);
  BIO_free(bio);
  bio = Reader(ca.key_pem);
  EVP_PKEY* key = PEM_read_bio_PrivateKey(bio, nullptr, nullptr, nullptr);
  BIO_free(bio);
  X509* cert = X509_new();
  X509_set_version(cert, 2);
  static long serial = 1000;
  ASN1_INTEGER_set(X509_get_serialNumber(cert), ++serial);
  X509_gmtime_adj(X509_getm_notBefore(cert), 0);
  X509_gmtime_adj(X509_getm_notAfter(cert), seconds_valid);
  X509_set_pubkey(cert, X509_REQ_get0_pubkey(request));
  X509_set_subject_name(cert, X509_REQ_get_subject_name(request));
  X509_set_issuer_name(cert, X509_get_subject_name(issuer));
  STACK_OF(X509_EXTENSION)* extensions = X509_REQ_get_extensions(request);
  for (int i = 0; i < sk_X509_EXTENSION_num(extensions); ++i) {
    X509_add_ext(cert, sk_X509_EXTENSION_value(extensions, i), -1);
  }
  sk_X509_EXTENSION_pop_free(extensions, X509_EXTENSION_free);
  X509_sign(cert, key, EVP_sha256());
  bio = BIO_new(BIO_s_mem());
  PEM_write_bio_X509(bio, cert);
  char* data = nullptr;
  const long size = BIO_get_mem_data(bio, &data);
  std::string pem(data, static_cast<std::size_t>(size));
  BIO_free(bio);
  X509_free(cert);
  X509_free(issuer);
  X509_REQ_free(request);
  EVP_PKEY_free(key);
  return pem;
}

Response Status(int code, const std::string& reason) {
  return Response{code, absl::StrCat(R"({"kind":"Status","apiVersion":"v1","status":"Failure","reason":")", reason,
                                     R"(","code":)", code, "}")};
}

}  // namespace

absl::StatusOr<Response> SigningService::Answer(const ScriptedRequest& request) {
  if (away) return absl::UnavailableError("no API server");
  if (request.method == "POST") {
    auto csr = *Decode<CertificateSigningRequest>(request.body);
    if (requests.contains(csr.metadata.name)) return Status(409, "AlreadyExists");
    csr.metadata.uid = absl::StrCat("uid-", ++uid_);
    csr.metadata.resourceVersion = "1";
    requests[csr.metadata.name] = csr;
    return Response{201, Encode(csr)};
  }
  const auto found = requests.find(request.path.substr(sizeof(kPath)));
  if (found == requests.end()) return Status(404, "NotFound");
  return Response{200, Encode(found->second)};
}

void SigningService::Tell(const char* type, const std::string& name) {
  client.Push("metadata.name%3D" + name,
              absl::StrCat(R"({"type":")", type, R"(","object":)", Encode(requests.at(name)), "}"));
}

void SigningService::Issue(const std::string& name, long seconds_valid) {
  CertificateSigningRequest& csr = requests.at(name);
  std::string pem;
  absl::Base64Unescape(csr.spec.request, &pem);
  csr.status.conditions.push_back({"Approved", "True", "Test", ""});
  csr.status.certificate = absl::Base64Escape(Sign(ca_, pem, seconds_valid));
  Tell("MODIFIED", name);
}

void SigningService::Deny(const std::string& name) {
  requests.at(name).status.conditions.push_back({"Denied", "True", "Policy", "not here"});
  Tell("MODIFIED", name);
}

void SigningService::Delete(const std::string& name) {
  Tell("DELETED", name);
  requests.erase(name);
}

std::string SigningService::Pending() const {
  for (const auto& [name, csr] : requests) {
    if (csr.status.conditions.empty() && csr.status.certificate.empty()) return name;
  }
  return "";
}

}  // namespace burstlet::kube::test
