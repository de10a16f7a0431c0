// The registry protocol (OCI distribution spec): manifests and blobs of one repository, with its logins and redirects.
//
// Rules that keep credentials where they belong: Authorization never follows a redirect to another origin; passwords
// and tokens travel over TLS, or in plain HTTP only to hosts configured so and to loopback; a realm must be of the
// same kind. Threads: any; a Repository may be used by the threads of one pull. Failure: kNotFound, kUnauthenticated,
// kPermissionDenied, kResourceExhausted (429), kUnavailable with the registry's own words, made printable; what the
// transport says otherwise.
#pragma once

#include <atomic>
#include <map>
#include <memory>
#include <mutex>
#include <string>

#include "absl/status/statusor.h"
#include "cache/http_transport.h"
#include "cache/image_ref.h"
#include "cache/image_store.h"
#include "cache/token_source.h"

namespace burstlet::cache {

struct FetchedManifest {
  std::string body;
  std::string content_type;
};

class RegistryClient {
 public:
  RegistryClient(const RegistryConfig& config, HttpOptions options);
  RegistryClient(const RegistryConfig& config, const ProxyConfig& proxy);

  class Repository;
  /// `cancelled` may be null; it must outlive the repository.
  std::unique_ptr<Repository> Open(const ImageRef& ref, const Credentials& credentials,
                                   const std::atomic<bool>* cancelled);

 private:
  friend class Repository;

  /// "http://host:port" or "https://..." for a reference's domain.
  absl::StatusOr<Url> Endpoint(const std::string& domain, const std::atomic<bool>* cancelled);
  void ForgetEndpoint(const std::string& domain);

  RegistryConfig config_;
  HttpTransport transport_;
  TokenSource tokens_;
  std::mutex mutex_;
  std::map<std::string, Url> endpoints_;  // found by trying
};

class RegistryClient::Repository {
 public:
  Repository(RegistryClient& client, const ImageRef& ref, const Credentials& credentials,
             const std::atomic<bool>* cancelled)
      : client_(client), ref_(ref), credentials_(credentials), cancelled_(cancelled) {}

  /// `selector`: a tag or digest.
  absl::StatusOr<FetchedManifest> Manifest(const std::string& selector);
  /// The blob's bytes as they come; nothing is verified yet.
  absl::StatusOr<std::unique_ptr<HttpResponse>> Blob(const Digest& digest);

 private:
  absl::StatusOr<std::unique_ptr<HttpResponse>> Get(const std::string& path, const std::string& accept);
  std::string Authorization();

  RegistryClient& client_;
  ImageRef ref_;
  Credentials credentials_;
  const std::atomic<bool>* cancelled_;
  std::mutex mutex_;
  std::string authorization_;  // what the last challenge led to
};

}  // namespace burstlet::cache
