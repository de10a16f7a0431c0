#include "kube/pem.h"

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>

#include <memory>

#include "absl/strings/str_cat.h"
#include "metrics/status.h"

namespace burstlet::kube {
namespace {

template <typename T, void (*Free)(T*)>
struct Deleter {
  void operator()(T* value) const { Free(value); }
};
using Key = std::unique_ptr<EVP_PKEY, Deleter<EVP_PKEY, EVP_PKEY_free>>;
using Request = std::unique_ptr<X509_REQ, Deleter<X509_REQ, X509_REQ_free>>;
using Memory = std::unique_ptr<BIO, Deleter<BIO, BIO_free_all>>;

absl::Status OpenSslError(const char* what) {
  char text[256];
  ERR_error_string_n(ERR_get_error(), text, sizeof(text));
  ERR_clear_error();
  return absl::InternalError(absl::StrCat(what, ": ", text));
}

std::string TextOf(BIO* memory) {
  char* data = nullptr;
  const long size = BIO_get_mem_data(memory, &data);
  return std::string(data, static_cast<std::size_t>(size));
}

absl::StatusOr<Key> NewKey(const std::string& type) {
  Key key;
  if (type == "RSA3072") {
    key.reset(EVP_RSA_gen(3072));
  } else if (type == "RSA4096") {
    key.reset(EVP_RSA_gen(4096));
  } else if (type == "ECDSAP256") {
    key.reset(EVP_EC_gen("P-256"));
  } else if (type == "ECDSAP384") {
    key.reset(EVP_EC_gen("P-384"));
  } else if (type == "ECDSAP521") {
    key.reset(EVP_EC_gen("P-521"));
  } else if (type == "ED25519") {
    key.reset(EVP_PKEY_Q_keygen(nullptr, nullptr, "ED25519"));
  } else {
    return absl::InvalidArgumentError(absl::StrCat("unknown key type \"", type, "\""));
  }
  if (!key) return OpenSslError("making a key");
  return key;
}

const EVP_MD* DigestFor(const std::string& type) {
  if (type == "ED25519") return nullptr;
  if (type == "ECDSAP384") return EVP_sha384();
  return type == "ECDSAP521" ? EVP_sha512() : EVP_sha256();
}

}  // namespace

std::vector<std::string> PemBlocks(const std::string& text) {
  std::vector<std::string> blocks;
  const Memory memory(BIO_new_mem_buf(text.data(), static_cast<int>(text.size())));
  while (memory && BIO_eof(memory.get()) == 0) {
    char* name = nullptr;
    char* header = nullptr;
    unsigned char* data = nullptr;
    long size = 0;
    if (PEM_read_bio(memory.get(), &name, &header, &data, &size) == 1) {
      blocks.emplace_back(reinterpret_cast<const char*>(data), static_cast<std::size_t>(size));
    }
    OPENSSL_free(name);
    OPENSSL_free(header);
    OPENSSL_free(data);
  }
  ERR_clear_error();  // the end of the text is an error there
  return blocks;
}

std::string CertificatesPem(const std::vector<std::string>& ders) {
  const Memory memory(BIO_new(BIO_s_mem()));
  for (const std::string& der : ders) {
    PEM_write_bio(memory.get(), "CERTIFICATE", "", reinterpret_cast<const unsigned char*>(der.data()),
                  static_cast<long>(der.size()));
  }
  return TextOf(memory.get());
}

absl::StatusOr<KeyAndProof> MakeKeyAndProof(const std::string& key_type) {
  ASSIGN_OR_RETURN(const Key key, NewKey(key_type));
  const Request request(X509_REQ_new());
  if (!request || X509_REQ_set_version(request.get(), X509_REQ_VERSION_1) != 1 ||
      X509_REQ_set_pubkey(request.get(), key.get()) != 1 ||
      X509_REQ_sign(request.get(), key.get(), DigestFor(key_type)) <= 0) {
    return OpenSslError("making a stub PKCS#10 request");
  }
  const Memory key_out(BIO_new(BIO_s_mem()));
  const Memory request_out(BIO_new(BIO_s_mem()));
  if (PEM_write_bio_PKCS8PrivateKey(key_out.get(), key.get(), nullptr, nullptr, 0, nullptr, nullptr) != 1 ||
      i2d_X509_REQ_bio(request_out.get(), request.get()) != 1) {
    return OpenSslError("writing a key");
  }
  return KeyAndProof{TextOf(key_out.get()), TextOf(request_out.get())};
}

}  // namespace burstlet::kube
