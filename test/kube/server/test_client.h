// A blocking TLS client for tests: raw bytes over OpenSSL, and plain HTTP/1.1 on top.
#pragma once

#include <openssl/ssl.h>

#include <cstdint>
#include <map>
#include <string>

#include "test/kube/server/test_certificates.h"

namespace burstlet::kube::test {

struct ClientResponse {
  int status = 0;
  std::map<std::string, std::string> headers;  // names in lower case
  std::string body;
};

class TestClient {
 public:
  /// `identity` may be null. Every read and write gives up after ten seconds.
  TestClient(std::uint16_t port, const CertifiedKey* identity);
  ~TestClient();
  TestClient(const TestClient&) = delete;
  TestClient& operator=(const TestClient&) = delete;

  bool connected() const { return connected_; }
  bool Send(const std::string& bytes);
  /// Whatever comes next; empty at the end or after the time limit.
  std::string Receive();
  /// Exactly so many bytes, fewer at the end.
  std::string ReceiveExactly(std::size_t count);
  /// Sends a request and reads head and body (by length or chunked).
  ClientResponse Request(const std::string& method, const std::string& target, const std::string& extra_headers = "");
  ClientResponse ReadResponse();
  /// Status line and headers only.
  ClientResponse ReadHead();
  /// The next chunk of a chunked body; empty at its end.
  std::string ReadChunk();
  std::string negotiated_protocol() const;
  std::string peer_common_name() const;
  int fd() const { return fd_; }
  /// The connection goes without a word.
  void Drop();

 private:
  bool Fill();
  std::string Line();

  int fd_ = -1;
  SSL_CTX* context_ = nullptr;
  SSL* ssl_ = nullptr;
  bool connected_ = false;
  std::string input_;
};

/// One request on a connection of its own.
ClientResponse Fetch(std::uint16_t port, const CertifiedKey* identity, const std::string& method,
                     const std::string& target, const std::string& extra_headers = "");

}  // namespace burstlet::kube::test
