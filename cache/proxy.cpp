#include "cache/proxy.h"

#include <arpa/inet.h>

#include <cstdlib>
#include <cstring>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "metrics/status.h"

namespace burstlet::cache {
namespace {

std::string Env(const char* upper, const char* lower) {
  for (const char* name : {upper, lower}) {
    const char* value = std::getenv(name);
    if (value != nullptr && *value != '\0') return value;
  }
  return "";
}

/// An address as 16 bytes (IPv4 mapped), or false.
bool ParseAddress(const std::string& text, unsigned char out[16]) {
  if (inet_pton(AF_INET6, text.c_str(), out) == 1) return true;
  std::memset(out, 0, 10);
  out[10] = out[11] = 0xff;
  return inet_pton(AF_INET, text.c_str(), out + 12) == 1;
}

bool InNetwork(const std::string& address, const std::string& cidr) {
  const std::size_t slash = cidr.find('/');
  unsigned char network[16], host[16];
  int bits = 0;
  if (!absl::SimpleAtoi(cidr.substr(slash + 1), &bits) || bits < 0) return false;
  if (!ParseAddress(cidr.substr(0, slash), network) || !ParseAddress(address, host)) return false;
  if (cidr.find(':') == std::string::npos) bits += 96;
  if (bits > 128) return false;
  for (int i = 0; i < bits; ++i) {
    const int mask = 0x80 >> (i % 8);
    if ((network[i / 8] & mask) != (host[i / 8] & mask)) return false;
  }
  return true;
}

bool EntryMatches(std::string entry, const Url& url) {
  if (entry == "*") return true;
  const std::string host = url.BareHost();
  if (entry.find('/') != std::string::npos) return InNetwork(host, entry);
  unsigned char raw[16];
  if (!ParseAddress(entry, raw)) {
    const std::size_t colon = entry.rfind(':');
    if (colon != std::string::npos) {
      if (entry.substr(colon + 1) != std::to_string(url.port)) return false;
      entry = entry.substr(0, colon);
    }
  }
  if (entry.size() > 2 && entry.front() == '[' && entry.back() == ']') entry = entry.substr(1, entry.size() - 2);
  if (entry.substr(0, 2) == "*.") entry = entry.substr(1);
  const bool suffix_only = !entry.empty() && entry.front() == '.';
  const std::string suffix = suffix_only ? entry : "." + entry;
  if (!suffix_only && host == entry) return true;
  return host.size() > suffix.size() && host.compare(host.size() - suffix.size(), suffix.size(), suffix) == 0;
}

}  // namespace

ProxyConfig ProxyConfig::FromEnvironment() {
  ProxyConfig config;
  config.http_proxy = Env("HTTP_PROXY", "http_proxy");
  config.https_proxy = Env("HTTPS_PROXY", "https_proxy");
  config.no_proxy = Env("NO_PROXY", "no_proxy");
  return config;
}

absl::StatusOr<std::optional<Url>> ProxyConfig::For(const Url& url) const {
  const std::string& proxy = url.tls() ? https_proxy : http_proxy;
  if (proxy.empty() || IsLoopbackHost(url.host)) return std::optional<Url>();
  std::string rest = no_proxy;
  while (!rest.empty()) {
    const std::size_t comma = rest.find(',');
    std::string entry(absl::StripAsciiWhitespace(rest.substr(0, comma)));
    rest = comma == std::string::npos ? "" : rest.substr(comma + 1);
    if (!entry.empty() && EntryMatches(absl::AsciiStrToLower(entry), url)) return std::optional<Url>();
  }
  const std::string text = proxy.find("://") == std::string::npos ? "http://" + proxy : proxy;
  absl::StatusOr<Url> parsed = ParseUrl(text);
  if (!parsed.ok()) return absl::InvalidArgumentError("the proxy in the environment is no valid URL");
  if (parsed->tls()) return absl::UnimplementedError("a proxy that is itself spoken to in TLS is not supported");
  return std::optional<Url>(*std::move(parsed));
}

}  // namespace burstlet::cache
