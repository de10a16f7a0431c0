// The kubelet's HTTPS port: what an API server, kubectl, Prometheus and metrics-server ask of a node.
//
// The server knows nothing of pods: it authenticates, authorizes, parses, streams, and calls the handlers it was given.
// Owner: node_agent. It runs its own io_context on its own threads (the stream loop); handlers are called there and
// must be thread-safe: they read immutable snapshots or hand work over to the control loop and complete later. Source:
// pkg/kubelet/server/server.go, reference of paths in kube/server/README.md.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "kube/api/auth.h"
#include "kube/server/node_log_query.h"

namespace burstlet::kube {

/// Which container is meant: by namespace and name, or (with `uid` set) by both.
struct ContainerRef {
  std::string name_space;
  std::string pod;
  std::string uid;
  std::string container;
};

/// v1.PodLogOptions as parsed from the query.
struct LogOptions {
  bool follow = false;
  bool previous = false;
  bool timestamps = false;
  std::int64_t since_unix_nanos = 0;  // 0 = from the start
  std::int64_t tail_lines = -1;       // -1 = all
  std::int64_t limit_bytes = -1;
  bool want_stdout = true;
  bool want_stderr = true;
};

/// Where a log lives and when to stop following. The file is opened O_NOFOLLOW by the server's log streamer.
struct LogSource {
  std::string path;  // the current CRI log file; rotated siblings beside it
  /// True when the container has ended and nothing more will be written (any thread, cheap).
  std::function<bool()> finished;
};

struct ExecRequest {
  ContainerRef container;
  std::vector<std::string> command;  // empty for attach
  bool want_stdin = false;
  bool want_stdout = false;
  bool want_stderr = false;
  bool tty = false;
};

/// A started command's descriptors, owned by the server from now on (see sandbox::ExecStreams: same meaning). exit_fd
/// yields two native ints, exit code and signal, then end-of-file.
struct ExecSession {
  int stdin_fd = -1;
  int stdout_fd = -1;
  int stderr_fd = -1;
  int master_fd = -1;
  int exit_fd = -1;
  /// Called when the client is gone before the command: SIGHUP/SIGKILL as fits. May be empty.
  std::function<void()> abandon;
};

template <typename T>
using Reply = std::function<void(absl::StatusOr<T>)>;

/// What the node answers. Every callback may be called from any stream thread; a Reply may be completed from any
/// thread, exactly once. kNotFound becomes 404, kInvalidArgument 400, kFailedPrecondition 400, kUnavailable 503, else
/// 500.
struct KubeletHandlers {
  std::function<std::string()> pods_json;           // /pods: v1.PodList
  std::function<std::string()> running_pods_json;   // /runningpods/
  std::function<void(Reply<std::string>)> metrics;  // text exposition
  std::function<void(Reply<std::string>)> metrics_resource;
  std::function<void(Reply<std::string>)> metrics_cadvisor;                         // may be empty: 404
  std::function<void(Reply<std::string>)> metrics_probes;                           // may be empty
  std::function<void(bool only_cpu_and_memory, Reply<std::string>)> stats_summary;  // may be empty
  std::function<std::string()> configz_json;
  std::function<std::string()> starts_json;  // /starts: the stages of each pod's start; empty: 404
  NodeLogs node_logs;                        // /logs/; empty: 405
  std::map<std::string, std::string> flags;  // /flagz: command line flags by name, as in effect
  /// /run: a command in a container, its whole output. May be empty: 501.
  std::function<void(ContainerRef, std::vector<std::string> command, Reply<std::string>)> run;
  /// A request begins; what is returned is let go at its end. `path` is one of few: "metrics/cadvisor", "exec",
  /// "other". May be empty.
  std::function<std::shared_ptr<void>(const std::string& method, const std::string& path, bool long_running)> begun;
  std::function<absl::Status()> healthz;  // the sync loop's health
  std::function<void(ContainerRef, LogOptions, Reply<LogSource>)> container_logs;
  std::function<void(ExecRequest, Reply<ExecSession>)> exec;
  std::function<void(ExecRequest, Reply<ExecSession>)> attach;  // may be empty: 501
  /// A connected stream socket to the port inside the pod's network namespace. May be empty: 501.
  std::function<void(ContainerRef, std::uint16_t port, Reply<int>)> port_forward;
  /// Delegated authentication and authorization (the client lives on the control loop).
  std::function<void(std::string token, Reply<TokenReviewStatus>)> review_token;
  std::function<void(SubjectAccessReviewSpec, Reply<SubjectAccessReviewStatus>)> review_access;
};

struct KubeletServerConfig {
  bool serve_network = true;  // else the local socket alone: address, port, TLS and what follows from them count not
  std::string local_socket;   // for the host's root, who may do all without a review; "": none
  std::string address = "0.0.0.0";
  std::uint16_t port = 10250;  // 0 = any free one, see port()
  std::string tls_cert_file;
  std::string tls_key_file;
  std::string tls_cert_pem;  // instead of files (self-signed at start)
  std::string tls_key_pem;
  std::string tls_min_version;                 // "VersionTLS12" and its kin; empty: TLS 1.2
  std::vector<std::string> tls_cipher_suites;  // crypto/tls' names; empty: the good ones
  std::string client_ca_file;                  // empty: no x509 authentication
  bool token_authentication = true;
  bool anonymous = false;
  bool always_allow = false;  // authorization.mode AlwaysAllow: whoever is authenticated may do all
  std::chrono::seconds token_cache_ttl{120};
  std::chrono::seconds authorized_cache_ttl{300};
  std::chrono::seconds unauthorized_cache_ttl{30};
  bool node_log_queries = false;  // /logs/?query=...; else such options count for nothing
  bool debug_flags = true;        // PUT /debug/flags/v; else 405
  std::string node_name;
  unsigned threads = 1;
  /// A request must have come whole this long after its first byte.
  std::chrono::milliseconds request_timeout{15'000};
  /// Beyond, strangers' connections end, the oldest first; when all clients are known, new ones wait.
  std::size_t max_connections = 4096;
  std::chrono::seconds streaming_idle_timeout{4 * 3600};
};

class KubeletServer {
 public:
  /// Listens on return. kInvalidArgument / kNotFound / kAlreadyExists name the certificate file or the address.
  static absl::StatusOr<std::unique_ptr<KubeletServer>> Start(const KubeletServerConfig& config,
                                                              KubeletHandlers handlers);
  virtual ~KubeletServer() = default;
  virtual std::uint16_t port() const = 0;
  /// New connections get this certificate from now on; those there are keep theirs. Any thread. Failure: the present
  /// one stays.
  virtual absl::Status UseCertificate(std::string cert_pem, std::string key_pem) = 0;
  /// Stops listening, ends idle connections, gives running streams until the deadline, joins the threads.
  virtual void Stop(std::chrono::milliseconds grace) = 0;
};

}  // namespace burstlet::kube
