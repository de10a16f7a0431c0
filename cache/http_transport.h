// One HTTP request at a time, the body pulled as a stream: the only user of cpprestsdk's client in this folder.
//
// What cpprestsdk does not bound is bounded here: time to connect, silence, bytes read ahead of the reader (headers
// and chunks included: the socket's own counter is watched), no redirects, no decompression. Each request has its own
// connection. Threads: Send and Next block the caller, cpprestsdk's pool feeds them. Failure: kUnavailable (no answer;
// with reason RegistryUnavailable when the host was not reached), kDeadlineExceeded (silence), kDataLoss (cut off),
// kCancelled.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "cache/byte_source.h"
#include "cache/proxy.h"
#include "cache/url.h"

namespace burstlet::cache {

struct HttpRequest {
  std::string method = "GET";
  Url url;
  std::vector<std::pair<std::string, std::string>> headers;
  std::string body;
};

struct HttpOptions {
  std::chrono::milliseconds connect_timeout{15'000};  // name, connection, TLS
  std::chrono::milliseconds idle_timeout{30'000};     // headers, and between two pieces of the body
  std::size_t read_ahead = 8u << 20;                  // received and not yet taken by the reader
  std::string ca_file;
  ProxyConfig proxy;
};

class HttpResponse : public ByteSource {
 public:
  virtual int status() const = 0;
  /// The (first) header of this name, or "". Names compare without case.
  virtual std::string Header(std::string_view name) const = 0;
  /// -1 when the server does not say.
  virtual std::int64_t content_length() const = 0;
};

class HttpTransport {
 public:
  explicit HttpTransport(HttpOptions options);
  ~HttpTransport();

  /// Sends and waits for the headers. `cancelled` may be null; it must outlive the response.
  absl::StatusOr<std::unique_ptr<HttpResponse>> Send(const HttpRequest& request, const std::atomic<bool>* cancelled);

 private:
  HttpOptions options_;
};

/// Reads a body of at most `limit` bytes. kResourceExhausted beyond.
absl::StatusOr<std::string> ReadAll(ByteSource& source, std::size_t limit);

}  // namespace burstlet::cache
