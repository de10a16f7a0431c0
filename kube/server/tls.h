// The TLS side of the port: server contexts from files that may change, and the verification of client certificates.
//
// A client certificate is asked for, never demanded, and judged after the handshake, so that a wrong one is answered
// with 401 like the kubelet does, and a token can still identify the client. TLS 1.2 and newer, ALPN http/1.1, no
// tickets. Files are looked at with each new connection rather than watched: a stat each (some microseconds) sees
// renames, rewrites and swapped symlinks of mounted secrets alike, and cannot lose a notice. Threads: any (locked).
// Failure: errors name the file; when a changed file can't be used the present one stays. Source:
// pkg/kubelet/server/server.go, k8s.io/apiserver/pkg/server/dynamiccertificates.
#pragma once

#include <openssl/ssl.h>

#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "kube/server/authn.h"
#include "kube/server/kubelet_server.h"

namespace burstlet::kube {

/// What one connection uses, unchanged for its life.
class TlsContext {
 public:
  ~TlsContext();
  TlsContext(const TlsContext&) = delete;
  TlsContext& operator=(const TlsContext&) = delete;

  SSL_CTX* ssl_context() const { return context_; }
  /// Judges the certificate that the client of `ssl` presented: now, so that one that expires stops counting.
  PeerCertificate VerifyPeer(SSL* ssl) const;

 private:
  friend class TlsReloader;
  TlsContext() = default;
  SSL_CTX* context_ = nullptr;
  X509_STORE* client_cas_ = nullptr;
};

/// Hands out the present context, loading changed files anew.
class TlsReloader {
 public:
  explicit TlsReloader(const KubeletServerConfig& config);
  /// kNotFound and kInvalidArgument name the file.
  absl::Status Load();
  /// The newest usable context. Looks at the files' stamps (a stat each).
  std::shared_ptr<TlsContext> Current();
  /// Another certificate in place of the one that the configuration gave as text. kInvalidArgument: nothing changed.
  absl::Status UseCertificate(std::string cert_pem, std::string key_pem);

 private:
  absl::StatusOr<std::shared_ptr<TlsContext>> Build(const std::string& cert_pem, const std::string& key_pem) const;
  absl::Status Harden(SSL_CTX* context) const;
  std::string Stamps() const;

  const std::string cert_file_, key_file_, client_ca_file_, min_version_;
  const std::vector<std::string> cipher_suites_;
  std::mutex mutex_;
  std::string cert_pem_, key_pem_;
  std::shared_ptr<TlsContext> current_;
  std::string stamps_;
};

}  // namespace burstlet::kube
