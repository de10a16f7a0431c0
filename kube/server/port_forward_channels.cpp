#include "kube/server/port_forward_channels.h"

#include <unistd.h>

#include <array>
#include <boost/asio/buffer.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/write.hpp>
#include <charconv>
#include <optional>

#include "kube/server/websocket.h"
#include "metrics/log.h"

namespace burstlet::kube {
namespace {

namespace asio = boost::asio;
using boost::system::error_code;
using Clock = std::chrono::steady_clock;

constexpr std::size_t kReadBytes = 32 * 1024;
constexpr std::size_t kMaxPending = 2 << 20;  // for pods, all ports together
constexpr std::size_t kMaxPorts = 100;        // channel numbers are one byte

struct ForwardedPort {
  std::uint16_t number = 0;
  unsigned channel = 0;  // of its data; the next one is for errors
  bool over = false;
  bool reading = false;
  std::optional<asio::posix::stream_descriptor> socket;
  std::string pending;
  std::string in_flight;
  std::array<char, kReadBytes> buffer;
};
using PortPtr = std::shared_ptr<ForwardedPort>;

class ChannelForwardSession final : public WireUser,
                                    private WebSocketSink,
                                    public std::enable_shared_from_this<ChannelForwardSession> {
 public:
  ChannelForwardSession(ContainerRef pod, bool base64, std::chrono::seconds idle_timeout)
      : pod_(std::move(pod)), base64_(base64), idle_timeout_(idle_timeout) {}

  void Start(Wire& wire, const std::vector<std::uint16_t>& ports, const DialPort& dial);
  void OnBytes(std::string_view bytes) override;
  void OnDrained() override;
  void OnGone() override;

 private:
  absl::Status OnMessage(std::string_view piece, bool begins, bool ends) override;
  void OnPing(std::string_view payload) override;
  void OnClose(std::uint16_t code) override;

  void Dial(const PortPtr& port, const DialPort& dial);
  void OnDialed(const PortPtr& port, absl::StatusOr<int> fd);
  void PumpToPod(const PortPtr& port);
  void PumpToClient(const PortPtr& port);
  void End(const PortPtr& port, const std::string& why);
  void Send(unsigned channel, std::string_view data);
  void Flush();
  void ReadOn();
  void SetTimer(Clock::duration after);

  const ContainerRef pod_;
  const bool base64_;
  const std::chrono::seconds idle_timeout_;
  Wire* wire_ = nullptr;
  std::unique_ptr<asio::steady_timer> timer_;
  Clock::time_point last_activity_ = Clock::now();
  WebSocketDecoder decoder_;
  Base64Decoder base64_decoder_;
  std::optional<unsigned> channel_;  // of the message under way
  std::vector<PortPtr> ports_;
  std::size_t pending_ = 0;
  bool reading_ = false;
  bool closing_ = false;
  std::string out_;
};

void ChannelForwardSession::Start(Wire& wire, const std::vector<std::uint16_t>& ports, const DialPort& dial) {
  wire_ = &wire;
  timer_ = std::make_unique<asio::steady_timer>(wire.executor());
  SetTimer(idle_timeout_);
  for (const std::uint16_t number : ports) {
    const auto port = std::make_shared<ForwardedPort>();
    port->number = number;
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

void ChannelForwardSession::SetTimer(Clock::duration after) {
  timer_->expires_after(after);
  timer_->async_wait([weak = weak_from_this()](error_code error) {
    const std::shared_ptr<ChannelForwardSession> self = weak.lock();
    if (error || self == nullptr || self->wire_ == nullptr) return;
    const Clock::duration idle = Clock::now() - self->last_activity_;
    if (idle >= self->idle_timeout_) return self->wire_->Abort();
    self->SetTimer(self->idle_timeout_ - idle);
  });
}

void ChannelForwardSession::Dial(const PortPtr& port, const DialPort& dial) {
  dial(pod_, port->number, [weak = weak_from_this(), port, post = wire_->poster()](absl::StatusOr<int> fd) {
    // Closed when nobody is there to take it any more.
    const std::shared_ptr<int> owned(new int(fd.ok() ? *fd : -1), [](int* number) {
      if (*number >= 0) close(*number);
      delete number;
    });
    post([weak, port, owned, status = fd.status()] {
      const std::shared_ptr<ChannelForwardSession> self = weak.lock();
      if (self == nullptr || port->over) return;
      if (status.ok()) {
        self->OnDialed(port, std::exchange(*owned, -1));
      } else {
        self->OnDialed(port, status);
      }
    });
  });
}

void ChannelForwardSession::OnDialed(const PortPtr& port, absl::StatusOr<int> fd) {
  if (!fd.ok()) return End(port, std::string(fd.status().message()));
  port->socket.emplace(wire_->executor());
  error_code error;
  port->socket->assign(*fd, error);
  if (error) {
    close(*fd);
    return End(port, error.message());
  }
  port->socket->non_blocking(true, error);
  PumpToPod(port);
  PumpToClient(port);
}

void ChannelForwardSession::OnBytes(std::string_view bytes) {
  reading_ = false;
  last_activity_ = Clock::now();
  const std::shared_ptr<ChannelForwardSession> self = shared_from_this();
  const absl::Status status = decoder_.Feed(bytes, *this);
  if (wire_ == nullptr) return;
  if (!status.ok()) {
    V(2, "Closed a port-forward connection", {{"err", std::string(status.message())}});
    wire_->Abort();
    return;
  }
  Flush();
  if (decoder_.closed()) {
    wire_->Close();
  } else {
    ReadOn();
  }
}

void ChannelForwardSession::ReadOn() {
  if (wire_ == nullptr || reading_ || pending_ >= kMaxPending) return;
  reading_ = true;
  wire_->ReadMore();
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
  port->pending.append(piece);
  pending_ += piece.size();
  PumpToPod(port);
  return absl::OkStatus();
}

void ChannelForwardSession::OnPing(std::string_view payload) {
  if (!closing_) AppendWebSocketFrame(WebSocketOpcode::kPong, "", payload, &out_);
}

void ChannelForwardSession::OnClose(std::uint16_t code) {
  if (!closing_) out_.append(WebSocketCloseFrame(code));
  closing_ = true;
}

void ChannelForwardSession::PumpToPod(const PortPtr& port) {
  if (port->over || !port->socket.has_value() || !port->in_flight.empty() || port->pending.empty()) return;
  port->in_flight.swap(port->pending);
  asio::async_write(*port->socket, asio::buffer(port->in_flight),
                    [self = shared_from_this(), port](error_code error, std::size_t) {
                      self->pending_ -= port->in_flight.size();
                      port->in_flight.clear();
                      self->last_activity_ = Clock::now();
                      if (!port->over && error) self->End(port, error.message());
                      if (!port->over) self->PumpToPod(port);
                      self->ReadOn();
                    });
}

void ChannelForwardSession::PumpToClient(const PortPtr& port) {
  if (port->over || port->reading || !port->socket.has_value()) return;
  if (wire_ == nullptr || wire_->queued() >= Wire::kHighWater) return;
  port->reading = true;
  port->socket->async_read_some(asio::buffer(port->buffer),
                                [self = shared_from_this(), port](error_code error, std::size_t count) {
                                  port->reading = false;
                                  if (port->over || self->wire_ == nullptr) return;
                                  self->last_activity_ = Clock::now();
                                  if (error) return self->End(port, error == asio::error::eof ? "" : error.message());
                                  self->Send(port->channel, std::string_view(port->buffer.data(), count));
                                  self->Flush();
                                  self->PumpToClient(port);
                                });
}

/// The port's connection is over, in good order when `why` is empty; with the last one the session is.
void ChannelForwardSession::End(const PortPtr& port, const std::string& why) {
  port->over = true;
  pending_ -= port->pending.size();
  port->pending.clear();
  error_code ignored;
  if (port->socket.has_value()) port->socket->close(ignored);
  if (!why.empty()) {
    V(2, "Port-forward failed", {{"pod", pod_.name_space + "/" + pod_.pod}, {"err", why}});
    Send(port->channel + 1, "error forwarding port " + std::to_string(port->number) + " to pod " + pod_.pod + ", uid " +
                                pod_.uid + ": " + why);
  }
  bool left = false;
  for (const PortPtr& other : ports_) left = left || !other->over;
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

void ChannelForwardSession::Flush() {
  if (wire_ == nullptr || out_.empty()) return;
  wire_->Write(std::move(out_));
  out_.clear();
}

void ChannelForwardSession::OnDrained() {
  for (const PortPtr& port : ports_) PumpToClient(port);
}

void ChannelForwardSession::OnGone() {
  wire_ = nullptr;
  timer_->cancel();
  error_code ignored;
  for (const PortPtr& port : ports_) {
    port->over = true;
    if (port->socket.has_value()) port->socket->close(ignored);
  }
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
