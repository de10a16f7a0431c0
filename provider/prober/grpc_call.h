// One unary gRPC call as bytes to send and bytes received, over HTTP/2 without TLS; it does no I/O.
//
// HTTP/2 itself is nghttp2's; here is what gRPC puts on it: the request's headers, messages with their prefix, and the
// trailers with the result. A server's answer is bounded by nghttp2's limits of headers and by kMaxProbeOutput.
// Source: grpc/doc/PROTOCOL-HTTP2.md, http-grpc-status-mapping.md. Not thread-safe.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>

struct nghttp2_session;

namespace burstlet::provider {

/// The numbers of grpc/doc/statuscodes.md that this node tells apart.
enum class GrpcCode : std::uint32_t {
  kOk = 0,
  kUnknown = 2,
  kDeadlineExceeded = 4,
  kPermissionDenied = 7,
  kResourceExhausted = 8,
  kUnimplemented = 12,
  kInternal = 13,
  kUnavailable = 14,
  kUnauthenticated = 16,
};

class GrpcCall {
 public:
  struct Request {
    std::string authority;  // host:port
    std::string path;       // "/package.Service/Method"
    std::string message;    // protobuf
    std::string user_agent;
    std::chrono::milliseconds timeout{0};  // told to the server
  };

  explicit GrpcCall(Request request);
  ~GrpcCall();
  GrpcCall(const GrpcCall&) = delete;
  GrpcCall& operator=(const GrpcCall&) = delete;

  /// All that is to be sent now; empty when there is nothing.
  std::string TakeOutput();
  /// What the server sent. After a protocol error the call is done.
  void Feed(std::string_view bytes);
  /// The connection ended, in the words of `why`; an answer that is whole stays.
  void Closed(const std::string& why);

  bool done() const { return done_; }
  /// The server has begun to speak HTTP/2: what makes a connection "ready".
  bool ready() const { return ready_; }
  /// Of a call that is done.
  GrpcCode code() const { return code_; }
  /// The server's words, or ours where it did not get to say any.
  const std::string& error() const { return error_; }
  /// The answer's message; of kOk only.
  const std::string& message() const { return message_; }

 private:
  friend struct GrpcCallbacks;

  void Submit();
  void Header(std::string_view name, std::string_view value);
  void Data(std::string_view bytes);
  void StreamClosed(std::uint32_t http2_error);
  void Finish(GrpcCode code, std::string error);
  void TakeMessage();

  Request request_;
  std::string body_;  // the request's, with its prefix
  std::size_t sent_ = 0;
  nghttp2_session* session_ = nullptr;
  bool ready_ = false;
  bool done_ = false;

  int http_status_ = 0;
  bool grpc_content_ = false;
  bool has_status_ = false;
  std::uint32_t status_ = 0;
  std::string status_message_;
  std::string answer_;

  GrpcCode code_ = GrpcCode::kUnknown;
  std::string error_;
  std::string message_;
};

}  // namespace burstlet::provider
