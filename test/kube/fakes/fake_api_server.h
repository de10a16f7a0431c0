// A scripted HTTP(S) server on a free port of 127.0.0.1: the API server's good and bad days, one thread a connection.
//
// The script is called for every request on the connection's thread and answers through Reply: whole answers, streams
// cut anywhere, silence. Stop (or the destructor) closes all sockets, which ends every blocked script.
#pragma once

#include <openssl/ssl.h>

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

namespace burstlet::kube::test {

struct FakeRequest {
  std::string method;
  std::string target;                          // path and query
  std::map<std::string, std::string> headers;  // names in lower case
  std::string body;
  int connection = 0;       // which one, counted from 1
  std::string client_name;  // CN of the client's certificate

  bool Has(const std::string& part) const { return target.find(part) != std::string::npos; }
  std::string Path() const { return target.substr(0, target.find('?')); }
};

class FakeApiServer;

class Reply {
 public:
  Reply(FakeApiServer& server, int fd, SSL* ssl) : server_(server), fd_(fd), ssl_(ssl) {}

  /// A whole answer with Content-Length; `headers` are raw lines ending in \r\n.
  void Send(int code, const std::string& body, const std::string& headers = "");
  /// A chunked answer: begin, then pieces (each one chunk), then the end.
  void Begin(int code = 200);
  void Chunk(const std::string& piece);
  void Line(const std::string& line) { Chunk(line + "\n"); }
  void End();
  void Raw(const std::string& bytes);
  /// Blocks until the client has gone or the server stops.
  void WaitForClientToGo();
  /// The connection is closed after this request.
  void Close() { open_ = false; }
  bool open() const { return open_; }

 private:
  FakeApiServer& server_;
  int fd_;
  SSL* ssl_;
  bool open_ = true;
};

class FakeApiServer {
 public:
  using Script = std::function<void(const FakeRequest&, Reply&)>;
  struct Tls {
    std::string cert_pem;
    std::string key_pem;
    std::string client_ca_pem;  // empty: no client certificate is asked for
  };

  explicit FakeApiServer(Script script);
  FakeApiServer(Script script, const Tls& tls);
  ~FakeApiServer();

  std::string url() const;
  std::uint16_t port() const { return port_; }
  int connections() const { return connections_; }
  std::vector<FakeRequest> requests() const;
  /// Closes every connection; new ones are accepted.
  void CutAll();
  void Stop();

 private:
  friend class Reply;
  void Listen();
  void Accept();
  void Serve(int fd, int number);
  bool ReadRequest(int fd, SSL* ssl, std::string& buffer, FakeRequest& request);

  Script script_;
  SSL_CTX* tls_ = nullptr;
  int listen_fd_ = -1;
  std::uint16_t port_ = 0;
  std::atomic<bool> stopping_{false};
  std::atomic<int> connections_{0};
  std::thread acceptor_;
  mutable std::mutex mutex_;
  std::vector<std::thread> threads_;
  std::map<int, int> open_;  // descriptor by connection number
  std::vector<FakeRequest> requests_;
};

/// A gate between a test and a script's thread: Wait returns after Open.
class Gate {
 public:
  void Open();
  void Wait();

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  bool open_ = false;
};

/// Like a Gate, but each Pass lets one Wait through.
class Turnstile {
 public:
  void Pass();
  void Wait();

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  int free_ = 0;
};

}  // namespace burstlet::kube::test
