#include "kube/server/authn.h"

#include <openssl/sha.h>

#include <algorithm>
#include <utility>

#include "metrics/log.h"

namespace burstlet::kube {
namespace {

constexpr std::size_t kMaxTokens = 4096;
constexpr std::size_t kMaxOpenReviews = 512;
constexpr std::size_t kMaxTokenBytes = 64 * 1024;
constexpr char kAuthenticated[] = "system:authenticated";

void AddAuthenticatedGroup(UserInfo* user) {
  if (std::find(user->groups.begin(), user->groups.end(), kAuthenticated) == user->groups.end()) {
    user->groups.emplace_back(kAuthenticated);
  }
}

UserInfo Anonymous() {
  UserInfo user;
  user.username = "system:anonymous";
  user.groups = {"system:unauthenticated"};
  return user;
}

// Tokens are secrets: only their digest is kept.
std::string Digest(const std::string& token) {
  std::string digest(SHA256_DIGEST_LENGTH, '\0');
  SHA256(reinterpret_cast<const unsigned char*>(token.data()), token.size(),
         reinterpret_cast<unsigned char*>(digest.data()));
  return digest;
}

}  // namespace

Authenticator::Authenticator(bool allow_token, bool allow_anonymous, ReviewToken review, std::chrono::seconds lifetime)
    : allow_token_(allow_token && review != nullptr),
      allow_anonymous_(allow_anonymous),
      review_(std::move(review)),
      cache_(kMaxTokens, kMaxOpenReviews, [lifetime](const TokenReviewStatus&) { return lifetime; }) {}

void Authenticator::Authenticate(const PeerCertificate& peer, const HttpRequest& request, Callback callback) {
  if (peer.verified) {
    if (std::optional<UserInfo> user = CertificateUser(peer)) {
      AddAuthenticatedGroup(&*user);
      callback(std::move(user));
      return;
    }
  }
  const std::optional<std::string> token = BearerToken(request);
  if (allow_token_ && token.has_value() && token->size() <= kMaxTokenBytes) {
    cache_.Get(
        Digest(*token), [this, token](ReviewCache<TokenReviewStatus>::Callback done) { review_(*token, done); },
        [callback = std::move(callback)](absl::StatusOr<TokenReviewStatus> review) {
          if (!review.ok()) {
            Warn("Could not review the token of a request", {{"err", std::string(review.status().message())}});
            callback(std::nullopt);
            return;
          }
          if (!review->authenticated) {
            callback(std::nullopt);
            return;
          }
          UserInfo user = review->user;
          AddAuthenticatedGroup(&user);
          callback(std::move(user));
        });
    return;
  }
  const bool bad_credential = token.has_value() || (peer.presented && !peer.verified);
  if (allow_anonymous_ && !bad_credential) {
    callback(Anonymous());
    return;
  }
  callback(std::nullopt);
}

std::optional<std::string> BearerToken(const HttpRequest& request) {
  const std::string value = request.Header("Authorization");
  const std::size_t space = value.find(' ');
  if (space == std::string::npos || !EqualsIgnoreCase(std::string_view(value).substr(0, space), "bearer")) {
    return std::nullopt;
  }
  const std::size_t start = value.find_first_not_of(' ', space);
  if (start == std::string::npos) return std::nullopt;
  std::string token = value.substr(start, value.find(' ', start) - start);
  if (token.empty()) return std::nullopt;
  return token;
}

std::optional<UserInfo> CertificateUser(const PeerCertificate& peer) {
  if (peer.common_name.empty()) return std::nullopt;
  UserInfo user;
  user.username = peer.common_name;
  user.groups = peer.organizations;
  if (!peer.sha256_hex.empty()) {
    // KEP-4193: the credential's id travels with the identity into audit logs.
    user.extra["authentication.kubernetes.io/credential-id"] = {"X509SHA256=" + peer.sha256_hex};
  }
  return user;
}

}  // namespace burstlet::kube
