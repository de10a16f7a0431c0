#include "kube/server/tls_options.h"

#include <openssl/ssl.h>

#include <map>
#include <memory>

namespace burstlet::kube {
namespace {

constexpr char kDefaultSuites[] = "ECDHE+AESGCM:ECDHE+CHACHA20";
constexpr char kTls13[] = "";

/// crypto/tls' names and OpenSSL's.
const std::map<std::string, std::string>& Suites() {
  static const std::map<std::string, std::string> suites = {
      {"TLS_AES_128_GCM_SHA256", kTls13},
      {"TLS_AES_256_GCM_SHA384", kTls13},
      {"TLS_CHACHA20_POLY1305_SHA256", kTls13},
      {"TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA", "ECDHE-ECDSA-AES128-SHA"},
      {"TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA", "ECDHE-ECDSA-AES256-SHA"},
      {"TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA", "ECDHE-RSA-AES128-SHA"},
      {"TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA", "ECDHE-RSA-AES256-SHA"},
      {"TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256", "ECDHE-ECDSA-AES128-GCM-SHA256"},
      {"TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384", "ECDHE-ECDSA-AES256-GCM-SHA384"},
      {"TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256", "ECDHE-RSA-AES128-GCM-SHA256"},
      {"TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384", "ECDHE-RSA-AES256-GCM-SHA384"},
      {"TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305", "ECDHE-RSA-CHACHA20-POLY1305"},
      {"TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256", "ECDHE-RSA-CHACHA20-POLY1305"},
      {"TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305", "ECDHE-ECDSA-CHACHA20-POLY1305"},
      {"TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256", "ECDHE-ECDSA-CHACHA20-POLY1305"},
      // Those that Go calls insecure.
      {"TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA256", "ECDHE-ECDSA-AES128-SHA256"},
      {"TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA256", "ECDHE-RSA-AES128-SHA256"},
      {"TLS_RSA_WITH_AES_128_CBC_SHA", "AES128-SHA"},
      {"TLS_RSA_WITH_AES_256_CBC_SHA", "AES256-SHA"},
      {"TLS_RSA_WITH_AES_128_CBC_SHA256", "AES128-SHA256"},
      {"TLS_RSA_WITH_AES_128_GCM_SHA256", "AES128-GCM-SHA256"},
      {"TLS_RSA_WITH_AES_256_GCM_SHA384", "AES256-GCM-SHA384"},
      {"TLS_ECDHE_ECDSA_WITH_RC4_128_SHA", "ECDHE-ECDSA-RC4-SHA"},
      {"TLS_ECDHE_RSA_WITH_RC4_128_SHA", "ECDHE-RSA-RC4-SHA"},
      {"TLS_ECDHE_RSA_WITH_3DES_EDE_CBC_SHA", "ECDHE-RSA-DES-CBC3-SHA"},
      {"TLS_RSA_WITH_3DES_EDE_CBC_SHA", "DES-CBC3-SHA"},
      {"TLS_RSA_WITH_RC4_128_SHA", "RC4-SHA"},
  };
  return suites;
}

bool InThisOpenSsl(const std::string& suite) {
  const std::unique_ptr<SSL_CTX, decltype(&SSL_CTX_free)> context(SSL_CTX_new(TLS_server_method()), SSL_CTX_free);
  return context && SSL_CTX_set_cipher_list(context.get(), suite.c_str()) == 1;
}

}  // namespace

absl::StatusOr<int> TlsMinVersion(const std::string& name) {
  static const std::map<std::string, int> versions = {{"VersionTLS10", TLS1_VERSION},
                                                      {"VersionTLS11", TLS1_1_VERSION},
                                                      {"", TLS1_2_VERSION},
                                                      {"VersionTLS12", TLS1_2_VERSION},
                                                      {"VersionTLS13", TLS1_3_VERSION}};
  const auto found = versions.find(name);
  if (found == versions.end()) return absl::InvalidArgumentError("unknown tls version \"" + name + "\"");
  return found->second;
}

absl::StatusOr<std::string> TlsCipherList(const std::vector<std::string>& names) {
  if (names.empty()) return std::string(kDefaultSuites);
  std::string list;
  for (const std::string& name : names) {
    const auto found = Suites().find(name);
    if (found == Suites().end()) {
      return absl::InvalidArgumentError("Cipher suite " + name + " not supported or doesn't exist");
    }
    if (found->second == kTls13) continue;
    if (!InThisOpenSsl(found->second)) {
      return absl::InvalidArgumentError("Cipher suite " + name + " is not in this system's OpenSSL");
    }
    list.append(list.empty() ? "" : ":").append(found->second);
  }
  return list;
}

}  // namespace burstlet::kube
