#include "kube/certificates/key_pair.h"

#include <arpa/inet.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

#include <algorithm>
#include <array>
#include <ctime>
#include <memory>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "metrics/status.h"

namespace burstlet::kube {
namespace {

template <typename T, void (*Free)(T*)>
struct Deleter {
  void operator()(T* value) const { Free(value); }
};
void FreeNames(GENERAL_NAMES* names) { GENERAL_NAMES_free(names); }
void FreeExtensions(STACK_OF(X509_EXTENSION) * list) { sk_X509_EXTENSION_pop_free(list, X509_EXTENSION_free); }
using Key = std::unique_ptr<EVP_PKEY, Deleter<EVP_PKEY, EVP_PKEY_free>>;
using Certificate = std::unique_ptr<X509, Deleter<X509, X509_free>>;
using Request = std::unique_ptr<X509_REQ, Deleter<X509_REQ, X509_REQ_free>>;
using Memory = std::unique_ptr<BIO, Deleter<BIO, BIO_free_all>>;
using Names = std::unique_ptr<GENERAL_NAMES, Deleter<GENERAL_NAMES, FreeNames>>;
using Extensions = std::unique_ptr<STACK_OF(X509_EXTENSION), Deleter<STACK_OF(X509_EXTENSION), FreeExtensions>>;
using Extension = std::unique_ptr<X509_EXTENSION, Deleter<X509_EXTENSION, X509_EXTENSION_free>>;

std::string OpenSslWords() {
  const unsigned long code = ERR_peek_last_error();
  ERR_clear_error();
  const char* reason = code == 0 ? nullptr : ERR_reason_error_string(code);
  return reason == nullptr ? "no PEM data of this kind" : reason;
}

absl::Status Internal(const char* what) { return absl::InternalError(absl::StrCat(what, ": ", OpenSslWords())); }

Memory Reader(const std::string& text) { return Memory(BIO_new_mem_buf(text.data(), static_cast<int>(text.size()))); }

std::string TextOf(BIO* memory) {
  char* data = nullptr;
  const long size = BIO_get_mem_data(memory, &data);
  return std::string(data, static_cast<std::size_t>(size));
}

/// Keys with a pass phrase are refused rather than asked for on the terminal.
int NoPassPhrase(char*, int, int, void*) { return -1; }

absl::StatusOr<Key> ParseKey(const std::string& pem) {
  const Memory memory = Reader(pem);
  Key key(PEM_read_bio_PrivateKey(memory.get(), nullptr, NoPassPhrase, nullptr));
  if (!key) return absl::InvalidArgumentError("private key: " + OpenSslWords());
  return key;
}

absl::StatusOr<std::string> PublicKeyDer(EVP_PKEY* key) {
  unsigned char* der = nullptr;
  const int size = i2d_PUBKEY(key, &der);
  if (size <= 0) return Internal("public key");
  std::string out(reinterpret_cast<char*>(der), static_cast<std::size_t>(size));
  OPENSSL_free(der);
  return out;
}

bool AddName(X509_NAME* name, const char* field, const std::string& value) {
  return X509_NAME_add_entry_by_txt(name, field, MBSTRING_UTF8, reinterpret_cast<const unsigned char*>(value.c_str()),
                                    -1, -1, 0) == 1;
}

/// Made of structures, not of OpenSSL's configuration text: a name may hold what that text gives a meaning.
bool AddAlternative(GENERAL_NAMES* names, int kind, const std::string& bytes) {
  GENERAL_NAME* name = GENERAL_NAME_new();
  ASN1_STRING* value = kind == GEN_DNS ? ASN1_IA5STRING_new() : ASN1_OCTET_STRING_new();
  if (name == nullptr || value == nullptr) return false;
  if (ASN1_STRING_set(value, bytes.data(), static_cast<int>(bytes.size())) != 1) return false;
  GENERAL_NAME_set0_value(name, kind, value);
  return sk_GENERAL_NAME_push(names, name) > 0;
}

absl::StatusOr<std::string> AddressBytes(const std::string& text) {
  std::array<char, 16> bytes{};
  if (inet_pton(AF_INET, text.c_str(), bytes.data()) == 1) return std::string(bytes.data(), 4);
  if (inet_pton(AF_INET6, text.c_str(), bytes.data()) == 1) return std::string(bytes.data(), 16);
  return absl::InvalidArgumentError(absl::StrCat("\"", text, "\" is no IP address"));
}

absl::Status AddAlternatives(X509_REQ* request, const CertificateSubject& subject) {
  if (subject.dns_names.empty() && subject.ip_addresses.empty()) return absl::OkStatus();
  const Names names(GENERAL_NAMES_new());
  bool good = names != nullptr;
  for (const std::string& dns : subject.dns_names) good = good && AddAlternative(names.get(), GEN_DNS, dns);
  for (const std::string& text : subject.ip_addresses) {
    ASSIGN_OR_RETURN(const std::string bytes, AddressBytes(text));
    good = good && AddAlternative(names.get(), GEN_IPADD, bytes);
  }
  const Extension extension(X509V3_EXT_i2d(NID_subject_alt_name, 0, names.get()));
  const Extensions list(sk_X509_EXTENSION_new_null());
  good = good && extension && list && sk_X509_EXTENSION_push(list.get(), X509_EXTENSION_dup(extension.get())) > 0;
  if (!good || X509_REQ_add_extensions(request, list.get()) != 1) return Internal("subject alternative names");
  return absl::OkStatus();
}

std::string Utf8(const ASN1_STRING* value) {
  unsigned char* utf8 = nullptr;
  const int length = ASN1_STRING_to_UTF8(&utf8, value);
  if (length < 0) return "";
  std::string text(reinterpret_cast<char*>(utf8), static_cast<std::size_t>(length));
  OPENSSL_free(utf8);
  return text;
}

std::string AddressText(const ASN1_OCTET_STRING* address) {
  char text[INET6_ADDRSTRLEN] = {};
  const int size = ASN1_STRING_length(address);
  const int family = size == 4 ? AF_INET : AF_INET6;
  if (size != 4 && size != 16) return "";
  return inet_ntop(family, ASN1_STRING_get0_data(address), text, sizeof(text)) == nullptr ? "" : text;
}

CertificateSubject SubjectOf(X509* certificate) {
  CertificateSubject out;
  const X509_NAME* name = X509_get_subject_name(certificate);
  for (int i = 0; i < X509_NAME_entry_count(name); ++i) {
    const X509_NAME_ENTRY* entry = X509_NAME_get_entry(name, i);
    const int kind = OBJ_obj2nid(X509_NAME_ENTRY_get_object(entry));
    if (kind == NID_commonName) out.common_name = Utf8(X509_NAME_ENTRY_get_data(entry));
    if (kind == NID_organizationName) out.organizations.push_back(Utf8(X509_NAME_ENTRY_get_data(entry)));
  }
  const Names names(static_cast<GENERAL_NAMES*>(X509_get_ext_d2i(certificate, NID_subject_alt_name, nullptr, nullptr)));
  for (int i = 0; names && i < sk_GENERAL_NAME_num(names.get()); ++i) {
    const GENERAL_NAME* alternative = sk_GENERAL_NAME_value(names.get(), i);
    if (alternative->type == GEN_DNS) out.dns_names.push_back(Utf8(alternative->d.dNSName));
    if (alternative->type == GEN_IPADD) out.ip_addresses.push_back(AddressText(alternative->d.iPAddress));
  }
  return out;
}

std::chrono::system_clock::time_point TimeOf(const ASN1_TIME* time) {
  std::tm parts{};
  ASN1_TIME_to_tm(time, &parts);
  return std::chrono::system_clock::from_time_t(timegm(&parts));
}

absl::StatusOr<std::vector<Certificate>> ParseChain(const std::string& pem) {
  const Memory memory = Reader(pem);
  std::vector<Certificate> chain;
  while (X509* certificate = PEM_read_bio_X509(memory.get(), nullptr, NoPassPhrase, nullptr)) {
    chain.emplace_back(certificate);
  }
  if (chain.empty()) return absl::InvalidArgumentError("certificate: " + OpenSslWords());
  ERR_clear_error();  // the end of the text is reported as an error
  return chain;
}

bool Contains(const std::vector<std::string>& have, const std::vector<std::string>& want) {
  return std::all_of(want.begin(), want.end(), [&have](const std::string& item) {
    return std::find(have.begin(), have.end(), item) != have.end();
  });
}

/// 2001:db8:0::1 and 2001:db8::1 are the same address.
std::vector<std::string> Canonical(const std::vector<std::string>& addresses) {
  std::vector<std::string> out;
  for (const std::string& text : addresses) {
    const auto bytes = AddressBytes(text);
    out.push_back(bytes.ok() ? *bytes : text);
  }
  return out;
}

}  // namespace

absl::StatusOr<std::string> NewKey() {
  const Key key(EVP_EC_gen("P-256"));
  const Memory out(BIO_new(BIO_s_mem()));
  // "EC PRIVATE KEY", the form in which client-go writes keys.
  if (!key || !out ||
      PEM_write_bio_PrivateKey_traditional(out.get(), key.get(), nullptr, nullptr, 0, nullptr, nullptr) != 1) {
    return Internal("making a key");
  }
  return TextOf(out.get());
}

absl::StatusOr<std::string> MakeCertificateRequest(const std::string& key_pem, const CertificateSubject& subject) {
  ASSIGN_OR_RETURN(const Key key, ParseKey(key_pem));
  const Request request(X509_REQ_new());
  if (!request) return Internal("making a certificate request");
  X509_NAME* name = X509_REQ_get_subject_name(request.get());
  bool good = X509_REQ_set_version(request.get(), 0) == 1 && X509_REQ_set_pubkey(request.get(), key.get()) == 1;
  for (const std::string& organization : subject.organizations) good = good && AddName(name, "O", organization);
  good = good && AddName(name, "CN", subject.common_name);
  if (!good) return Internal("making a certificate request");
  RETURN_IF_ERROR(AddAlternatives(request.get(), subject));
  const Memory out(BIO_new(BIO_s_mem()));
  if (X509_REQ_sign(request.get(), key.get(), EVP_sha256()) == 0 ||
      PEM_write_bio_X509_REQ(out.get(), request.get()) != 1) {
    return Internal("signing a certificate request");
  }
  return TextOf(out.get());
}

absl::StatusOr<std::string> CertificateRequestName(const std::string& key_pem, const CertificateSubject& subject,
                                                   const std::vector<std::string>& usages) {
  ASSIGN_OR_RETURN(const Key key, ParseKey(key_pem));
  ASSIGN_OR_RETURN(const std::string public_key, PublicKeyDer(key.get()));
  // Base64 and a delimiter that is not in it: no two questions give the same text.
  std::string text;
  const auto add = [&text](const std::string& part) { absl::StrAppend(&text, absl::WebSafeBase64Escape(part), "|"); };
  add(public_key);
  add(subject.common_name);
  for (const auto* list : {&subject.organizations, &usages, &subject.dns_names, &subject.ip_addresses}) {
    for (const std::string& item : *list) add(item);
  }
  std::array<unsigned char, EVP_MAX_MD_SIZE> digest{};
  unsigned int size = 0;
  if (EVP_Digest(text.data(), text.size(), digest.data(), &size, EVP_sha512_256(), nullptr) != 1) {
    return Internal("digest of a certificate request");
  }
  return absl::StrCat("node-csr-",
                      absl::WebSafeBase64Escape(std::string(reinterpret_cast<char*>(digest.data()), size)));
}

absl::Status CheckRequestKey(const std::string& request_pem, const std::string& key_pem) {
  ASSIGN_OR_RETURN(const Key key, ParseKey(key_pem));
  const Memory memory = Reader(request_pem);
  const Request request(PEM_read_bio_X509_REQ(memory.get(), nullptr, NoPassPhrase, nullptr));
  if (!request) return absl::InvalidArgumentError("certificate request: " + OpenSslWords());
  ASSIGN_OR_RETURN(const std::string ours, PublicKeyDer(key.get()));
  ASSIGN_OR_RETURN(const std::string theirs, PublicKeyDer(X509_REQ_get0_pubkey(request.get())));
  if (ours != theirs) return absl::FailedPreconditionError("the certificate request is of another key");
  return absl::OkStatus();
}

absl::StatusOr<CertificateInfo> ReadKeyPair(const std::string& cert_pem, const std::string& key_pem) {
  ASSIGN_OR_RETURN(const auto chain, ParseChain(cert_pem));
  ASSIGN_OR_RETURN(const Key key, ParseKey(key_pem));
  if (X509_check_private_key(chain[0].get(), key.get()) != 1) {
    ERR_clear_error();
    return absl::InvalidArgumentError("the private key is not the certificate's");
  }
  CertificateInfo info;
  info.subject = SubjectOf(chain[0].get());
  info.not_before = TimeOf(X509_get0_notBefore(chain[0].get()));
  info.not_after = TimeOf(X509_get0_notAfter(chain[0].get()));
  return info;
}

absl::StatusOr<std::chrono::system_clock::time_point> ChainExpiry(const std::string& cert_pem) {
  ASSIGN_OR_RETURN(const auto chain, ParseChain(cert_pem));
  auto earliest = std::chrono::system_clock::time_point::max();
  for (const Certificate& certificate : chain) {
    earliest = std::min(earliest, TimeOf(X509_get0_notAfter(certificate.get())));
  }
  return earliest;
}

bool Satisfies(const CertificateSubject& have, const CertificateSubject& want) {
  return have.common_name == want.common_name && Contains(have.organizations, want.organizations) &&
         Contains(have.dns_names, want.dns_names) &&
         Contains(Canonical(have.ip_addresses), Canonical(want.ip_addresses));
}

}  // namespace burstlet::kube
