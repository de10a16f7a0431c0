// The other side of the agent's own socket: requests of the commands `ps`, `top`, `logs` and `exec`.
//
// HTTP/1.1 over a local socket, one connection a request, blocking. Threads: one at a time. Failure: kUnavailable when
// no agent listens, kPermissionDenied for who is not root, kNotFound and kUnknown with the agent's own text.
#pragma once

#include <functional>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "sandbox/os/unique_fd.h"

namespace burstlet::provider {

/// Below an agent's root directory.
std::string AgentSocket(const std::string& root_dir);

class LocalAgent {
 public:
  using Sink = std::function<absl::Status(std::string_view piece)>;

  explicit LocalAgent(const std::string& root_dir) : path_(AgentSocket(root_dir)) {}

  /// The body of a GET, piece by piece as it comes; the sink's first error ends it.
  absl::Status Get(const std::string& target, const Sink& sink) const;
  absl::StatusOr<std::string> Get(const std::string& target) const;

  struct WebSocket {
    sandbox::UniqueFd fd;
    std::string input;  // what came together with the head
  };
  absl::StatusOr<WebSocket> OpenWebSocket(const std::string& target, const std::string& protocol) const;

 private:
  std::string path_;
};

/// For a query or a path segment.
std::string PercentEncode(std::string_view text);

}  // namespace burstlet::provider
