// RemoteChannels over a WebSocket: each message is a channel number and data, raw or in base64.
#include <optional>

#include "kube/server/remote_channels.h"
#include "kube/server/websocket.h"

namespace burstlet::kube {
namespace {

constexpr unsigned char kCloseSignal = 255;  // v5: the next byte names the channel that the client closes
constexpr unsigned char kLastChannel = 4;

class WebSocketChannels final : public RemoteChannels, private WebSocketSink {
 public:
  WebSocketChannels(const std::string& protocol, const ChannelOptions& options)
      : options_(options),
        base64_(protocol.find("base64") != std::string::npos),
        can_close_(protocol == "v5.channel.k8s.io"),
        json_(protocol.rfind("v4.", 0) == 0 || protocol.rfind("v5.", 0) == 0) {}

  void Open(ChannelSink& sink, std::string* out) override {
    // An empty message on the lowest channel the client reads tells that all is connected.
    Frame(options_.want_stdout ? Channel::kStdout : options_.want_stderr ? Channel::kStderr : Channel::kError, "", out);
    sink.OnChannelsReady();
  }

  absl::Status Receive(std::string_view bytes, ChannelSink& sink, std::string* out) override {
    sink_ = &sink;
    out_ = out;
    const absl::Status status = decoder_.Feed(bytes, *this);
    sink_ = nullptr;
    out_ = nullptr;
    return status;
  }

  void Send(Channel channel, std::string_view data, std::string* out) override {
    const bool wanted = channel == Channel::kError || (channel == Channel::kStdout && options_.want_stdout) ||
                        (channel == Channel::kStderr && options_.want_stderr);
    if (!wanted || ended_) return;
    Frame(channel, data, out);
  }

  void End(std::string* out) override {
    if (ended_) return;
    ended_ = true;
    out->append(WebSocketCloseFrame(1000));
  }

  bool json_status() const override { return json_; }

 private:
  void Frame(Channel channel, std::string_view data, std::string* out) {
    const auto number = static_cast<unsigned char>(channel);
    if (base64_) {
      const char digit = static_cast<char>('0' + number);
      AppendWebSocketFrame(WebSocketOpcode::kText, std::string_view(&digit, 1), EncodeBase64(data), out);
    } else {
      const char byte = static_cast<char>(number);
      AppendWebSocketFrame(WebSocketOpcode::kBinary, std::string_view(&byte, 1), data, out);
    }
  }

  absl::Status OnMessage(std::string_view piece, bool begins, bool ends) override {
    if (begins) {
      channel_.reset();
      base64_decoder_ = Base64Decoder();
      close_target_.reset();
    }
    if (!channel_.has_value() && !piece.empty()) {
      channel_ = static_cast<unsigned char>(piece[0]);
      piece.remove_prefix(1);
      if (base64_) *channel_ = static_cast<unsigned char>(*channel_ - '0');
    }
    if (!channel_.has_value()) return absl::OkStatus();
    if (can_close_ && *channel_ == kCloseSignal) return CloseSignal(piece, ends);
    // Messages for channels that are none are passed over, as the kubelet does.
    if (*channel_ > kLastChannel || piece.empty()) return absl::OkStatus();
    if (!base64_) {
      Deliver(piece);
      return absl::OkStatus();
    }
    std::string data;
    const bool good = base64_decoder_.Feed(piece, &data);
    if (!data.empty()) Deliver(data);
    if (!good || (ends && !base64_decoder_.Finish())) return absl::InvalidArgumentError("WebSocket: bad base64");
    return absl::OkStatus();
  }

  absl::Status CloseSignal(std::string_view piece, bool ends) {
    for (const char c : piece) {
      if (close_target_.has_value()) return absl::InvalidArgumentError("WebSocket: long close signal");
      close_target_ = static_cast<unsigned char>(c);
    }
    if (!ends) return absl::OkStatus();
    if (!close_target_.has_value() || *close_target_ > kLastChannel) {
      return absl::InvalidArgumentError("WebSocket: close signal for no channel");
    }
    sink_->OnChannelClosed(static_cast<Channel>(*close_target_));
    return absl::OkStatus();
  }

  void Deliver(std::string_view data) {
    const auto channel = static_cast<Channel>(*channel_);
    const bool readable = (channel == Channel::kStdin && options_.want_stdin) || channel == Channel::kResize;
    if (readable) sink_->OnChannelData(channel, data);
  }

  void OnPing(std::string_view payload) override {
    if (!ended_) AppendWebSocketFrame(WebSocketOpcode::kPong, "", payload, out_);
  }

  void OnClose(std::uint16_t code) override {
    if (!ended_) out_->append(WebSocketCloseFrame(code));
    ended_ = true;
    sink_->OnClientDone();
  }

  const ChannelOptions options_;
  const bool base64_;
  const bool can_close_;
  const bool json_;
  WebSocketDecoder decoder_;
  Base64Decoder base64_decoder_;
  std::optional<unsigned char> channel_;  // of the message under way
  std::optional<unsigned char> close_target_;
  bool ended_ = false;
  ChannelSink* sink_ = nullptr;
  std::string* out_ = nullptr;
};

}  // namespace

std::unique_ptr<RemoteChannels> MakeWebSocketChannels(const std::string& protocol, const ChannelOptions& options) {
  return std::make_unique<WebSocketChannels>(protocol, options);
}

}  // namespace burstlet::kube
