// Images on this node: a reference and credentials go in, a root file system comes out.
//
// Concurrent requests for one digest are one pull. Blocking calls on the caller's thread with a cancel flag; the
// downloads run on the store's own bounded threads. Everything from a registry is untrusted: bounded, verified
// against its digest while it streams, and never a host path. On disk: cache/paths.h. A crash at any moment leaves a
// valid store. Threads: any. Failure: Status with the kubelet's reason (ErrImagePull, InvalidImageName,
// ErrImageNeverPull, RegistryUnavailable) and the registry's own words.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"

namespace burstlet::cache {

/// The part of an image's config that decides how a container runs (OCI image spec, config.md).
struct ImageConfig {
  std::vector<std::string> entrypoint;
  std::vector<std::string> cmd;
  std::vector<std::string> env;
  std::string user;
  std::string working_dir;
  std::string stop_signal;
  std::vector<std::string> volumes;
  std::map<std::string, std::string> labels;
};

/// One image that is whole on disk and pinned against removal for as long as the value lives.
struct Image {
  std::string id;                       // digest of the config, "sha256:..."
  std::string manifest_digest;          // what imageID reports: digest of the manifest or index that was asked for
  std::string repo_digest;              // "docker.io/library/nginx@sha256:..."
  std::vector<std::string> repo_tags;   // normalised
  std::vector<std::string> layer_dirs;  // host directories for overlayfs, topmost first
  ImageConfig config;
  std::uint64_t size_bytes = 0;  // unpacked
};

struct Credentials {
  std::string username;
  std::string password;
  std::string identity_token;  // docker's "identitytoken": an OAuth2 refresh token
  std::string registry_token;  // a bearer token to present as it is
};

struct PullRequest {
  std::string reference;                         // as the user wrote it
  std::vector<Credentials> credentials;          // tried in order; anonymous last
  std::shared_ptr<std::atomic<bool>> cancelled;  // optional; checked often
};

struct PullResult {
  std::shared_ptr<const Image> image;
  bool already_present = false;
  std::uint64_t downloaded_bytes = 0;
};

/// How a registry host is spoken to.
struct RegistryConfig {
  std::vector<std::string> plain_http_hosts;  // "registry.lan:5000"; loopback is always plain HTTP unless TLS answers
  std::string ca_file;                        // extra CA certificates, PEM
  unsigned parallel_layers = 4;
  std::uint64_t max_layer_bytes = 64ull << 30;  // unpacked; a bomb guard
};

/// What the store holds, told without pinning it.
struct StoredImage {
  std::string id;
  std::uint64_t size_bytes = 0;  // unpacked, layers that it shares included
  bool in_use = false;           // somebody holds it
};

class ImageStore {
 public:
  /// Opens (and if need be sweeps) the store below `root` ("<root-dir>/images").
  static absl::StatusOr<std::unique_ptr<ImageStore>> Open(const std::string& root, const RegistryConfig& config);
  virtual ~ImageStore() = default;

  /// The image if it is whole on disk, else null. No network, no blocking beyond memory: for the start path.
  virtual std::shared_ptr<const Image> Find(const std::string& reference) = 0;
  /// Asks the registry (by digest or tag) and fetches what is missing. A tag is resolved anew each time.
  virtual absl::StatusOr<PullResult> Pull(const PullRequest& request) = 0;
  virtual std::vector<std::shared_ptr<const Image>> List() = 0;
  virtual std::vector<StoredImage> Usage() = 0;
  /// kFailedPrecondition while a pod uses it.
  virtual absl::Status Remove(const std::string& reference) = 0;
};

/// Docker's reference rules: "nginx" -> "docker.io/library/nginx:latest". kInvalidArgument with reason
/// InvalidImageName. (distribution/reference, the grammar.)
absl::StatusOr<std::string> NormalizeReference(const std::string& reference);
/// True when imagePullPolicy's default is Always: tag ":latest" or none, and no digest.
bool IsLatestTag(const std::string& reference);

/// Credentials for `reference` out of pull secrets' documents (type kubernetes.io/dockerconfigjson or dockercfg, raw
/// JSON each), longest matching registry path first, `*.` globs as in the kubelet's keyring
/// (pkg/credentialprovider/keyring.go).
absl::StatusOr<std::vector<Credentials>> CredentialsFor(const std::string& reference,
                                                        const std::vector<std::string>& docker_config_json,
                                                        const std::vector<std::string>& dockercfg_json);

}  // namespace burstlet::cache
