// Blocking sockets for tests: a one-request HTTP client and a scripted HTTP server that may behave as badly as wanted.
//
// The server runs a thread per connection; a handler writes whatever bytes it likes. Destruction closes every
// connection and joins.
#pragma once

#include <atomic>
#include <functional>
#include <map>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

namespace burstlet::cache::test {

struct PlainResponse {
  int status = 0;
  std::map<std::string, std::string> headers;  // lower-case names
  std::string body;
};

/// Status 0 when there is no answer.
PlainResponse PlainRequest(int port, const std::string& method, const std::string& target, const std::string& body = "",
                           const std::string& content_type = "application/octet-stream");

struct ServerRequest {
  std::string method;
  std::string target;  // path and query
  std::map<std::string, std::string> headers;
  std::string body;
};

/// One connection, in a handler's hands.
class Connection {
 public:
  Connection(int fd, const std::atomic<bool>& stopping) : fd_(fd), stopping_(stopping) {}

  /// False when the peer is gone or the server stops.
  bool Send(const std::string& bytes);
  bool SendResponse(int status, const std::string& body, const std::string& headers = "");
  /// Waits until the peer closes or the server stops.
  void Hang();
  bool stopping() const { return stopping_; }

 private:
  int fd_;
  const std::atomic<bool>& stopping_;
};

class PlainServer {
 public:
  using Handler = std::function<void(const ServerRequest&, Connection&)>;

  explicit PlainServer(Handler handler);
  ~PlainServer();

  int port() const { return port_; }
  std::string host() const { return "127.0.0.1:" + std::to_string(port_); }
  /// How many requests had a target that starts so.
  int Count(const std::string& prefix) const;
  std::vector<ServerRequest> requests() const;

 private:
  void Accept();
  void Serve(int fd);

  Handler handler_;
  int listener_ = -1;
  int port_ = 0;
  std::atomic<bool> stopping_{false};
  mutable std::mutex mutex_;
  std::vector<ServerRequest> requests_;
  std::vector<int> open_;
  std::vector<std::thread> threads_;
  std::thread acceptor_;
};

/// A port nobody listens on at this moment.
int FreePort();

}  // namespace burstlet::cache::test
