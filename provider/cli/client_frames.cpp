#include "provider/cli/client_frames.h"

#include "kube/server/websocket.h"

namespace burstlet::provider {
namespace {

constexpr std::uint64_t kLongestFrame = 1 << 20;
constexpr unsigned char kTwoBytes = 126;
constexpr unsigned char kEightBytes = 127;

}  // namespace

void AppendClientFrame(std::uint8_t opcode, std::string_view payload, std::string* out) {
  kube::AppendWebSocketHead(static_cast<kube::WebSocketOpcode>(opcode), payload.size(), true, out);
  out->append(4, '\0');  // the mask
  out->append(payload);
}

absl::Status ServerFrames::Feed(std::string_view bytes, const Sink& sink) {
  input_.append(bytes);
  std::size_t at = 0;
  while (input_.size() - at >= 2) {
    const auto byte = [&](std::size_t index) { return static_cast<unsigned char>(input_[at + index]); };
    std::uint64_t size = byte(1);
    std::size_t head = 2;
    if (size > kEightBytes) return absl::InvalidArgumentError("the agent sent a masked frame");
    const std::size_t length_bytes = size == kTwoBytes ? 2 : size == kEightBytes ? 8 : 0;
    if (length_bytes > 0) {
      if (input_.size() - at < head + length_bytes) break;
      size = 0;
      for (std::size_t i = 0; i < length_bytes; ++i) size = size << 8 | byte(head + i);
      head += length_bytes;
    }
    if (size > kLongestFrame) return absl::InvalidArgumentError("the agent sent a frame that is too long");
    if (input_.size() - at < head + size) break;
    sink(byte(0) & 0x0f, std::string_view(input_).substr(at + head, size));
    at += head + size;
  }
  input_.erase(0, at);
  return absl::OkStatus();
}

}  // namespace burstlet::provider
