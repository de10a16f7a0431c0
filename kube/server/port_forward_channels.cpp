#include "kube/server/port_forward_channels.h"

#include <algorithm>
#include <charconv>
#include <optional>

#include "kube/server/forward_session.h"
#include "kube/server/websocket.h"

namespace burstlet::kube {
namespace {

constexpr std::size_t kMaxPorts = 100;  // channel numbers are one byte

struct ForwardedPort : PodConnection {
  unsigned channel = 0;  // of its data; the next one is for errors
};
using PortPtr = std::shared_ptr<ForwardedPort>;

class ChannelForwardSession final : public ForwardSession, private WebSocketSink {
 public:
  ChannelForwardSession(ContainerRef pod, bool base64, std::chrono::seconds idle_timeout)
      : ForwardSession(std::move(pod), idle_timeout), base64_(base64) {}

  void Start(Wire& wire, const std::vector<std::uint16_t>& ports, const DialPort& dial);
  void OnDrained() override;
  void OnGone() override;

 private:
  absl::Status Decode(std::string_view bytes) override { return decoder_.Feed(bytes, *this); }
  bool ClientLeft() const override { return decoder_.closed(); }
  void OnPodData(const PodConnectionPtr& connection, std::string_view data) override;
  void OnPodEnd(const PodConnectionPtr& connection) override { End(connection); }
  void Fail(const PodConnectionPtr& connection, const std::string& why) override;
  void OnTimer() override;

  absl::Status OnMessage(std::string_view piece, bool begins, bool ends) override;
  void OnPing(std::string_view payload) override;
  void OnClose(std::uint16_t code) override;

  /// The base knows connections; those of this session are all its own.
  static unsigned ChannelOf(const PodConnectionPtr& connection) {
    return static_cast<const ForwardedPort&>(*connection).channel;
  }

  void End(const PodConnectionPtr& connection);
  void Send(unsigned channel, std::string_view data);

  const bool base64_;
  WebSocketDecoder decoder_;
  Base64Decoder base64_decoder_;
  std::optional<unsigned> channel_;  // of the message under way
  std::vector<PortPtr> ports_;
  bool closing_ = false;
};

void ChannelForwardSession::Start(Wire& wire, const std::vector<std::uint16_t>& ports, const DialPort& dial) {
  Attach(wire);
  SetTimer(IdleLeft());
  for (const std::uint16_t number : ports) {
    const auto port = std::make_shared<ForwardedPort>();
    port->port = number;
    port->channel = static_cast<unsigned>(ports_.size()) * 2;
    ports_.push_back(port);
    const char bytes[2] = {static_cast<char>(number & 0xff), static_cast<char>(number >> 8)};
    Send(port->channel, std::string_view(bytes, 2));
    Send(port->channel + 1, std::string_view(bytes, 2));
  }
  Flush();
  for (const PortPtr& port : ports_) Dial(port, dial);
  ReadOn();
}

void ChannelForwardSession::OnTimer() {
  if (IdleLeft() <= Clock::duration::zero()) return wire_->Abort();
  SetTimer(IdleLeft());
}

absl::Status ChannelForwardSession::OnMessage(std::string_view piece, bool begins, bool ends) {
  if (begins) {
    channel_.reset();
    base64_decoder_ = Base64Decoder();
  }
  if (!channel_.has_value() && !piece.empty()) {
    const auto first = static_cast<unsigned char>(piece[0]);
    channel_ = base64_ && first >= '0' ? first - '0' : first;
    piece.remove_prefix(1);
  }
  // What comes for an error channel, for none, or for a connection that has ended, is passed over.
  if (!channel_.has_value() || *channel_ % 2 != 0 || *channel_ / 2 >= ports_.size()) return absl::OkStatus();
  const PortPtr port = ports_[*channel_ / 2];
  std::string decoded;
  if (base64_) {
    const bool good = base64_decoder_.Feed(piece, &decoded);
    if (!good || (ends && !base64_decoder_.Finish())) return absl::InvalidArgumentError("WebSocket: bad base64");
    piece = decoded;
  }
  if (port->over || piece.empty()) return absl::OkStatus();
  Take(port, piece);
  return absl::OkStatus();
}

void ChannelForwardSession::OnPing(std::string_view payload) {
  if (!closing_) AppendWebSocketFrame(WebSocketOpcode::kPong, "", payload, &out_);
}

void ChannelForwardSession::OnClose(std::uint16_t code) {
  if (!closing_) out_.append(WebSocketCloseFrame(code));
  closing_ = true;
}

void ChannelForwardSession::OnPodData(const PodConnectionPtr& connection, std::string_view data) {
  Send(ChannelOf(connection), data);
}

void ChannelForwardSession::Fail(const PodConnectionPtr& connection, const std::string& why) {
  Send(ChannelOf(connection) + 1, ErrorText(connection, why));
  End(connection);
}

/// The port's connection is over; with the last one the session is.
void ChannelForwardSession::End(const PodConnectionPtr& connection) {
  Close(connection);
  const bool left = std::any_of(ports_.begin(), ports_.end(), [](const PortPtr& port) { return !port->over; });
  if (!left && !closing_) {
    closing_ = true;
    out_.append(WebSocketCloseFrame(1000));
  }
  Flush();
  if (!left && wire_ != nullptr) wire_->Close();
}

void ChannelForwardSession::Send(unsigned channel, std::string_view data) {
  if (closing_) return;
  if (base64_) {
    const char digit = static_cast<char>('0' + channel);
    AppendWebSocketFrame(WebSocketOpcode::kText, std::string_view(&digit, 1), EncodeBase64(data), &out_);
  } else {
    const char number = static_cast<char>(channel);
    AppendWebSocketFrame(WebSocketOpcode::kBinary, std::string_view(&number, 1), data, &out_);
  }
}

void ChannelForwardSession::OnDrained() {
  for (const PortPtr& port : ports_) PumpToClient(port);
}

void ChannelForwardSession::OnGone() {
  Detach();
  for (const PortPtr& port : ports_) Close(port);
}

}  // namespace

absl::StatusOr<std::vector<std::uint16_t>> ForwardedPorts(const HttpRequest& request) {
  std::vector<std::uint16_t> ports;
  const std::vector<std::string> values = request.QueryAll("port");
  if (values.empty()) return absl::InvalidArgumentError("query parameter \"port\" is required");
  for (const std::string& value : values) {
    for (std::size_t at = 0; at <= value.size();) {
      const std::size_t end = std::min(value.find(',', at), value.size());
      std::uint16_t port = 0;
      const auto [stop, error] = std::from_chars(value.data() + at, value.data() + end, port);
      if (error != std::errc() || stop != value.data() + end || port == 0) {
        return absl::InvalidArgumentError("query parameter \"port\": \"" + value + "\" names no port (1 to 65535)");
      }
      ports.push_back(port);
      at = end + 1;
    }
  }
  if (ports.size() > kMaxPorts) {
    return absl::InvalidArgumentError("query parameter \"port\": more than " + std::to_string(kMaxPorts) + " ports");
  }
  return ports;
}

void ServeForwardChannels(Exchange& exchange, const ContainerRef& pod, const DialPort& dial,
                          std::chrono::seconds idle_timeout, const Upgrade& upgrade,
                          const std::vector<std::uint16_t>& ports) {
  const bool base64 = upgrade.protocol.find("base64") != std::string::npos;
  const auto session = std::make_shared<ChannelForwardSession>(pod, base64, idle_timeout);
  session->Start(exchange.Stream(upgrade.head, session), ports, dial);
}

}  // namespace burstlet::kube
