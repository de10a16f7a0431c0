// A wire inside a wire: the bytes of another protocol as the binary messages of a WebSocket (KEP-4006's port-forward).
//
// The user sees a Wire like any other. Threads: the connection's strand. Failure: malformed frames abort the
// connection.
#pragma once

#include <memory>
#include <string>

#include "kube/server/websocket.h"
#include "kube/server/wire.h"

namespace burstlet::kube {

class WebSocketTunnel final : public Wire, public WireUser, private WebSocketSink {
 public:
  explicit WebSocketTunnel(std::shared_ptr<WireUser> user) : user_(std::move(user)) {}
  void Attach(Wire& outer) { outer_ = &outer; }

  // Wire, for the user
  boost::asio::any_io_executor executor() override { return outer_->executor(); }
  Poster poster() override { return outer_->poster(); }
  void Write(std::string bytes) override;
  void WriteApart(std::string bytes) override { Write(std::move(bytes)); }  // a frame of its own
  std::size_t queued() const override { return outer_->queued(); }
  void ReadMore() override { outer_->ReadMore(); }
  void Finish() override { Close(); }
  void Close() override;
  void Abort() override { outer_->Abort(); }

  // WireUser, for the connection
  void OnBytes(std::string_view bytes) override;
  void OnDrained() override { user_->OnDrained(); }
  void OnGone() override { user_->OnGone(); }

 private:
  absl::Status OnMessage(std::string_view piece, bool begins, bool ends) override;
  void OnPing(std::string_view payload) override;
  void OnClose(std::uint16_t code) override;

  const std::shared_ptr<WireUser> user_;
  Wire* outer_ = nullptr;
  WebSocketDecoder decoder_;
  std::string incoming_;
  bool closing_ = false;
};

}  // namespace burstlet::kube
