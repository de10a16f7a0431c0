#include "kube/server/websocket_tunnel.h"

namespace burstlet::kube {

void WebSocketTunnel::Write(std::string bytes) {
  if (closing_ || bytes.empty()) return;
  std::string frame;
  AppendWebSocketFrame(WebSocketOpcode::kBinary, "", bytes, &frame);
  outer_->Write(std::move(frame));
}

void WebSocketTunnel::Close() {
  if (!closing_) outer_->Write(WebSocketCloseFrame(1000));
  closing_ = true;
  outer_->Close();
}

void WebSocketTunnel::OnBytes(std::string_view bytes) {
  if (!decoder_.Feed(bytes, *this).ok()) {
    outer_->Abort();
    return;
  }
  if (decoder_.closed()) {
    outer_->Close();
    return;
  }
  if (incoming_.empty()) {
    outer_->ReadMore();  // the user asked for bytes and has got none yet
    return;
  }
  const std::string data = std::move(incoming_);
  incoming_.clear();
  user_->OnBytes(data);
}

absl::Status WebSocketTunnel::OnMessage(std::string_view piece, bool, bool) {
  incoming_.append(piece);
  return absl::OkStatus();
}

void WebSocketTunnel::OnPing(std::string_view payload) {
  if (closing_) return;
  std::string frame;
  AppendWebSocketFrame(WebSocketOpcode::kPong, "", payload, &frame);
  outer_->Write(std::move(frame));
}

void WebSocketTunnel::OnClose(std::uint16_t code) {
  if (!closing_) outer_->Write(WebSocketCloseFrame(code));
  closing_ = true;
}

}  // namespace burstlet::kube
