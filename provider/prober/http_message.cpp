#include "provider/prober/http_message.h"

#include <algorithm>
#include <cctype>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "provider/prober/dialer.h"
#include "provider/prober/outcome.h"

namespace burstlet::provider {
namespace {

constexpr char kVersion[] = "1.37";

/// textproto.CanonicalMIMEHeaderKey: "x-my-header" is "X-My-Header"; a name with odd characters stays as it is.
std::string CanonicalName(const std::string& name) {
  std::string result = name;
  bool first = true;
  for (char& c : result) {
    const bool token = std::isalnum(static_cast<unsigned char>(c)) != 0 ||
                       std::string_view("!#$%&'*+-.^_`|~").find(c) != std::string_view::npos;
    if (!token) return name;
    c = first ? absl::ascii_toupper(static_cast<unsigned char>(c)) : absl::ascii_tolower(static_cast<unsigned char>(c));
    first = c == '-';
  }
  return result;
}

bool IsHex(char c) { return std::isxdigit(static_cast<unsigned char>(c)) != 0; }

bool ValidEscapes(std::string_view text) {
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '%' && (i + 2 >= text.size() || !IsHex(text[i + 1]) || !IsHex(text[i + 2]))) return false;
  }
  return true;
}

std::string Escape(std::string_view text, std::string_view extra) {
  std::string result;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    const bool odd = byte <= 0x20 || byte >= 0x7f ||
                     std::string_view("\"<>\\^`{|}").find(c) != std::string_view::npos ||
                     extra.find(c) != std::string_view::npos;
    if (odd) {
      absl::StrAppend(&result, absl::StrFormat("%%%02X", byte));
    } else {
      result += c;
    }
  }
  return result;
}

/// The path of the API as a request target: with its query, without a fragment.
std::string Target(std::string_view path) {
  if (!ValidEscapes(path)) return absl::StrCat(path.substr(0, 1) == "/" ? "" : "/", Escape(path, "%?#"));
  path = path.substr(0, path.find('#'));
  std::string target = Escape(path, "");
  if (target.empty() || target[0] != '/') target.insert(0, "/");
  return target;
}

/// A header's value must not end its line.
std::string OneLine(std::string value) {
  std::replace_if(value.begin(), value.end(), [](char c) { return c == '\r' || c == '\n' || c == '\0'; }, ' ');
  return std::string(absl::StripAsciiWhitespace(value));
}

/// Those that Go's client writes itself, or leaves out.
bool WrittenApart(const std::string& name) {
  for (const char* apart : {"Host", "User-Agent", "Content-Length", "Transfer-Encoding", "Trailer", "Connection"}) {
    if (name == apart) return true;
  }
  return false;
}

}  // namespace

std::string HttpRequest::Url() const { return absl::StrCat(scheme, "://", JoinHostPort(host, port), target); }

std::string HttpRequest::Text() const {
  std::string text = absl::StrCat("GET ", target, " HTTP/1.1\r\nHost: ",
                                  host_header.empty() ? JoinHostPort(host, port) : OneLine(host_header), "\r\n");
  const auto agent = headers.find("User-Agent");
  if (agent != headers.end() && !agent->second.empty() && !agent->second.front().empty()) {
    absl::StrAppend(&text, "User-Agent: ", OneLine(agent->second.front()), "\r\n");
  }
  for (const auto& [name, values] : headers) {
    if (WrittenApart(name)) continue;
    for (const std::string& value : values) absl::StrAppend(&text, OneLine(name), ": ", OneLine(value), "\r\n");
  }
  return text + "Connection: close\r\n\r\n";
}

absl::StatusOr<int> ResolvePort(const kube::IntOrString& port, const kube::Container& container) {
  int number = port.number;
  if (!port.text.empty()) {
    number = 0;
    for (const kube::ContainerPort& known : container.ports) {
      if (known.name == port.text) number = known.containerPort;
    }
    // An unknown name may still be a number in quotes.
    if (number == 0 && !absl::SimpleAtoi(port.text, &number)) {
      return absl::InvalidArgumentError(absl::StrCat("strconv.Atoi: parsing \"", port.text, "\": invalid syntax"));
    }
  }
  if (number > 0 && number < 65536) return number;
  return absl::InvalidArgumentError(absl::StrCat("invalid port number: ", number));
}

absl::StatusOr<HttpRequest> MakeHttpRequest(const kube::HTTPGetAction& action, const kube::Container& container,
                                            const std::string& pod_ip, const std::string& purpose) {
  HttpRequest request;
  request.scheme = absl::AsciiStrToLower(action.scheme.empty() ? std::string("http") : action.scheme);
  request.host = action.host.empty() ? pod_ip : action.host;
  auto port = ResolvePort(action.port, container);
  if (!port.ok()) return port.status();
  request.port = *port;
  request.target = Target(action.path);
  for (const kube::HTTPHeader& header : action.httpHeaders) {
    request.headers[CanonicalName(header.name)].push_back(header.value);
  }
  if (!request.headers.contains("User-Agent")) {
    request.headers["User-Agent"] = {absl::StrCat("kube-", purpose, "/", kVersion)};
  }
  const auto accept = request.headers.find("Accept");
  if (accept == request.headers.end()) {
    request.headers["Accept"] = {"*/*"};
  } else if (accept->second.front().empty()) {
    request.headers.erase(accept);
  }
  if (const auto host = request.headers.find("Host"); host != request.headers.end()) {
    request.host_header = host->second.front();
  }
  return request;
}

std::optional<HttpRequest> FollowLocation(const HttpRequest& from, const std::string& location) {
  HttpRequest to = from;
  std::string_view rest = location;
  if (absl::StartsWithIgnoreCase(location, "http://") || absl::StartsWithIgnoreCase(location, "https://")) {
    to.scheme = absl::AsciiStrToLower(location.substr(0, location.find(':')));
    rest.remove_prefix(to.scheme.size() + 1);
  }
  if (rest.substr(0, 2) == "//") {
    rest.remove_prefix(2);
    const std::size_t end = rest.find_first_of("/?#");
    std::string authority(rest.substr(0, end));
    rest = end == std::string_view::npos ? std::string_view() : rest.substr(end);
    authority = authority.substr(authority.find('@') + 1);
    to.port = to.scheme == "https" ? 443 : 80;
    const std::size_t colon = authority.rfind(':');
    if (colon != std::string::npos && authority.find(']', colon) == std::string::npos) {
      if (!absl::SimpleAtoi(authority.substr(colon + 1), &to.port) || to.port <= 0 || to.port > 65535) {
        return std::nullopt;
      }
      authority.resize(colon);
    }
    if (authority.size() > 2 && authority.front() == '[' && authority.back() == ']') {
      authority = authority.substr(1, authority.size() - 2);
    }
    if (authority.empty()) return std::nullopt;
    to.host = authority;
    to.host_header.clear();
    to.target = Target(rest);
    return to;
  }
  if (!rest.empty() && rest[0] == '/') {
    to.target = Target(rest);
    return to;
  }
  // Relative to what was asked: it replaces the last part of the path, or only the query.
  const std::string path = from.target.substr(0, from.target.find('?'));
  if (!rest.empty() && rest[0] == '?') {
    to.target = Target(absl::StrCat(path, std::string(rest)));
  } else {
    to.target = Target(absl::StrCat(path.substr(0, path.rfind('/') + 1), std::string(rest)));
  }
  return to;
}

}  // namespace burstlet::provider
