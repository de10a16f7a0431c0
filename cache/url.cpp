#include "cache/url.h"

#include <arpa/inet.h>

#include <algorithm>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"

namespace burstlet::cache {
namespace {

constexpr std::size_t kMaxUrl = 16384;

absl::Status Bad(std::string_view text, const char* why) {
  return absl::InvalidArgumentError(absl::StrCat("invalid URL \"", std::string(text.substr(0, 200)), "\": ", why));
}

bool IsHostChar(char c) {
  return absl::ascii_isalnum(static_cast<unsigned char>(c)) || c == '-' || c == '.' || c == '_';
}

}  // namespace

std::string Url::Authority() const { return default_port() ? host : absl::StrCat(host, ":", port); }

std::string Url::BareHost() const {
  return host.size() > 2 && host.front() == '[' ? host.substr(1, host.size() - 2) : host;
}

absl::StatusOr<Url> ParseUrl(std::string_view text) {
  if (text.size() > kMaxUrl) return Bad(text, "too long");
  // Spaces, controls and raw bytes would split a request line.
  if (std::any_of(text.begin(), text.end(), [](char c) { return c <= 0x20 || c >= 0x7f; })) {
    return Bad(text, "unprintable character");
  }
  Url url;
  const std::size_t colon = text.find("://");
  if (colon == std::string_view::npos) return Bad(text, "no scheme");
  url.scheme = absl::AsciiStrToLower(std::string(text.substr(0, colon)));
  if (url.scheme != "http" && url.scheme != "https") return Bad(text, "scheme is neither http nor https");
  std::string_view rest = text.substr(colon + 3);
  const std::size_t end = rest.find_first_of("/?#");
  std::string_view authority = rest.substr(0, end);
  std::string_view target = end == std::string_view::npos ? std::string_view() : rest.substr(end);
  target = target.substr(0, target.find('#'));
  url.target = target.empty() || target[0] != '/' ? "/" + std::string(target) : std::string(target);
  const std::size_t at = authority.rfind('@');
  if (at != std::string_view::npos) {
    const std::string_view login = authority.substr(0, at);
    const std::size_t split = login.find(':');
    url.user = std::string(login.substr(0, split));
    if (split != std::string_view::npos) url.password = std::string(login.substr(split + 1));
    authority = authority.substr(at + 1);
  }
  std::string_view port;
  if (!authority.empty() && authority[0] == '[') {
    const std::size_t close = authority.find(']');
    if (close == std::string_view::npos) return Bad(text, "bad host");
    in6_addr address;
    url.host = std::string(authority.substr(0, close + 1));
    if (inet_pton(AF_INET6, std::string(authority.substr(1, close - 1)).c_str(), &address) != 1)
      return Bad(text, "bad host");
    if (close + 1 < authority.size()) {
      if (authority[close + 1] != ':') return Bad(text, "bad host");
      port = authority.substr(close + 2);
    }
  } else {
    const std::size_t split = authority.find(':');
    url.host = absl::AsciiStrToLower(std::string(authority.substr(0, split)));
    if (split != std::string_view::npos) port = authority.substr(split + 1);
    if (url.host.empty() || !std::all_of(url.host.begin(), url.host.end(), IsHostChar)) return Bad(text, "bad host");
  }
  url.port = url.tls() ? 443 : 80;
  if (!port.empty()) {
    if (port.size() > 5 || !std::all_of(port.begin(), port.end(), [](char c) { return c >= '0' && c <= '9'; })) {
      return Bad(text, "bad port");
    }
    url.port = std::stoi(std::string(port));
    if (url.port < 1 || url.port > 65535) return Bad(text, "bad port");
  }
  return url;
}

absl::StatusOr<Url> ResolveUrl(const Url& base, std::string_view location) {
  if (location.empty()) return Bad(location, "empty");
  const std::size_t mark = location.find_first_of(":/?#");
  if (mark != std::string_view::npos && location[mark] == ':') return ParseUrl(location);  // it has a scheme
  if (location.substr(0, 2) == "//") return ParseUrl(base.scheme + ":" + std::string(location));
  std::string target;
  if (location[0] == '/') {
    target = std::string(location);
  } else {
    const std::string path = base.target.substr(0, base.target.find('?'));
    target =
        location[0] == '?' ? path + std::string(location) : path.substr(0, path.rfind('/') + 1) + std::string(location);
  }
  return ParseUrl(base.scheme + "://" + base.Authority() + target);
}

std::string UrlEncode(std::string_view text) {
  static constexpr char kHex[] = "0123456789ABCDEF";
  std::string out;
  for (const char c : text) {
    if (absl::ascii_isalnum(static_cast<unsigned char>(c)) || c == '-' || c == '.' || c == '_' || c == '~') {
      out += c;
    } else {
      out += '%';
      out += kHex[static_cast<unsigned char>(c) >> 4];
      out += kHex[static_cast<unsigned char>(c) & 15];
    }
  }
  return out;
}

bool IsLoopbackHost(std::string_view host) {
  if (host == "localhost" || host == "[::1]" || host == "::1") return true;
  in_addr address;
  return inet_pton(AF_INET, std::string(host).c_str(), &address) == 1 && (ntohl(address.s_addr) >> 24) == 127;
}

}  // namespace burstlet::cache
