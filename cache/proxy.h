// HTTPS_PROXY, HTTP_PROXY and NO_PROXY, read as Go's net/http does (golang.org/x/net/http/httpproxy), since that is
// what users have configured for their other container tools. Pure. Failure: an unreadable proxy URL is an error at
// the first use.
#pragma once

#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "cache/url.h"

namespace burstlet::cache {

struct ProxyConfig {
  std::string http_proxy;
  std::string https_proxy;
  std::string no_proxy;

  /// From the environment, upper case first.
  static ProxyConfig FromEnvironment();
  /// The proxy to reach `url` by, or nothing. Loopback is never proxied.
  absl::StatusOr<std::optional<Url>> For(const Url& url) const;
};

}  // namespace burstlet::cache
