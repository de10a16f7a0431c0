// The agent's own socket: a local one, for the host's root and nobody else (mode 0600, and the peer is asked who it
// is).
//
// Owner: the server. Threads: Start and Stop any, callbacks on the executor of each socket. The path may be longer than
// a socket's address has room for. Failure: a status that names the path.
#pragma once

#include "kube/server/byte_stream.h"

#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <string>

#include "absl/status/status.h"

namespace burstlet::kube {

class LocalListener {
 public:
  /// Each stream's executor is a strand of its own.
  using Accepted = std::function<void(std::unique_ptr<ByteStream>)>;

  LocalListener(boost::asio::io_context& loop, Accepted accepted);
  /// Listens at `path`; what is there of a former agent is replaced.
  absl::Status Start(const std::string& path);
  /// Listens no more, and removes the socket. Nothing is called afterwards once the loop has run what was posted.
  void Stop();

 private:
  void Accept();

  boost::asio::io_context& loop_;
  const Accepted accepted_;
  boost::asio::local::stream_protocol::acceptor acceptor_;
  boost::asio::steady_timer retry_;
  std::string path_;
};

/// Connects to such a socket (blocking, without a time limit: the kernel answers). The descriptor is the caller's.
/// kNotFound, kUnavailable (nobody listens), kPermissionDenied.
absl::StatusOr<int> ConnectLocal(const std::string& path);

}  // namespace burstlet::kube
