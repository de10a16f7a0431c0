// Who is asking: the user behind a client certificate or a bearer token.
//
// The order is the kubelet's: certificate, then token, then (only where allowed, and only without any credential)
// anonymous. A wrong credential never becomes anonymous. Threads: any. Failure: no user; the caller answers 401.
// Source: pkg/kubelet/server/auth.go, apiserver/pkg/authentication/{authenticatorfactory,request/x509,token/cache}.
#pragma once

#include <chrono>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "kube/api/auth.h"
#include "kube/server/http_message.h"
#include "kube/server/kubelet_server.h"
#include "kube/server/review_cache.h"

namespace burstlet::kube {

/// Who is at the other end: a verified client certificate, as far as identity goes, or the host's own root.
struct PeerCertificate {
  bool local_root = false;  // by the agent's own socket: may do all, without any review
  bool presented = false;
  bool verified = false;  // chain, dates and client usage, against the configured CAs
  std::string common_name;
  std::vector<std::string> organizations;
  std::string sha256_hex;
};

class Authenticator {
 public:
  using ReviewToken = std::function<void(std::string token, Reply<TokenReviewStatus>)>;
  using Callback = std::function<void(std::optional<UserInfo>)>;

  /// `lifetime` is how long a review's answer counts, good or bad.
  Authenticator(bool allow_token, bool allow_anonymous, ReviewToken review, std::chrono::seconds lifetime);

  /// Completes at once or when the review is back, on any thread.
  void Authenticate(const PeerCertificate& peer, const HttpRequest& request, Callback callback);

 private:
  bool allow_token_;
  bool allow_anonymous_;
  ReviewToken review_;
  ReviewCache<TokenReviewStatus> cache_;
};

/// The token of "Authorization: Bearer T"; nothing when absent or of another scheme.
std::optional<std::string> BearerToken(const HttpRequest& request);
/// Common name and organizations as user and groups, nothing without a common name.
std::optional<UserInfo> CertificateUser(const PeerCertificate& peer);

}  // namespace burstlet::kube
