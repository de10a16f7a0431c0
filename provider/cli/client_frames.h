// WebSocket frames from the client's side, for a server that is this program: framing only, no I/O.
//
// Frames to the server are masked, as RFC 6455 demands, with a mask of zeros: there is no proxy in between to confuse.
// Threads: one at a time. Failure: kInvalidArgument, the connection is of no use any more.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

#include "absl/status/status.h"

namespace burstlet::provider {

inline constexpr std::uint8_t kBinaryFrame = 2;
inline constexpr std::uint8_t kCloseFrame = 8;
inline constexpr std::uint8_t kPingFrame = 9;
inline constexpr std::uint8_t kPongFrame = 10;

void AppendClientFrame(std::uint8_t opcode, std::string_view payload, std::string* out);

class ServerFrames {
 public:
  using Sink = std::function<void(std::uint8_t opcode, std::string_view payload)>;
  /// Calls `sink` for each frame that is whole. Frames of more than 1 MiB are refused: the agent sends none.
  absl::Status Feed(std::string_view bytes, const Sink& sink);

 private:
  std::string input_;
};

}  // namespace burstlet::provider
