// An http(s) URL in its parts: what redirects, realms and proxies need to be judged by. Pure, fuzz-safe.
// Failure: kInvalidArgument naming what is wrong.
#pragma once

#include <string>
#include <string_view>

#include "absl/status/statusor.h"

namespace burstlet::cache {

struct Url {
  std::string scheme;  // "http" or "https"
  std::string host;    // lower case; an IPv6 address keeps its brackets
  int port = 0;
  std::string target;  // path and query, starting with "/"
  std::string user;    // from "user:password@", as written; only proxies may have it
  std::string password;

  bool tls() const { return scheme == "https"; }
  bool default_port() const { return port == (tls() ? 443 : 80); }
  /// "host" or "host:port", as in a Host header.
  std::string Authority() const;
  std::string Text() const { return scheme + "://" + Authority() + target; }
  bool SameOrigin(const Url& other) const { return scheme == other.scheme && host == other.host && port == other.port; }
  /// The host without IPv6 brackets.
  std::string BareHost() const;
};

absl::StatusOr<Url> ParseUrl(std::string_view text);
/// A Location header seen from `base`.
absl::StatusOr<Url> ResolveUrl(const Url& base, std::string_view location);
/// Percent-encodes for a query value or form field.
std::string UrlEncode(std::string_view text);
/// localhost, 127.0.0.0/8, [::1].
bool IsLoopbackHost(std::string_view host);

}  // namespace burstlet::cache
