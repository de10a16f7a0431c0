#include "kube/server/port_forward.h"

#include <sys/socket.h>

#include <charconv>
#include <map>
#include <variant>

#include "kube/server/forward_session.h"
#include "kube/server/port_forward_channels.h"
#include "kube/server/spdy.h"
#include "kube/server/upgrade.h"
#include "kube/server/websocket_tunnel.h"

namespace burstlet::kube {
namespace {

constexpr std::size_t kMaxPairs = 1000;
constexpr std::chrono::seconds kPairTime{30};

/// One forwarded connection: a pair of streams.
struct Forward : PodConnection {
  std::string request_id;
  std::uint32_t error_stream = 0;
  std::uint32_t data_stream = 0;
  std::chrono::steady_clock::time_point created;
  bool dialing = false;
  bool client_ended = false;  // no more data from the client
};
using ForwardPtr = std::shared_ptr<Forward>;

class PortForwardSession final : public ForwardSession, private SpdySink {
 public:
  PortForwardSession(ContainerRef pod, DialPort dial, std::chrono::seconds idle_timeout)
      : ForwardSession(std::move(pod), idle_timeout), dial_(std::move(dial)) {}

  void Start(Wire& wire);
  void OnDrained() override;
  void OnGone() override;

 private:
  absl::Status Decode(std::string_view bytes) override { return decoder_.Feed(bytes, *this); }
  bool ClientLeft() const override { return goes_away_; }
  void OnPodData(const PodConnectionPtr& connection, std::string_view data) override;
  void OnPodEnd(const PodConnectionPtr& connection) override;
  void Fail(const PodConnectionPtr& connection, const std::string& why) override;
  void OnSent(const PodConnectionPtr& connection) override;
  void OnTimer() override;

  void OnSynStream(std::uint32_t id, const SpdyHeaders& headers, bool fin) override;
  void OnSynReply(std::uint32_t) override {}
  void OnData(std::uint32_t id, std::string_view piece, bool fin) override;
  void OnReset(std::uint32_t id, std::uint32_t status) override;
  void OnPing(std::uint32_t id) override;
  void OnGoAway() override { goes_away_ = true; }

  /// The base knows connections; those of this session are all its own.
  static Forward& Of(const PodConnectionPtr& connection) { return static_cast<Forward&>(*connection); }

  bool AddStream(std::uint32_t id, const SpdyHeaders& headers);
  void MaybeOver(const PodConnectionPtr& connection);
  void Remove(const PodConnectionPtr& connection);
  ForwardPtr Find(std::uint32_t id) const;

  const DialPort dial_;
  SpdyDecoder decoder_;
  SpdyEncoder encoder_;
  std::map<std::string, ForwardPtr> forwards_;   // by request id
  std::map<std::uint32_t, ForwardPtr> streams_;  // by stream number
  std::uint32_t last_id_ = 0;
  bool goes_away_ = false;
};

void PortForwardSession::Start(Wire& wire) {
  Attach(wire);
  OnTimer();
  ReadOn();
}

// Looks for pairs that never got their second stream, and for a session that nobody uses.
void PortForwardSession::OnTimer() {
  if (IdleLeft() <= Clock::duration::zero()) {
    wire_->Abort();
    return;
  }
  bool incomplete = false;
  const Clock::time_point now = Clock::now();
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
  SetTimer(incomplete ? std::min<Clock::duration>(kPairTime, IdleLeft()) : IdleLeft());
}

void PortForwardSession::OnDrained() {
  const std::map<std::string, ForwardPtr> present = forwards_;
  for (const auto& [id, forward] : present) PumpToClient(forward);
}

void PortForwardSession::OnGone() {
  Detach();
  const std::map<std::string, ForwardPtr> present = std::move(forwards_);
  forwards_.clear();
  streams_.clear();
  for (const auto& [id, forward] : present) Close(forward);
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
  if (forward->error_stream == 0 || forward->data_stream == 0 || forward->dialing) return;
  forward->dialing = true;
  Dial(forward, dial_);
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

void PortForwardSession::OnData(std::uint32_t id, std::string_view piece, bool fin) {
  const ForwardPtr forward = Find(id);
  if (forward == nullptr || id != forward->data_stream || forward->client_ended) return;
  forward->client_ended = fin;
  Take(forward, piece);
}

void PortForwardSession::OnSent(const PodConnectionPtr& connection) {
  if (Of(connection).client_ended) shutdown(connection->socket->native_handle(), SHUT_WR);
  MaybeOver(connection);
}

void PortForwardSession::OnPodData(const PodConnectionPtr& connection, std::string_view data) {
  encoder_.Data(Of(connection).data_stream, data, false, &out_);
}

void PortForwardSession::OnPodEnd(const PodConnectionPtr& connection) {
  encoder_.Data(Of(connection).data_stream, "", true, &out_);
  MaybeOver(connection);
}

// Once the pod has closed there is nobody to send to: the kubelet's runtimes end the pair then too.
void PortForwardSession::MaybeOver(const PodConnectionPtr& connection) {
  if (connection->over || !connection->pod_ended) return;
  encoder_.Data(Of(connection).error_stream, "", true, &out_);
  Remove(connection);
}

void PortForwardSession::Fail(const PodConnectionPtr& connection, const std::string& why) {
  if (connection->over) return;
  const Forward& forward = Of(connection);
  const std::string text = ErrorText(connection, why);
  if (forward.error_stream != 0) encoder_.Data(forward.error_stream, text, false, &out_);
  for (const std::uint32_t id : {forward.data_stream, forward.error_stream}) {
    if (id != 0) encoder_.Reset(id, SpdyReset::kCancel, &out_);
  }
  Remove(connection);
}

void PortForwardSession::Remove(const PodConnectionPtr& connection) {
  Close(connection);
  const Forward& forward = Of(connection);
  streams_.erase(forward.data_stream);
  streams_.erase(forward.error_stream);
  forwards_.erase(forward.request_id);
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
