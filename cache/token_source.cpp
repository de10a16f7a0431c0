#include "cache/token_source.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "cache/base64.h"
#include "cache/digest.h"
#include "cache/json.h"
#include "metrics/status.h"

namespace burstlet::cache {
namespace {

using Clock = std::chrono::steady_clock;

constexpr int kMaxRedirects = 5;
constexpr std::size_t kMaxErrorBody = 64 * 1024;
constexpr std::size_t kMaxTokenBody = 1u << 20;
constexpr std::size_t kMaxTokens = 1024;
constexpr std::int64_t kDefaultTokenSeconds = 60;  // distribution's specification

/// A stranger's words fit for a log line and an event.
std::string Printable(const std::string& text) {
  std::string out;
  for (const char c : text) {
    if (out.size() >= 512) break;
    out += static_cast<unsigned char>(c) >= 0x20 && c != 0x7f ? c : ' ';
  }
  while (!out.empty() && out.back() == ' ') out.pop_back();
  return out;
}

/// {"errors":[{"code","message"}]} or {"details"|"error_description"|"message"}, else the text as it is.
std::string ErrorText(const std::string& body) {
  const absl::StatusOr<Json> json = ParseJson(body, kMaxErrorBody);
  if (!json.ok() || !json->IsObject()) {
    return body.find('<') == std::string::npos ? Printable(body) : "";
  }
  std::string out;
  for (const Json& error : (*json)["errors"].array) {
    if (out.size() > 400) break;
    const std::string text =
        absl::StrCat(error["code"].Text(), error["code"].Text().empty() ? "" : ": ", error["message"].Text());
    absl::StrAppend(&out, out.empty() ? "" : "; ", text);
  }
  for (const char* key : {"details", "error_description", "message", "error"}) {
    if (out.empty()) out = (*json)[key].Text();
  }
  return Printable(out);
}

absl::StatusCode CodeOf(int status) {
  switch (status) {
    case 401:
      return absl::StatusCode::kUnauthenticated;
    case 403:
      return absl::StatusCode::kPermissionDenied;
    case 404:
      return absl::StatusCode::kNotFound;
    case 429:
      return absl::StatusCode::kResourceExhausted;
    default:
      return status >= 500 ? absl::StatusCode::kUnavailable : absl::StatusCode::kUnknown;
  }
}

bool IsRedirect(int status) {
  return status == 301 || status == 302 || status == 303 || status == 307 || status == 308;
}

/// A token goes into a header: nothing that would end the line.
bool IsTokenText(const std::string& token) {
  return !token.empty() && token.size() < 65536 &&
         std::all_of(token.begin(), token.end(), [](char c) { return c > 0x20 && c < 0x7f; });
}

std::string BasicHeader(const Credentials& credentials) {
  return "Basic " + Base64Encode(credentials.username + ":" + credentials.password);
}

}  // namespace

bool AllowsPlainHttp(const RegistryConfig& config, const Url& url) {
  if (IsLoopbackHost(url.host)) return true;
  const std::string with_port = absl::StrCat(url.host, ":", url.port);
  return std::any_of(config.plain_http_hosts.begin(), config.plain_http_hosts.end(),
                     [&](const std::string& host) { return host == url.Authority() || host == with_port; });
}

absl::StatusOr<std::unique_ptr<HttpResponse>> SendFollowing(HttpTransport& transport, const RegistryConfig& config,
                                                            HttpRequest request, const std::atomic<bool>* cancelled) {
  const Url origin = request.url;
  for (int hops = 0;; ++hops) {
    ASSIGN_OR_RETURN(std::unique_ptr<HttpResponse> response, transport.Send(request, cancelled));
    if (!IsRedirect(response->status())) return response;
    if (hops >= kMaxRedirects) {
      return absl::FailedPreconditionError(
          absl::StrCat(origin.Authority(), ": stopped after ", kMaxRedirects, " redirects"));
    }
    absl::StatusOr<Url> next = ResolveUrl(request.url, response->Header("Location"));
    if (!next.ok()) return Annotate(next.status(), absl::StrCat("redirect from ", request.url.Authority()));
    if (!next->tls() && (request.url.tls() || !AllowsPlainHttp(config, *next))) {
      return absl::PermissionDeniedError(
          absl::StrCat("redirect from ", request.url.Authority(), " to plain HTTP at ", next->Authority(), " refused"));
    }
    if (IsLoopbackHost(next->host) && !IsLoopbackHost(request.url.host)) {
      return absl::PermissionDeniedError(
          absl::StrCat("redirect from ", request.url.Authority(), " to this host's loopback refused"));
    }
    next->user.clear();
    next->password.clear();
    if (!next->SameOrigin(origin)) {
      std::erase_if(request.headers, [](const auto& header) { return header.first == "Authorization"; });
    }
    if (request.method == "POST" && response->status() != 307 && response->status() != 308) {
      request.method = "GET";
      request.body.clear();
    }
    if (!request.body.empty() && !next->SameOrigin(origin)) {
      return absl::PermissionDeniedError("redirect of a login to another host refused");
    }
    request.url = *std::move(next);
  }
}

absl::Status ResponseError(HttpResponse& response, const std::string& what) {
  std::string body;
  while (body.size() < kMaxErrorBody) {
    const auto block = response.Next();
    if (!block.ok() || block->empty()) break;
    body.append(reinterpret_cast<const char*>(block->data()), std::min(block->size(), kMaxErrorBody - body.size()));
  }
  const std::string text = ErrorText(body);
  return absl::Status(CodeOf(response.status()),
                      absl::StrCat(what, ": unexpected status ", response.status(), text.empty() ? "" : ": ", text));
}

absl::Status TokenSource::CheckRealm(const Url& realm, const Url& registry) const {
  if (IsLoopbackHost(realm.host) && !IsLoopbackHost(registry.host)) {
    return absl::PermissionDeniedError(
        absl::StrCat("the registry names a login realm on this host's loopback: ", realm.Authority()));
  }
  if (!realm.tls() && (registry.tls() || !AllowsPlainHttp(config_, realm))) {
    return absl::PermissionDeniedError(
        absl::StrCat("the registry names a login realm without TLS: ", realm.Authority()));
  }
  return absl::OkStatus();
}

absl::StatusOr<std::string> TokenSource::Authorize(const std::vector<AuthChallenge>& challenges, const Url& registry,
                                                   const std::string& repository, const Credentials& credentials,
                                                   bool fresh, const std::atomic<bool>* cancelled) {
  for (const AuthChallenge& challenge : challenges) {
    if (challenge.scheme == "basic") {
      if (credentials.username.empty()) continue;
      return BasicHeader(credentials);
    }
    if (challenge.scheme != "bearer") continue;
    const auto parameter = [&](const char* name) {
      const auto it = challenge.parameters.find(name);
      return it == challenge.parameters.end() ? std::string() : it->second;
    };
    absl::StatusOr<Url> realm = ParseUrl(parameter("realm"));
    if (!realm.ok()) return Annotate(realm.status(), "login realm");
    RETURN_IF_ERROR(CheckRealm(*realm, registry));
    const std::string service = parameter("service");
    const std::string scope =
        parameter("scope").empty() ? absl::StrCat("repository:", repository, ":pull") : parameter("scope");
    const std::string key =
        DigestOf(absl::StrCat(registry.Authority(), "\n", realm->Text(), "\n", service, "\n", scope, "\n",
                              credentials.username, "\n", credentials.password, "\n", credentials.identity_token))
            .text();
    if (!fresh) {
      const std::lock_guard<std::mutex> lock(mutex_);
      const auto it = tokens_.find(key);
      if (it != tokens_.end() && it->second.until > Clock::now()) return "Bearer " + it->second.value;
    }
    ASSIGN_OR_RETURN(Token token, Fetch(*realm, service, scope, credentials, cancelled));
    const std::lock_guard<std::mutex> lock(mutex_);
    if (tokens_.size() >= kMaxTokens) tokens_.clear();
    tokens_[key] = token;
    return "Bearer " + token.value;
  }
  return absl::UnauthenticatedError("no basic auth credentials");
}

absl::StatusOr<TokenSource::Token> TokenSource::Fetch(const Url& realm, const std::string& service,
                                                      const std::string& scope, const Credentials& credentials,
                                                      const std::atomic<bool>* cancelled) {
  HttpRequest request;
  request.url = realm;
  request.url.user.clear();
  request.url.password.clear();
  if (!credentials.identity_token.empty()) {
    request.method = "POST";
    request.body = absl::StrCat("grant_type=refresh_token&client_id=burstlet&service=", UrlEncode(service),
                                "&scope=", UrlEncode(scope), "&refresh_token=", UrlEncode(credentials.identity_token));
  } else {
    const char separator[] = {realm.target.find('?') == std::string::npos ? '?' : '&', '\0'};
    absl::StrAppend(&request.url.target, separator, "service=", UrlEncode(service), "&scope=", UrlEncode(scope));
    if (!credentials.username.empty()) {
      absl::StrAppend(&request.url.target, "&account=", UrlEncode(credentials.username));
      request.headers.emplace_back("Authorization", BasicHeader(credentials));
    }
  }
  request.headers.emplace_back("Accept", "application/json");
  ASSIGN_OR_RETURN(std::unique_ptr<HttpResponse> response, SendFollowing(transport_, config_, request, cancelled));
  if (response->status() != 200) {
    return ResponseError(*response, absl::StrCat("failed to fetch a token from ", realm.Authority()));
  }
  ASSIGN_OR_RETURN(const std::string body, ReadAll(*response, kMaxTokenBody));
  absl::StatusOr<Json> json = ParseJson(body, kMaxTokenBody);
  if (!json.ok()) return absl::UnauthenticatedError(absl::StrCat("token answer of ", realm.Authority(), " is no JSON"));
  Token token;
  token.value = (*json)["token"].Text().empty() ? (*json)["access_token"].Text() : (*json)["token"].Text();
  if (!IsTokenText(token.value)) {
    return absl::UnauthenticatedError(absl::StrCat("token answer of ", realm.Authority(), " holds no usable token"));
  }
  const std::int64_t said = (*json)["expires_in"].number;
  const std::int64_t seconds = std::clamp<std::int64_t>(said > 0 ? said : kDefaultTokenSeconds, 1, 3600);
  token.until = Clock::now() + std::chrono::seconds(seconds - seconds / 5);
  return token;
}

}  // namespace burstlet::cache
