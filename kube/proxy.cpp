// Which proxy a request to the API server takes, by the environment's rules (kube/credentials.h).
#include <arpa/inet.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <cstdlib>
#include <string_view>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "kube/credentials.h"

namespace burstlet::kube {
namespace {

std::string Lower(std::string text) {
  std::transform(text.begin(), text.end(), text.begin(), [](unsigned char c) { return std::tolower(c); });
  return text;
}

struct Host {
  std::string name;
  std::string port;
};

/// "https://user@[::1]:6443/path" -> {"::1", "6443"}.
Host HostOf(const std::string& url) {
  std::string rest = url;
  if (const auto scheme = rest.find("://"); scheme != std::string::npos) rest = rest.substr(scheme + 3);
  rest = rest.substr(0, rest.find('/'));
  if (const auto at = rest.rfind('@'); at != std::string::npos) rest = rest.substr(at + 1);
  Host host;
  if (!rest.empty() && rest[0] == '[') {
    const auto close = rest.find(']');
    host.name = rest.substr(1, close - 1);
    rest = close == std::string::npos ? "" : rest.substr(close + 1);
  } else {
    const auto colon = rest.rfind(':');
    host.name = rest.substr(0, colon);
    rest = colon == std::string::npos ? "" : rest.substr(colon);
  }
  if (rest.size() > 1 && rest[0] == ':') host.port = rest.substr(1);
  host.name = Lower(host.name);
  return host;
}

/// The bytes of an address (4 or 16), or none.
std::vector<unsigned char> Address(const std::string& text) {
  std::array<unsigned char, 16> bytes{};
  if (inet_pton(AF_INET, text.c_str(), bytes.data()) == 1) return {bytes.begin(), bytes.begin() + 4};
  if (inet_pton(AF_INET6, text.c_str(), bytes.data()) == 1) return {bytes.begin(), bytes.end()};
  return {};
}

bool InNetwork(const std::vector<unsigned char>& address, const std::string& network) {
  const auto slash = network.find('/');
  if (slash == std::string::npos) return false;
  const auto base = Address(network.substr(0, slash));
  const std::string bits_text = network.substr(slash + 1);
  const int bits = std::atoi(bits_text.c_str());
  if (base.empty() || base.size() != address.size() || bits_text.empty() || bits < 0 ||
      bits > static_cast<int>(base.size() * 8)) {
    return false;
  }
  for (int bit = 0; bit < bits; ++bit) {
    const auto byte = static_cast<std::size_t>(bit / 8);
    const int mask = 0x80 >> (bit % 8);
    if ((base[byte] & mask) != (address[byte] & mask)) return false;
  }
  return true;
}

bool IsLoopback(const std::vector<unsigned char>& address) {
  if (address.size() == 4) return address[0] == 127;
  return !address.empty() && std::all_of(address.begin(), address.end() - 1, [](unsigned char b) { return b == 0; }) &&
         address.back() == 1;
}

bool Bypasses(const Host& host, const std::string& no_proxy) {
  const auto address = Address(host.name);
  if (host.name == "localhost" || IsLoopback(address)) return true;
  for (const absl::string_view part : absl::StrSplit(no_proxy, ',')) {
    std::string rule = Lower(std::string(absl::StripAsciiWhitespace(part)));
    if (rule.empty()) continue;
    if (rule == "*") return true;
    if (!address.empty() && InNetwork(address, rule)) return true;
    if (const auto colon = rule.rfind(':'); colon != std::string::npos && Address(rule).empty()) {
      if (rule.substr(colon + 1) != host.port) continue;
      rule = rule.substr(0, colon);
    }
    if (!address.empty()) {
      if (Address(rule) == address) return true;
      continue;
    }
    // "example.com" names the host and all below it, ".example.com" and "*.example.com" only those below.
    if (rule.rfind("*.", 0) == 0) rule = rule.substr(1);
    if (rule == host.name || absl::EndsWith(host.name, rule[0] == '.' ? rule : "." + rule)) return true;
  }
  return false;
}

}  // namespace

absl::Status CheckProxy(const std::string& proxy) {
  if (proxy.empty() || absl::StartsWith(proxy, "http://")) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat("proxy ", proxy, ": only http:// proxies are supported (requests to the server stay encrypted)"));
}

ServerAddress ParseServer(const std::string& server) {
  ServerAddress address;
  address.scheme = server.substr(0, server.find("://"));
  const Host host = HostOf(server);
  address.host = host.name;
  address.port = host.port;
  if (address.port.empty()) address.port = address.scheme == "https" ? "443" : "80";
  return address;
}

std::string ProxyFor(const std::string& server, const std::string& configured,
                     const std::function<std::string(const char* name)>& get) {
  if (!configured.empty()) return configured;
  const auto either = [&get](const char* upper, const char* lower) {
    const std::string value = get(upper);
    return value.empty() ? get(lower) : value;
  };
  const bool tls = server.rfind("https://", 0) == 0;
  std::string proxy = tls ? either("HTTPS_PROXY", "https_proxy") : either("HTTP_PROXY", "http_proxy");
  if (proxy.empty() || Bypasses(HostOf(server), either("NO_PROXY", "no_proxy"))) return "";
  if (proxy.find("://") == std::string::npos) proxy = "http://" + proxy;
  return proxy;
}

}  // namespace burstlet::kube
