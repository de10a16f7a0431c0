// RFC 6455 framing, the server's side: bytes of the client in, message pieces out, and frames for the client.
//
// I/O-free. Messages are passed on piece by piece as they arrive, so that memory does not grow with what a client
// announces. Threads: one at a time. Failure: a protocol error is kInvalidArgument, and the connection must close.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>

#include "absl/status/status.h"

namespace burstlet::kube {

enum class WebSocketOpcode : std::uint8_t {
  kContinuation = 0,
  kText = 1,
  kBinary = 2,
  kClose = 8,
  kPing = 9,
  kPong = 10,
};

class WebSocketSink {
 public:
  virtual ~WebSocketSink() = default;
  /// A piece of a data message, unmasked. `begins`/`ends` mark the message's first and last piece; pieces may be empty.
  virtual absl::Status OnMessage(std::string_view piece, bool begins, bool ends) = 0;
  virtual void OnPing(std::string_view payload) = 0;
  /// The client closes with this code (1005 = none given). Nothing follows.
  virtual void OnClose(std::uint16_t code) = 0;
};

class WebSocketDecoder {
 public:
  absl::Status Feed(std::string_view bytes, WebSocketSink& sink);
  bool closed() const { return closed_; }

 private:
  absl::Status Header();
  absl::Status Payload(std::string_view piece, bool ends_frame, WebSocketSink& sink);
  absl::Status EndControl(WebSocketSink& sink);

  std::string header_;  // bytes of the frame's header seen so far
  bool in_payload_ = false;
  bool fin_ = false;
  WebSocketOpcode opcode_ = WebSocketOpcode::kContinuation;
  std::uint64_t left_ = 0;
  std::array<unsigned char, 4> mask_{};
  std::size_t mask_at_ = 0;
  bool in_message_ = false;     // between the first and the last frame of a message
  bool begins_message_ = true;  // the next data piece is a message's first
  std::string control_;
  bool closed_ = false;
};

/// Appends what comes before a whole frame's payload of `size` bytes (RFC 6455, 5.2), without the mask itself.
void AppendWebSocketHead(WebSocketOpcode opcode, std::uint64_t size, bool masked, std::string* out);
/// Appends one whole frame with payload `prefix` + `data`.
void AppendWebSocketFrame(WebSocketOpcode opcode, std::string_view prefix, std::string_view data, std::string* out);
std::string WebSocketCloseFrame(std::uint16_t code);
/// Sec-WebSocket-Accept for a Sec-WebSocket-Key.
std::string WebSocketAccept(const std::string& key);
/// True for 16 bytes in base64.
bool IsWebSocketKey(std::string_view key);

std::string EncodeBase64(std::string_view data);

/// Base64 in pieces: whole groups of four are decoded, the rest is kept.
class Base64Decoder {
 public:
  /// False on a character that does not belong.
  bool Feed(std::string_view text, std::string* out);
  /// False when an unfinished group is left.
  bool Finish() const { return count_ == 0; }

 private:
  std::uint32_t bits_ = 0;
  int count_ = 0;
  int padding_ = 0;
};

}  // namespace burstlet::kube
