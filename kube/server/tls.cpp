#include "kube/server/tls.h"

#include <fcntl.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509_vfy.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "kube/server/tls_options.h"
#include "metrics/log.h"
#include "metrics/status.h"

namespace burstlet::kube {
namespace {

constexpr std::size_t kMaxPemBytes = 4 << 20;

struct BioFree {
  void operator()(BIO* bio) const { BIO_free(bio); }
};
struct X509Free {
  void operator()(X509* cert) const { X509_free(cert); }
};
struct KeyFree {
  void operator()(EVP_PKEY* key) const { EVP_PKEY_free(key); }
};
using BioPtr = std::unique_ptr<BIO, BioFree>;
using X509Ptr = std::unique_ptr<X509, X509Free>;
using KeyPtr = std::unique_ptr<EVP_PKEY, KeyFree>;

std::string LastTlsError() {
  const unsigned long code = ERR_peek_last_error();
  ERR_clear_error();
  const char* reason = code == 0 ? nullptr : ERR_reason_error_string(code);
  return reason == nullptr ? "no PEM data of this kind" : reason;
}

absl::StatusOr<std::string> ReadPem(const std::string& path, const std::string& what) {
  const int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return ErrnoError(errno, what + " " + path);
  std::string text;
  char buffer[8192];
  ssize_t count = 0;
  while ((count = read(fd, buffer, sizeof buffer)) > 0 && text.size() < kMaxPemBytes) {
    text.append(buffer, static_cast<std::size_t>(count));
  }
  const int error = errno;
  close(fd);
  if (count < 0) return ErrnoError(error, what + " " + path);
  return text;
}

BioPtr MemoryBio(const std::string& text) {
  return BioPtr(BIO_new_mem_buf(text.data(), static_cast<int>(text.size())));
}

absl::Status UseCertificateChain(SSL_CTX* context, const std::string& pem, const std::string& name) {
  const BioPtr bio = MemoryBio(pem);
  const X509Ptr leaf(PEM_read_bio_X509_AUX(bio.get(), nullptr, nullptr, nullptr));
  if (leaf == nullptr) return absl::InvalidArgumentError(name + ": no certificate in it: " + LastTlsError());
  if (SSL_CTX_use_certificate(context, leaf.get()) != 1) {
    return absl::InvalidArgumentError(name + ": " + LastTlsError());
  }
  while (X509* next = PEM_read_bio_X509(bio.get(), nullptr, nullptr, nullptr)) {
    SSL_CTX_add0_chain_cert(context, next);  // takes ownership
  }
  ERR_clear_error();
  return absl::OkStatus();
}

absl::Status UseKey(SSL_CTX* context, const std::string& pem, const std::string& name, const std::string& cert_name) {
  const BioPtr bio = MemoryBio(pem);
  // No password callback may ever ask at a terminal.
  const KeyPtr key(PEM_read_bio_PrivateKey(bio.get(), nullptr, [](char*, int, int, void*) { return -1; }, nullptr));
  if (key == nullptr) return absl::InvalidArgumentError(name + ": no usable private key in it: " + LastTlsError());
  if (SSL_CTX_use_PrivateKey(context, key.get()) != 1 || SSL_CTX_check_private_key(context) != 1) {
    ERR_clear_error();
    return absl::InvalidArgumentError(name + ": the key does not belong to the certificate " + cert_name);
  }
  return absl::OkStatus();
}

absl::Status AddClientCas(SSL_CTX* context, X509_STORE* store, const std::string& pem, const std::string& name) {
  const BioPtr bio = MemoryBio(pem);
  int count = 0;
  while (true) {
    const X509Ptr ca(PEM_read_bio_X509(bio.get(), nullptr, nullptr, nullptr));
    if (ca == nullptr) break;
    X509_STORE_add_cert(store, ca.get());
    SSL_CTX_add_client_CA(context, ca.get());
    ++count;
  }
  ERR_clear_error();
  if (count == 0) return absl::InvalidArgumentError(name + ": no certificate in it");
  return absl::OkStatus();
}

int ChooseAlpn(SSL*, const unsigned char** out, unsigned char* out_length, const unsigned char* in,
               unsigned int in_length, void*) {
  static const unsigned char kHttp11[] = {8, 'h', 't', 't', 'p', '/', '1', '.', '1'};
  unsigned char* chosen = nullptr;
  if (SSL_select_next_proto(&chosen, out_length, kHttp11, sizeof kHttp11, in, in_length) != OPENSSL_NPN_NEGOTIATED) {
    return SSL_TLSEXT_ERR_ALERT_FATAL;
  }
  *out = chosen;
  return SSL_TLSEXT_ERR_OK;
}

void SetUp(SSL_CTX* context) {
  SSL_CTX_set_options(context, SSL_OP_NO_TICKET | SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION |
                                   SSL_OP_CIPHER_SERVER_PREFERENCE | SSL_OP_IGNORE_UNEXPECTED_EOF);
  // A resumed session would carry a certificate that was judged against older CAs.
  SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
  SSL_CTX_set_num_tickets(context, 0);
  SSL_CTX_set_mode(context, SSL_MODE_RELEASE_BUFFERS);
  SSL_CTX_set_alpn_select_cb(context, ChooseAlpn, nullptr);
  SSL_CTX_set_verify(context, SSL_VERIFY_PEER, [](int, X509_STORE_CTX*) { return 1; });
  // Replaces chain building during the handshake: VerifyPeer does it with the answer in hand.
  SSL_CTX_set_cert_verify_callback(context, [](X509_STORE_CTX*, void*) { return 1; }, nullptr);
}

std::string NameEntry(const ASN1_STRING* value) {
  unsigned char* utf8 = nullptr;
  const int length = ASN1_STRING_to_UTF8(&utf8, value);
  if (length < 0) return "";
  std::string text(reinterpret_cast<char*>(utf8), static_cast<std::size_t>(length));
  OPENSSL_free(utf8);
  return text;
}

void ReadSubject(X509* cert, PeerCertificate* peer) {
  const X509_NAME* subject = X509_get_subject_name(cert);
  for (int i = 0; i < X509_NAME_entry_count(subject); ++i) {
    const X509_NAME_ENTRY* entry = X509_NAME_get_entry(subject, i);
    const int kind = OBJ_obj2nid(X509_NAME_ENTRY_get_object(entry));
    if (kind == NID_commonName) peer->common_name = NameEntry(X509_NAME_ENTRY_get_data(entry));
    if (kind == NID_organizationName) peer->organizations.push_back(NameEntry(X509_NAME_ENTRY_get_data(entry)));
  }
  unsigned char digest[EVP_MAX_MD_SIZE];
  unsigned int length = 0;
  if (X509_digest(cert, EVP_sha256(), digest, &length) != 1) return;
  static constexpr char kHex[] = "0123456789abcdef";
  for (unsigned int i = 0; i < length; ++i) {
    peer->sha256_hex.push_back(kHex[digest[i] >> 4]);
    peer->sha256_hex.push_back(kHex[digest[i] & 15]);
  }
}

}  // namespace

TlsContext::~TlsContext() {
  SSL_CTX_free(context_);
  X509_STORE_free(client_cas_);
}

PeerCertificate TlsContext::VerifyPeer(SSL* ssl) const {
  PeerCertificate peer;
  const X509Ptr cert(SSL_get1_peer_certificate(ssl));
  if (cert == nullptr) return peer;
  peer.presented = true;
  if (client_cas_ == nullptr) return peer;
  X509_STORE_CTX* verify = X509_STORE_CTX_new();
  if (verify != nullptr && X509_STORE_CTX_init(verify, client_cas_, cert.get(), SSL_get_peer_cert_chain(ssl)) == 1) {
    X509_STORE_CTX_set_default(verify, "ssl_client");
    // A CA file may hold an intermediate only: it is trusted as it stands, as Go does.
    X509_STORE_CTX_set_flags(verify, X509_V_FLAG_PARTIAL_CHAIN);
    peer.verified = X509_verify_cert(verify) == 1;
  }
  X509_STORE_CTX_free(verify);
  ERR_clear_error();
  if (peer.verified) ReadSubject(cert.get(), &peer);
  return peer;
}

TlsReloader::TlsReloader(const KubeletServerConfig& config)
    : cert_file_(config.tls_cert_file),
      key_file_(config.tls_key_file),
      client_ca_file_(config.client_ca_file),
      min_version_(config.tls_min_version),
      cipher_suites_(config.tls_cipher_suites),
      cert_pem_(config.tls_cert_pem),
      key_pem_(config.tls_key_pem) {}

absl::Status TlsReloader::Load() {
  const std::lock_guard<std::mutex> lock(mutex_);
  stamps_ = Stamps();
  ASSIGN_OR_RETURN(current_, Build(cert_pem_, key_pem_));
  return absl::OkStatus();
}

std::shared_ptr<TlsContext> TlsReloader::Current() {
  const std::lock_guard<std::mutex> lock(mutex_);
  std::string stamps = Stamps();
  if (stamps == stamps_) return current_;
  stamps_ = std::move(stamps);
  absl::StatusOr<std::shared_ptr<TlsContext>> fresh = Build(cert_pem_, key_pem_);
  if (fresh.ok()) {
    current_ = std::move(fresh).value();
    Info("Loaded the changed serving certificate or client CA", {{"cert", cert_file_}, {"clientCA", client_ca_file_}});
  } else {
    Error("Kept the present serving certificate: the changed files can't be used",
          {{"err", std::string(fresh.status().message())}});
  }
  return current_;
}

absl::Status TlsReloader::UseCertificate(std::string cert_pem, std::string key_pem) {
  const std::lock_guard<std::mutex> lock(mutex_);
  ASSIGN_OR_RETURN(current_, Build(cert_pem, key_pem));
  cert_pem_ = std::move(cert_pem);
  key_pem_ = std::move(key_pem);
  return absl::OkStatus();
}

absl::Status TlsReloader::Harden(SSL_CTX* context) const {
  SetUp(context);
  ASSIGN_OR_RETURN(const int version, TlsMinVersion(min_version_));
  ASSIGN_OR_RETURN(std::string ciphers, TlsCipherList(cipher_suites_));
  // Only suites of TLS 1.3 are wanted: nothing older can come about.
  SSL_CTX_set_min_proto_version(context, ciphers.empty() ? TLS1_3_VERSION : version);
  if (ciphers.empty()) return absl::OkStatus();
  // Above level 0 OpenSSL 3 refuses the signatures of TLS 1.0 and 1.1; who asks for those knows.
  if (version < TLS1_2_VERSION) ciphers += ":@SECLEVEL=0";
  if (SSL_CTX_set_cipher_list(context, ciphers.c_str()) != 1) {
    return absl::InvalidArgumentError("tlsCipherSuites: " + LastTlsError());
  }
  return absl::OkStatus();
}

absl::StatusOr<std::shared_ptr<TlsContext>> TlsReloader::Build(const std::string& cert_pem,
                                                               const std::string& key_pem) const {
  std::shared_ptr<TlsContext> fresh(new TlsContext);
  fresh->context_ = SSL_CTX_new(TLS_server_method());
  if (fresh->context_ == nullptr) return absl::InternalError("OpenSSL: " + LastTlsError());
  RETURN_IF_ERROR(Harden(fresh->context_));
  std::string cert = cert_pem, key = key_pem;
  std::string cert_name = "the serving certificate", key_name = "the serving key";
  if (!cert_file_.empty()) {
    ASSIGN_OR_RETURN(cert, ReadPem(cert_file_, "tlsCertFile"));
    cert_name = "tlsCertFile " + cert_file_;
  }
  if (!key_file_.empty()) {
    ASSIGN_OR_RETURN(key, ReadPem(key_file_, "tlsPrivateKeyFile"));
    key_name = "tlsPrivateKeyFile " + key_file_;
  }
  RETURN_IF_ERROR(UseCertificateChain(fresh->context_, cert, cert_name));
  RETURN_IF_ERROR(UseKey(fresh->context_, key, key_name, cert_file_.empty() ? "given" : cert_file_));
  if (!client_ca_file_.empty()) {
    ASSIGN_OR_RETURN(const std::string cas, ReadPem(client_ca_file_, "clientCAFile"));
    fresh->client_cas_ = X509_STORE_new();
    RETURN_IF_ERROR(AddClientCas(fresh->context_, fresh->client_cas_, cas, "clientCAFile " + client_ca_file_));
  }
  return fresh;
}

std::string TlsReloader::Stamps() const {
  std::string stamps;
  for (const std::string& path : {cert_file_, key_file_, client_ca_file_}) {
    if (path.empty()) continue;
    struct stat info = {};
    if (stat(path.c_str(), &info) != 0) {
      stamps.append("-;");
      continue;
    }
    stamps.append(std::to_string(info.st_dev))
        .append(":")
        .append(std::to_string(info.st_ino))
        .append(",")
        .append(std::to_string(info.st_size))
        .append(",");
    stamps.append(std::to_string(info.st_mtim.tv_sec)).append(".").append(std::to_string(info.st_mtim.tv_nsec));
    stamps.append(";");
  }
  return stamps;
}

}  // namespace burstlet::kube
