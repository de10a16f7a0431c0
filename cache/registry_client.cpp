#include "cache/registry_client.h"

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "cache/manifest.h"
#include "metrics/log.h"
#include "metrics/status.h"

namespace burstlet::cache {
namespace {

constexpr char kUserAgent[] = "burstlet";

HttpOptions MakeOptions(const RegistryConfig& config, const ProxyConfig& proxy) {
  HttpOptions options;
  options.ca_file = config.ca_file;
  options.proxy = proxy;
  return options;
}

/// Docker Hub's registry answers under another name than the one in references.
std::string HostOf(const std::string& domain) { return domain == "docker.io" ? "registry-1.docker.io" : domain; }

/// What TLS servers tell a client that speaks plain HTTP to them (Go's net/http, nginx).
bool AsksForTls(int status, const std::string& body) {
  return status == 400 && (body.find("HTTP request to an HTTPS server") != std::string::npos ||
                           body.find("HTTP request was sent to HTTPS port") != std::string::npos);
}

}  // namespace

RegistryClient::RegistryClient(const RegistryConfig& config, HttpOptions options)
    : config_(config), transport_(std::move(options)), tokens_(transport_, config_) {}

RegistryClient::RegistryClient(const RegistryConfig& config, const ProxyConfig& proxy)
    : RegistryClient(config, MakeOptions(config, proxy)) {}

std::unique_ptr<RegistryClient::Repository> RegistryClient::Open(const ImageRef& ref, const Credentials& credentials,
                                                                 const std::atomic<bool>* cancelled) {
  return std::make_unique<Repository>(*this, ref, credentials, cancelled);
}

absl::StatusOr<Url> RegistryClient::Endpoint(const std::string& domain, const std::atomic<bool>* cancelled) {
  ASSIGN_OR_RETURN(Url tls, ParseUrl("https://" + HostOf(domain) + "/"));
  ASSIGN_OR_RETURN(Url plain, ParseUrl("http://" + HostOf(domain) + "/"));
  if (!AllowsPlainHttp(config_, plain)) return tls;
  if (!IsLoopbackHost(plain.host)) return plain;
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    const auto it = endpoints_.find(domain);
    if (it != endpoints_.end()) return it->second;
  }
  // Loopback: plain HTTP, unless the server turns out to speak TLS.
  HttpRequest probe;
  probe.url = plain;
  probe.url.target = "/v2/";
  probe.headers = {{"User-Agent", kUserAgent}};
  absl::StatusOr<std::unique_ptr<HttpResponse>> answer = transport_.Send(probe, cancelled);
  bool try_tls = !answer.ok() && answer.status().code() == absl::StatusCode::kUnavailable &&
                 !absl::StrContains(std::string(answer.status().message()), "Failed to connect");
  if (answer.ok() && (*answer)->status() == 400) {
    const absl::StatusOr<std::string> body = ReadAll(**answer, 4096);
    try_tls = body.ok() && AsksForTls(400, *body);
  }
  Url found = plain;
  if (try_tls) {
    probe.url = tls;
    probe.url.target = "/v2/";
    absl::StatusOr<std::unique_ptr<HttpResponse>> secure = transport_.Send(probe, cancelled);
    // Plain HTTP asked for TLS: then TLS' error is the one to report.
    if (!secure.ok()) return answer.ok() ? secure.status() : answer.status();
    found = tls;
  } else if (!answer.ok()) {
    return answer.status();
  }
  const std::lock_guard<std::mutex> lock(mutex_);
  endpoints_[domain] = found;
  return found;
}

void RegistryClient::ForgetEndpoint(const std::string& domain) {
  const std::lock_guard<std::mutex> lock(mutex_);
  endpoints_.erase(domain);
}

std::string RegistryClient::Repository::Authorization() {
  if (!credentials_.registry_token.empty()) return "Bearer " + credentials_.registry_token;
  const std::lock_guard<std::mutex> lock(mutex_);
  return authorization_;
}

absl::StatusOr<std::unique_ptr<HttpResponse>> RegistryClient::Repository::Get(const std::string& path,
                                                                              const std::string& accept) {
  ASSIGN_OR_RETURN(const Url endpoint, client_.Endpoint(ref_.domain, cancelled_));
  HttpRequest request;
  request.url = endpoint;
  request.url.target = absl::StrCat("/v2/", ref_.path, path);
  for (int attempt = 0;; ++attempt) {
    const std::string authorization = Authorization();
    request.headers = {{"User-Agent", kUserAgent}, {"Accept", accept}};
    if (!authorization.empty()) request.headers.emplace_back("Authorization", authorization);
    auto response = SendFollowing(client_.transport_, client_.config_, request, cancelled_);
    if (!response.ok()) {
      client_.ForgetEndpoint(ref_.domain);
      return response.status();
    }
    if ((*response)->status() != 401 || attempt >= 2 || !credentials_.registry_token.empty()) return response;
    const auto challenges = ParseAuthChallenges((*response)->Header("WWW-Authenticate"));
    if (challenges.empty()) return response;
    // A second 401 means that the token, maybe a cached one, is not good (any more); the same basic login won't help.
    if (attempt > 0 && authorization.compare(0, 6, "Basic ") == 0) return response;
    absl::StatusOr<std::string> fresh =
        client_.tokens_.Authorize(challenges, endpoint, ref_.path, credentials_, attempt > 0, cancelled_);
    if (!fresh.ok()) {
      return Annotate(fresh.status(), absl::StrCat("pull access denied, repository does not exist or may require "
                                                   "authorization: authorization failed"));
    }
    const std::lock_guard<std::mutex> lock(mutex_);
    authorization_ = *std::move(fresh);
  }
}

absl::StatusOr<FetchedManifest> RegistryClient::Repository::Manifest(const std::string& selector) {
  ASSIGN_OR_RETURN(auto response, Get("/manifests/" + selector, ManifestAcceptHeader()));
  if (response->status() != 200) {
    if (response->status() == 400) client_.ForgetEndpoint(ref_.domain);
    const absl::Status error = ResponseError(*response, absl::StrCat("manifest ", selector, " of ", ref_.Name()));
    if (absl::IsNotFound(error)) {
      return absl::NotFoundError(absl::StrCat(ref_.Text(), ": not found (", std::string(error.message()), ")"));
    }
    if (absl::IsUnauthenticated(error)) {
      return Annotate(error, "pull access denied, repository does not exist or may require authorization");
    }
    return error;
  }
  FetchedManifest out;
  out.content_type = response->Header("Content-Type");
  ASSIGN_OR_RETURN(out.body, ReadAll(*response, kMaxManifestBytes));
  return out;
}

absl::StatusOr<std::unique_ptr<HttpResponse>> RegistryClient::Repository::Blob(const Digest& digest) {
  ASSIGN_OR_RETURN(auto response, Get("/blobs/" + digest.text(), "*/*"));
  if (response->status() != 200)
    return ResponseError(*response, absl::StrCat("blob ", digest.text(), " of ", ref_.Name()));
  return response;
}

}  // namespace burstlet::cache
