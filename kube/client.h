// The API server's typed verbs, as a node uses them.
//
// All calls are coroutines on the loop; the transport (kube/transport) does the work on its own threads. Failure:
// Status whose code maps the HTTP answer (404 kNotFound, 409 kAlreadyExists for POST / kAborted for conflicts, 401
// kUnauthenticated, 403 kPermissionDenied, 410 kOutOfRange, 422/400 kInvalidArgument, 429/503 kUnavailable, no
// connection kUnavailable, time-out kDeadlineExceeded), message = the server's own, and HttpCodeOf / RetryAfterOf.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "kube/api/auth.h"
#include "kube/api/core.h"
#include "kube/api/node.h"
#include "kube/api/pod.h"
#include "kube/async/cancel.h"
#include "kube/async/loop.h"
#include "kube/async/task.h"

namespace burstlet::kube {

/// The HTTP code an error came from, or 0.
int HttpCodeOf(const absl::Status& status);
/// What the server asked for with Retry-After, or zero.
std::chrono::milliseconds RetryAfterOf(const absl::Status& status);

struct Response {
  int code = 0;
  std::string body;
};

/// How a patch's body is read by the server.
enum class PatchType { kStrategicMerge, kMerge, kJson };

class Client {
 public:
  virtual ~Client() = default;

  /// One request; body and answer are JSON text. `path` is absolute with query. Default time-out (0) 30 s. The real
  /// client turns an answer of 300 or more into the error; fakes may leave that to the typed verbs.
  virtual Task<absl::StatusOr<Response>> Do(std::string method, std::string path, std::string content_type,
                                            std::string body, std::chrono::milliseconds timeout) = 0;
  /// A streaming GET: `on_line` gets each line of the body on the loop; returns when the stream ends, fails, is
  /// cancelled, or is silent for `idle_limit`.
  virtual Task<absl::Status> Stream(std::string path, std::function<void(std::string)> on_line,
                                    std::chrono::milliseconds idle_limit, CancelToken cancel) = 0;
  /// The end: what is under way fails with kCancelled at once, and so does all that comes after.
  virtual void Shutdown() {}

  Task<absl::StatusOr<Node>> GetNode(std::string name);
  Task<absl::StatusOr<Node>> CreateNode(Node node);
  Task<absl::StatusOr<Node>> PatchNode(std::string name, std::string patch_json);  // strategic merge, metadata/spec
  Task<absl::StatusOr<Node>> PatchNodeStatus(std::string name, std::string patch_json);  // strategic merge
  Task<absl::StatusOr<Lease>> GetLease(std::string name);
  Task<absl::StatusOr<Lease>> CreateLease(Lease lease);
  Task<absl::StatusOr<Lease>> UpdateLease(Lease lease);
  Task<absl::StatusOr<Pod>> GetPod(std::string name_space, std::string name);
  Task<absl::StatusOr<Pod>> PatchPodStatus(std::string name_space, std::string name, std::string patch_json);
  /// gracePeriodSeconds with the UID as precondition.
  Task<absl::Status> DeletePod(std::string name_space, std::string name, std::string uid, std::int64_t grace_seconds);
  Task<absl::StatusOr<ConfigMap>> GetConfigMap(std::string name_space, std::string name);
  Task<absl::StatusOr<Secret>> GetSecret(std::string name_space, std::string name);
  Task<absl::StatusOr<TokenRequest>> CreateToken(std::string name_space, std::string service_account,
                                                 TokenRequest request);
  Task<absl::StatusOr<Event>> CreateEvent(Event event);
  Task<absl::StatusOr<Event>> PatchEvent(std::string name_space, std::string name, std::string patch_json);
  Task<absl::StatusOr<TokenReview>> ReviewToken(TokenReview review);
  Task<absl::StatusOr<SubjectAccessReview>> ReviewAccess(SubjectAccessReview review);
};

/// Where and as whom: the parsed kubeconfig (kube/credentials.h). Files are read anew when they change on disk.
struct ClientConfig {
  std::string server;  // "https://host:port"
  std::string ca_file;
  std::string ca_data;  // PEM; wins over the file
  std::string cert_file;
  std::string cert_data;
  std::string key_file;
  std::string key_data;
  std::string token;
  std::string token_file;
  std::string tls_server_name;
  bool insecure_skip_verify = false;
  std::string proxy_url;  // else HTTPS_PROXY / NO_PROXY of the environment
  /// Told of each answer, on the loop; code 0 = none came. May be empty.
  std::function<void(const std::string& method, int code, double seconds)> answered = {};
};

/// Parses kubeconfig YAML text (the current context). Errors name the field.
absl::StatusOr<ClientConfig> ParseKubeconfig(const std::string& yaml_text, const std::string& base_dir);
absl::StatusOr<ClientConfig> InClusterConfig();

/// The real client, over cpprestsdk.
absl::StatusOr<std::unique_ptr<Client>> NewClient(Loop& loop, ClientConfig config);

}  // namespace burstlet::kube
