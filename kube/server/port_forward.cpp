#include "kube/server/port_forward.h"

#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <boost/asio/buffer.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/write.hpp>
#include <charconv>
#include <map>
#include <optional>
#include <variant>

#include "kube/server/port_forward_channels.h"
#include "kube/server/spdy.h"
#include "kube/server/upgrade.h"
#include "kube/server/websocket_tunnel.h"
#include "metrics/log.h"

namespace burstlet::kube {
namespace {

namespace asio = boost::asio;
using boost::system::error_code;
using Clock = std::chrono::steady_clock;

constexpr std::size_t kReadBytes = 64 * 1024;
constexpr std::size_t kMaxPending = 2 << 20;  // for pods, all connections together
constexpr std::size_t kMaxPairs = 1000;
constexpr std::chrono::seconds kPairTime{30};

/// One forwarded connection.
struct Forward {
  std::string request_id;
  std::uint32_t error_stream = 0;
  std::uint32_t data_stream = 0;
  std::uint16_t port = 0;
  Clock::time_point created;
  bool dialing = false;
  bool client_ended = false;  // no more data from the client
  bool pod_ended = false;
  bool over = false;
  std::optional<asio::posix::stream_descriptor> socket;
  std::string pending;
  std::string in_flight;
  bool reading = false;
  std::array<char, kReadBytes> buffer;
};
using ForwardPtr = std::shared_ptr<Forward>;

class PortForwardSession final : public WireUser,
                                 private SpdySink,
                                 public std::enable_shared_from_this<PortForwardSession> {
 public:
  PortForwardSession(ContainerRef pod, DialPort dial, std::chrono::seconds idle_timeout)
      : pod_(std::move(pod)), dial_(std::move(dial)), idle_timeout_(idle_timeout) {}

  void Start(Wire& wire);
  void OnBytes(std::string_view bytes) override;
  void OnDrained() override;
  void OnGone() override;

 private:
  void OnSynStream(std::uint32_t id, const SpdyHeaders& headers, bool fin) override;
  void OnSynReply(std::uint32_t) override {}
  void OnData(std::uint32_t id, std::string_view piece, bool fin) override;
  void OnReset(std::uint32_t id, std::uint32_t status) override;
  void OnPing(std::uint32_t id) override;
  void OnGoAway() override { goes_away_ = true; }

  bool AddStream(std::uint32_t id, const SpdyHeaders& headers);
  void Dial(const ForwardPtr& forward);
  void OnDialed(const ForwardPtr& forward, absl::StatusOr<int> fd);
  void PumpToPod(const ForwardPtr& forward);
  void PumpToClient(const ForwardPtr& forward);
  void OnPodData(const ForwardPtr& forward, error_code error, std::size_t count);
  void Fail(const ForwardPtr& forward, const std::string& why);
  void MaybeOver(const ForwardPtr& forward);
  void Remove(const ForwardPtr& forward);
  ForwardPtr Find(std::uint32_t id) const;
  void Flush();
  void ReadOn();
  void Tick();
  void SetTimer(Clock::duration after);

  const ContainerRef pod_;
  const DialPort dial_;
  const std::chrono::seconds idle_timeout_;
  Wire* wire_ = nullptr;
  std::unique_ptr<asio::steady_timer> timer_;
  Clock::time_point last_activity_ = Clock::now();
  SpdyDecoder decoder_;
  SpdyEncoder encoder_;
  std::map<std::string, ForwardPtr> forwards_;   // by request id
  std::map<std::uint32_t, ForwardPtr> streams_;  // by stream number
  std::uint32_t last_id_ = 0;
  std::size_t pending_ = 0;
  bool reading_ = false;
  bool goes_away_ = false;
  std::string out_;
};

void PortForwardSession::Start(Wire& wire) {
  wire_ = &wire;
  timer_ = std::make_unique<asio::steady_timer>(wire.executor());
  Tick();
  ReadOn();
}

// Looks for pairs that never got their second stream, and for a session that nobody uses.
void PortForwardSession::Tick() {
  if (wire_ == nullptr) return;
  const Clock::time_point now = Clock::now();
  if (now - last_activity_ >= idle_timeout_) {
    wire_->Abort();
    return;
  }
  bool incomplete = false;
  const std::map<std::string, ForwardPtr> present = forwards_;
  for (const auto& [id, forward] : present) {
    if (forward->error_stream != 0 && forward->data_stream != 0) continue;
    if (now - forward->created >= kPairTime) {
      Fail(forward, "timed out waiting for streams");
    } else {
      incomplete = true;
    }
  }
  Flush();
  ReadOn();
  const Clock::duration idle_left = idle_timeout_ - (now - last_activity_);
  SetTimer(incomplete ? std::min<Clock::duration>(kPairTime, idle_left) : idle_left);
}

void PortForwardSession::SetTimer(Clock::duration after) {
  timer_->expires_after(after);
  timer_->async_wait([weak = weak_from_this()](error_code error) {
    const std::shared_ptr<PortForwardSession> self = weak.lock();
    if (!error && self != nullptr) self->Tick();
  });
}

void PortForwardSession::OnBytes(std::string_view bytes) {
  reading_ = false;
  last_activity_ = Clock::now();
  const std::shared_ptr<PortForwardSession> self = shared_from_this();
  const absl::Status status = decoder_.Feed(bytes, *this);
  if (wire_ == nullptr) return;
  if (!status.ok()) {
    V(2, "Closed a port-forward connection", {{"err", std::string(status.message())}});
    wire_->Abort();
    return;
  }
  Flush();
  if (goes_away_) {
    wire_->Close();
    return;
  }
  ReadOn();
}

void PortForwardSession::ReadOn() {
  if (wire_ == nullptr || reading_ || pending_ >= kMaxPending) return;
  reading_ = true;
  wire_->ReadMore();
}

void PortForwardSession::Flush() {
  if (wire_ == nullptr || out_.empty()) return;
  wire_->Write(std::move(out_));
  out_.clear();
}

void PortForwardSession::OnDrained() {
  const std::map<std::string, ForwardPtr> present = forwards_;
  for (const auto& [id, forward] : present) PumpToClient(forward);
}

void PortForwardSession::OnGone() {
  wire_ = nullptr;
  timer_->cancel();
  const std::map<std::string, ForwardPtr> present = std::move(forwards_);
  forwards_.clear();
  streams_.clear();
  for (const auto& [id, forward] : present) {
    forward->over = true;
    error_code ignored;
    if (forward->socket.has_value()) forward->socket->close(ignored);
  }
}

ForwardPtr PortForwardSession::Find(std::uint32_t id) const {
  const auto it = streams_.find(id);
  return it == streams_.end() ? nullptr : it->second;
}

void PortForwardSession::OnSynStream(std::uint32_t id, const SpdyHeaders& headers, bool fin) {
  if (id % 2 == 0 || id <= last_id_) {
    encoder_.Reset(id, SpdyReset::kProtocolError, &out_);
    return;
  }
  last_id_ = id;
  if (!AddStream(id, headers)) {
    encoder_.Reset(id, SpdyReset::kCancel, &out_);
    return;
  }
  encoder_.SynReply(id, &out_);
  const ForwardPtr forward = Find(id);
  if (fin) OnData(id, std::string_view(), true);
  if (forward->error_stream != 0 && forward->data_stream != 0 && !forward->dialing) Dial(forward);
}

bool PortForwardSession::AddStream(std::uint32_t id, const SpdyHeaders& headers) {
  const std::string type = SpdyHeader(headers, "streamtype");
  const std::string port_text = SpdyHeader(headers, "port");
  std::uint16_t port = 0;
  const auto [end, error] = std::from_chars(port_text.data(), port_text.data() + port_text.size(), port);
  if (error != std::errc() || end != port_text.data() + port_text.size() || port == 0) return false;
  if (type != "error" && type != "data") return false;
  std::string request = SpdyHeader(headers, "requestid");
  // Old clients name no request: their streams come in pairs, the error stream first.
  if (request.empty()) request = "#" + std::to_string(type == "error" ? id : id - 2);
  ForwardPtr& forward = forwards_[request];
  if (forward == nullptr) {
    if (forwards_.size() > kMaxPairs) {
      forwards_.erase(request);
      return false;
    }
    forward = std::make_shared<Forward>();
    forward->request_id = request;
    forward->created = Clock::now();
    SetTimer(kPairTime);
  }
  std::uint32_t& slot = type == "error" ? forward->error_stream : forward->data_stream;
  if (slot != 0) return false;
  slot = id;
  if (type == "data") forward->port = port;
  streams_[id] = forward;
  return true;
}

void PortForwardSession::Dial(const ForwardPtr& forward) {
  forward->dialing = true;
  dial_(pod_, forward->port, [weak = weak_from_this(), forward, post = wire_->poster()](absl::StatusOr<int> fd) {
    // Closed when nobody is there to take it any more.
    const std::shared_ptr<int> owned(new int(fd.ok() ? *fd : -1), [](int* number) {
      if (*number >= 0) close(*number);
      delete number;
    });
    const absl::Status status = fd.status();
    post([weak, forward, owned, status] {
      const std::shared_ptr<PortForwardSession> self = weak.lock();
      if (self == nullptr || forward->over) return;
      if (status.ok()) {
        self->OnDialed(forward, std::exchange(*owned, -1));
      } else {
        self->OnDialed(forward, status);
      }
    });
  });
}

void PortForwardSession::OnDialed(const ForwardPtr& forward, absl::StatusOr<int> fd) {
  if (!fd.ok()) {
    Fail(forward, std::string(fd.status().message()));
    Flush();
    return;
  }
  forward->socket.emplace(wire_->executor());
  error_code error;
  forward->socket->assign(*fd, error);
  if (error) {
    close(*fd);
    Fail(forward, error.message());
    Flush();
    return;
  }
  forward->socket->non_blocking(true, error);
  PumpToPod(forward);
  PumpToClient(forward);
}

void PortForwardSession::OnData(std::uint32_t id, std::string_view piece, bool fin) {
  const ForwardPtr forward = Find(id);
  if (forward == nullptr || id != forward->data_stream || forward->client_ended) return;
  forward->pending.append(piece);
  pending_ += piece.size();
  if (fin) forward->client_ended = true;
  PumpToPod(forward);
}

void PortForwardSession::PumpToPod(const ForwardPtr& forward) {
  if (forward->over || !forward->socket.has_value() || !forward->in_flight.empty()) return;
  if (forward->pending.empty()) {
    if (forward->client_ended) shutdown(forward->socket->native_handle(), SHUT_WR);
    MaybeOver(forward);
    return;
  }
  forward->in_flight.swap(forward->pending);
  asio::async_write(*forward->socket, asio::buffer(forward->in_flight),
                    [self = shared_from_this(), forward](error_code error, std::size_t) {
                      self->pending_ -= forward->in_flight.size();
                      forward->in_flight.clear();
                      self->last_activity_ = Clock::now();
                      if (forward->over) return self->ReadOn();
                      if (error) {
                        self->Fail(forward, error.message());
                        self->Flush();
                      } else {
                        self->PumpToPod(forward);
                      }
                      self->ReadOn();
                    });
}

void PortForwardSession::PumpToClient(const ForwardPtr& forward) {
  if (forward->over || forward->reading || forward->pod_ended || !forward->socket.has_value()) return;
  if (wire_ == nullptr || wire_->queued() >= Wire::kHighWater) return;
  forward->reading = true;
  forward->socket->async_read_some(asio::buffer(forward->buffer),
                                   [self = shared_from_this(), forward](error_code error, std::size_t count) {
                                     forward->reading = false;
                                     self->OnPodData(forward, error, count);
                                   });
}

void PortForwardSession::OnPodData(const ForwardPtr& forward, error_code error, std::size_t count) {
  if (forward->over || wire_ == nullptr) return;
  last_activity_ = Clock::now();
  if (error && error != asio::error::eof) {
    Fail(forward, error.message());
  } else if (error) {
    forward->pod_ended = true;
    encoder_.Data(forward->data_stream, "", true, &out_);
    MaybeOver(forward);
  } else {
    encoder_.Data(forward->data_stream, std::string_view(forward->buffer.data(), count), false, &out_);
  }
  Flush();
  PumpToClient(forward);
}

// Once the pod has closed there is nobody to send to: the kubelet's runtimes end the pair then too.
void PortForwardSession::MaybeOver(const ForwardPtr& forward) {
  if (forward->over || !forward->pod_ended) return;
  encoder_.Data(forward->error_stream, "", true, &out_);
  Remove(forward);
}

void PortForwardSession::Fail(const ForwardPtr& forward, const std::string& why) {
  if (forward->over) return;
  const std::string text = "error forwarding port " + std::to_string(forward->port) + " to pod " + pod_.pod + ", uid " +
                           pod_.uid + ": " + why;
  V(2, "Port-forward failed", {{"pod", pod_.name_space + "/" + pod_.pod}, {"err", why}});
  if (forward->error_stream != 0) encoder_.Data(forward->error_stream, text, false, &out_);
  for (const std::uint32_t id : {forward->data_stream, forward->error_stream}) {
    if (id != 0) encoder_.Reset(id, SpdyReset::kCancel, &out_);
  }
  Remove(forward);
}

void PortForwardSession::Remove(const ForwardPtr& forward) {
  forward->over = true;
  pending_ -= forward->pending.size();
  forward->pending.clear();
  error_code ignored;
  if (forward->socket.has_value()) forward->socket->close(ignored);
  streams_.erase(forward->data_stream);
  streams_.erase(forward->error_stream);
  forwards_.erase(forward->request_id);
}

void PortForwardSession::OnReset(std::uint32_t id, std::uint32_t) {
  const ForwardPtr forward = Find(id);
  if (forward == nullptr) return;
  // A client that drops the error stream alone goes on with its data.
  if (id != forward->data_stream) return;
  if (forward->error_stream != 0) encoder_.Data(forward->error_stream, "", true, &out_);
  Remove(forward);
}

void PortForwardSession::OnPing(std::uint32_t id) {
  if (id % 2 == 1) encoder_.Ping(id, &out_);
}

}  // namespace

void ServePortForward(Exchange& exchange, const ContainerRef& pod, const DialPort& dial,
                      std::chrono::seconds idle_timeout) {
  UpgradeOffer offer;
  offer.websocket.assign(std::begin(kWebSocketForwardProtocols), std::end(kWebSocketForwardProtocols));
  offer.spdy = {"portforward.k8s.io"};
  offer.tunnel = true;
  std::variant<Upgrade, HttpResponse> choice = ChooseUpgrade(exchange.request(), offer);
  if (std::holds_alternative<HttpResponse>(choice)) {
    exchange.Respond(std::get<HttpResponse>(std::move(choice)));
    return;
  }
  const Upgrade& upgrade = std::get<Upgrade>(choice);
  if (upgrade.kind == Upgrade::Kind::kWebSocket) {
    const auto ports = ForwardedPorts(exchange.request());
    if (!ports.ok()) {
      exchange.Respond(TextResponse(400, std::string(ports.status().message()) + "\n"));
      return;
    }
    ServeForwardChannels(exchange, pod, dial, idle_timeout, upgrade, *ports);
    return;
  }
  const auto session = std::make_shared<PortForwardSession>(pod, dial, idle_timeout);
  if (upgrade.kind == Upgrade::Kind::kSpdy) {
    session->Start(exchange.Stream(upgrade.head, session));
    return;
  }
  const auto tunnel = std::make_shared<WebSocketTunnel>(session);
  tunnel->Attach(exchange.Stream(upgrade.head, tunnel));
  session->Start(*tunnel);
}

}  // namespace burstlet::kube
