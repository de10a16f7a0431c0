// From a challenge to an Authorization header: basic, or a bearer token from the realm (distribution's token
// authentication specification), cached until shortly before it ends.
//
// A realm is named by the registry, so it is judged before it gets a password. Threads: any. Failure:
// kUnauthenticated, kPermissionDenied (hostile realm), the transport's.
#pragma once

#include <atomic>
#include <chrono>
#include <functional>
#include <map>
#include <mutex>
#include <string>

#include "absl/status/statusor.h"
#include "cache/auth_challenge.h"
#include "cache/http_transport.h"
#include "cache/image_store.h"

namespace burstlet::cache {

/// True when `host[:port]` may be spoken to in plain HTTP.
bool AllowsPlainHttp(const RegistryConfig& config, const Url& url);

/// Sends a GET or POST and follows redirects (at most five): Authorization stays with the first origin, TLS is not
/// left for plain HTTP unless the target is configured so.
absl::StatusOr<std::unique_ptr<HttpResponse>> SendFollowing(HttpTransport& transport, const RegistryConfig& config,
                                                            HttpRequest request, const std::atomic<bool>* cancelled);

/// An error answer of a registry or realm as a status with its own words.
absl::Status ResponseError(HttpResponse& response, const std::string& what);

class TokenSource {
 public:
  TokenSource(HttpTransport& transport, const RegistryConfig& config) : transport_(transport), config_(config) {}

  /// The header's value for `challenges` of a registry at `registry`. `fresh` passes the cache over.
  absl::StatusOr<std::string> Authorize(const std::vector<AuthChallenge>& challenges, const Url& registry,
                                        const std::string& repository, const Credentials& credentials, bool fresh,
                                        const std::atomic<bool>* cancelled);

 private:
  struct Token {
    std::string value;
    std::chrono::steady_clock::time_point until;
  };

  absl::Status CheckRealm(const Url& realm, const Url& registry) const;
  absl::StatusOr<Token> Fetch(const Url& realm, const std::string& service, const std::string& scope,
                              const Credentials& credentials, const std::atomic<bool>* cancelled);

  HttpTransport& transport_;
  const RegistryConfig& config_;
  std::mutex mutex_;
  std::map<std::string, Token> tokens_;  // by a digest of realm, service, scope and credentials
};

}  // namespace burstlet::cache
