#include "kube/server/connection.h"

#include <algorithm>
#include <array>
#include <atomic>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/string_body.hpp>
#include <chrono>
#include <deque>
#include <optional>
#include <vector>

#include "metrics/log.h"

namespace burstlet::kube {
namespace {

namespace asio = boost::asio;
namespace http = boost::beast::http;
using boost::system::error_code;
using Clock = std::chrono::steady_clock;

constexpr std::uint32_t kMaxHeaderBytes = 1 << 20;
constexpr std::uint64_t kMaxBodyBytes = 64 * 1024;
constexpr std::size_t kReadBytes = 32 * 1024;
constexpr std::size_t kMaxWriteBytes = 64 * 1024;
constexpr std::chrono::seconds kHandshakeTime{10};
constexpr std::chrono::seconds kKeepAliveTime{90};  // the kubelet's idle time-out
constexpr std::chrono::seconds kStrangerTime{5};    // the same for who has shown no credential that counts
constexpr std::chrono::seconds kResponseStallTime{60};
constexpr std::chrono::seconds kCloseTime{5};
constexpr std::chrono::seconds kDiscardTime{1};
constexpr std::chrono::seconds kPeerCheckTime{10};

class StreamConnection final : public Connection,
                               public Wire,
                               public Exchange,
                               public std::enable_shared_from_this<StreamConnection> {
 public:
  StreamConnection(std::unique_ptr<ByteStream> stream, const Environment& environment)
      : env_(environment), stream_(std::move(stream)), deadline_(stream_->executor()) {}

  // Connection
  asio::any_io_executor strand() override { return stream_->executor(); }
  bool trusted() const override { return trusted_; }
  void Start() override;
  void Drain() override;
  void Kill() override { Die(); }

  // Wire
  asio::any_io_executor executor() override { return stream_->executor(); }
  Poster poster() override;
  void Write(std::string bytes) override { Queue(std::move(bytes), true); }
  void WriteApart(std::string bytes) override { Queue(std::move(bytes), false); }
  std::size_t queued() const override { return queued_; }
  void ReadMore() override { StartRead(); }
  void Finish() override;
  void Close() override;
  void Abort() override { Die(); }

  // Exchange
  const HttpRequest& request() const override { return request_; }
  void Respond(HttpResponse response) override;
  void Trust() override { trusted_ = true; }
  Wire& Stream(std::string head, std::shared_ptr<WireUser> user) override;
  void Hold(std::shared_ptr<void> guard) override { held_ = std::move(guard); }
  Resume Resumer() override;

 private:
  enum class State { kHandshake, kReading, kHandling, kResponding, kStreaming, kClosing, kShutdown, kDead };

  void AwaitRequest(Clock::duration idle);
  void StartRead();
  void OnRead(error_code error, std::size_t count);
  void Parse();
  void BadRequest(int status);
  void Dispatch();
  void Queue(std::string bytes, bool may_join);
  void StartWrite();
  void OnWritten(error_code error, std::size_t count);
  void OnFlushed();
  void Shutdown();
  void SetDeadline(Clock::duration after);
  void OnDeadline();
  void Die();
  const PeerCertificate& Peer();

  const Environment env_;
  const std::unique_ptr<ByteStream> stream_;
  asio::steady_timer deadline_;
  State state_ = State::kHandshake;
  bool reading_ = false;
  bool writing_ = false;
  bool draining_ = false;
  bool keep_alive_ = false;
  bool request_begun_ = false;
  std::atomic<bool> trusted_{false};
  bool discard_ = false;  // input is left over: take it before closing, or the kernel resets what was just sent
  bool above_water_ = false;

  std::array<char, kReadBytes> read_buffer_;
  std::string input_;
  std::optional<http::request_parser<http::string_body>> parser_;
  HttpRequest request_;
  std::uint64_t exchange_ = 0;

  std::deque<std::string> queue_;
  std::string in_flight_;
  std::size_t in_flight_sent_ = 0;
  std::size_t queued_ = 0;
  std::shared_ptr<WireUser> user_;
  std::shared_ptr<void> held_;

  PeerCertificate peer_;
  std::optional<Clock::time_point> peer_checked_;
};

void StreamConnection::Start() {
  SetDeadline(kHandshakeTime);
  stream_->Handshake([self = shared_from_this()](error_code error, std::size_t) {
    if (self->state_ != State::kHandshake) return;
    if (error) {
      V(4, "The handshake failed", {{"err", error.message()}});
      self->Die();
      return;
    }
    self->AwaitRequest(self->env_.request_timeout);
  });
}

void StreamConnection::Drain() {
  draining_ = true;
  if (state_ == State::kHandshake) Die();
  if (state_ == State::kReading && !request_begun_) Close();
}

void StreamConnection::AwaitRequest(Clock::duration idle) {
  state_ = State::kReading;
  held_.reset();
  parser_.emplace();
  parser_->header_limit(kMaxHeaderBytes);
  parser_->body_limit(kMaxBodyBytes);
  parser_->eager(true);
  request_begun_ = !input_.empty();
  SetDeadline(request_begun_ ? env_.request_timeout : idle);
  if (request_begun_) {
    Parse();
  } else {
    StartRead();
  }
}

void StreamConnection::StartRead() {
  if (reading_ || state_ == State::kDead || state_ == State::kShutdown) return;
  reading_ = true;
  stream_->ReadSome(asio::buffer(read_buffer_), [self = shared_from_this()](error_code error, std::size_t count) {
    self->reading_ = false;
    self->OnRead(error, count);
  });
}

void StreamConnection::OnRead(error_code error, std::size_t count) {
  if (state_ == State::kDead || state_ == State::kShutdown) return;
  if (error) {
    // A client that only ended its own direction still gets what is queued for it.
    const bool ending = state_ == State::kClosing || state_ == State::kResponding;
    if (!ending || (!writing_ && queue_.empty())) Die();
    return;
  }
  const std::string_view bytes(read_buffer_.data(), count);
  switch (state_) {
    case State::kStreaming: {
      const std::shared_ptr<WireUser> user = user_;
      user->OnBytes(bytes);
      break;
    }
    case State::kReading:
      // From the first byte on, and never again: a client that sends a byte now and then gains nothing.
      if (!request_begun_) SetDeadline(env_.request_timeout);
      request_begun_ = true;
      input_.append(bytes);
      Parse();
      break;
    case State::kHandling:
    case State::kResponding:
      input_.append(bytes);  // one buffer at most: nobody reads on here
      break;
    default:
      if (discard_) StartRead();
      break;
  }
}

void StreamConnection::Parse() {
  error_code error;
  while (!input_.empty() && !parser_->is_done()) {
    const std::size_t used = parser_->put(asio::buffer(input_), error);
    input_.erase(0, used);
    if (error == http::error::need_more || used == 0) break;
    if (error) break;
  }
  if (error == http::error::need_more) error = {};
  if (error) {
    const int status = error == http::error::header_limit ? 431 : error == http::error::body_limit ? 413 : 400;
    BadRequest(status);
    return;
  }
  if (!parser_->is_done()) {
    if (input_.size() > kMaxHeaderBytes) {
      BadRequest(431);
      return;
    }
    StartRead();
    return;
  }
  Dispatch();
}

void StreamConnection::BadRequest(int status) {
  ++exchange_;
  keep_alive_ = false;
  discard_ = true;
  input_.clear();
  state_ = State::kHandling;
  Respond(TextResponse(status, std::to_string(status) + " " + std::string(ReasonPhrase(status)) + "\n"));
}

void StreamConnection::Dispatch() {
  deadline_.cancel();
  const http::request<http::string_body>& message = parser_->get();
  request_ = HttpRequest();
  request_.method = std::string(message.method_string());
  request_.http_1_0 = message.version() < 11;
  for (const auto& field : message) {
    request_.headers.emplace_back(std::string(field.name_string()), std::string(field.value()));
  }
  request_.body = message.body();
  keep_alive_ = message.keep_alive() && !request_.http_1_0;
  const absl::Status target = ParseTarget(std::string(message.target()), &request_);
  if (!target.ok()) {
    BadRequest(400);
    return;
  }
  ++exchange_;
  state_ = State::kHandling;
  env_.handle(*this, Peer());
}

const PeerCertificate& StreamConnection::Peer() {
  const Clock::time_point now = Clock::now();
  if (!peer_checked_.has_value() || now - *peer_checked_ > kPeerCheckTime) {
    peer_ = stream_->Peer();
    peer_checked_ = now;
  }
  return peer_;
}

void StreamConnection::Respond(HttpResponse response) {
  if (state_ != State::kHandling) return;
  state_ = State::kResponding;
  if (draining_) keep_alive_ = false;
  std::string head = SerializeHead(response, false, !keep_alive_);
  SetDeadline(kResponseStallTime);
  Write(std::move(head));
  if (request_.method != "HEAD" && !response.body.empty()) Write(std::move(response.body));
}

Wire& StreamConnection::Stream(std::string head, std::shared_ptr<WireUser> user) {
  state_ = State::kStreaming;
  deadline_.cancel();
  user_ = std::move(user);
  Write(std::move(head));
  if (!input_.empty()) {
    // Bytes that came with the request belong to the stream.
    asio::post(executor(), [self = shared_from_this()] {
      if (self->state_ != State::kStreaming || self->user_ == nullptr) return;
      const std::string bytes = std::move(self->input_);
      self->input_.clear();
      const std::shared_ptr<WireUser> receiver = self->user_;
      receiver->OnBytes(bytes);
    });
  }
  return *this;
}

Exchange::Resume StreamConnection::Resumer() {
  return [weak = weak_from_this(), gate = env_.gate, exchange = exchange_](std::function<void(Exchange&)> fn) {
    const std::lock_guard<std::mutex> lock(gate->mutex);
    if (!gate->open) return;
    const std::shared_ptr<StreamConnection> self = weak.lock();
    if (self == nullptr) return;
    asio::post(self->executor(), [self, exchange, fn = std::move(fn)] {
      if (self->exchange_ == exchange && self->state_ == State::kHandling) fn(*self);
    });
  };
}

Wire::Poster StreamConnection::poster() {
  return [weak = weak_from_this(), gate = env_.gate, exchange = exchange_](std::function<void()> fn) {
    const std::lock_guard<std::mutex> lock(gate->mutex);
    if (!gate->open) return;
    const std::shared_ptr<StreamConnection> self = weak.lock();
    if (self == nullptr) return;
    asio::post(self->executor(), [self, exchange, fn = std::move(fn)] {
      if (self->exchange_ == exchange && self->user_ != nullptr) fn();
    });
  };
}

void StreamConnection::Queue(std::string bytes, bool may_join) {
  if (bytes.empty() || state_ == State::kDead || state_ == State::kShutdown) return;
  queued_ += bytes.size();
  if (queued_ > kHighWater) above_water_ = true;
  if (may_join && !queue_.empty() && queue_.back().size() + bytes.size() <= kMaxWriteBytes) {
    queue_.back().append(bytes);
  } else {
    queue_.push_back(std::move(bytes));
  }
  StartWrite();
}

void StreamConnection::StartWrite() {
  if (writing_) return;
  if (in_flight_sent_ == in_flight_.size()) {
    in_flight_.clear();
    in_flight_sent_ = 0;
    if (queue_.empty()) return;
    in_flight_ = std::move(queue_.front());
    queue_.pop_front();
  }
  writing_ = true;
  // In pieces, so that a slow reader of a large body is seen to make progress.
  const std::size_t size = std::min(in_flight_.size() - in_flight_sent_, kMaxWriteBytes);
  stream_->WriteAll(asio::buffer(in_flight_.data() + in_flight_sent_, size),
                    [self = shared_from_this()](error_code error, std::size_t count) {
                      self->writing_ = false;
                      self->OnWritten(error, count);
                    });
}

void StreamConnection::OnWritten(error_code error, std::size_t count) {
  if (state_ == State::kDead) return;
  if (error) {
    Die();
    return;
  }
  queued_ -= count;
  in_flight_sent_ += count;
  if (state_ == State::kResponding || state_ == State::kClosing) SetDeadline(kResponseStallTime);
  StartWrite();
  if (!writing_) OnFlushed();
  if (above_water_ && queued_ < kLowWater) {
    above_water_ = false;
    if (state_ == State::kStreaming && user_ != nullptr) {
      const std::shared_ptr<WireUser> user = user_;
      user->OnDrained();
    }
  }
}

void StreamConnection::OnFlushed() {
  if (state_ == State::kResponding) {
    if (keep_alive_ && !draining_) {
      AwaitRequest(trusted_ ? kKeepAliveTime : kStrangerTime);
    } else {
      Close();
    }
  } else if (state_ == State::kClosing) {
    if (discard_) {
      SetDeadline(kDiscardTime);
      StartRead();
    } else {
      Shutdown();
    }
  }
}

void StreamConnection::Finish() {
  if (state_ != State::kStreaming) return;
  user_.reset();
  state_ = State::kResponding;
  if (request_.http_1_0 || draining_) keep_alive_ = false;
  SetDeadline(kResponseStallTime);
  if (!writing_ && queue_.empty()) OnFlushed();
}

void StreamConnection::Close() {
  if (state_ == State::kDead || state_ == State::kClosing || state_ == State::kShutdown) return;
  state_ = State::kClosing;
  held_.reset();
  SetDeadline(kResponseStallTime);
  if (!writing_ && queue_.empty()) OnFlushed();
}

void StreamConnection::Shutdown() {
  state_ = State::kShutdown;
  SetDeadline(kCloseTime);
  stream_->Shutdown([self = shared_from_this()](error_code, std::size_t) { self->Die(); });
}

void StreamConnection::SetDeadline(Clock::duration after) {
  deadline_.expires_after(after);
  deadline_.async_wait([self = shared_from_this()](error_code error) {
    if (!error && self->deadline_.expiry() <= Clock::now()) self->OnDeadline();
  });
}

void StreamConnection::OnDeadline() {
  if (state_ == State::kHandling || state_ == State::kStreaming || state_ == State::kDead) return;
  if (state_ == State::kReading && request_begun_) {
    BadRequest(408);
  } else if (state_ == State::kReading) {
    Close();
  } else if (state_ == State::kClosing && discard_ && queued_ == 0) {
    discard_ = false;
    Shutdown();
  } else {
    Die();
  }
}

void StreamConnection::Die() {
  if (state_ == State::kDead) return;
  state_ = State::kDead;
  held_.reset();
  deadline_.cancel();
  stream_->Close();
  queue_.clear();
  const std::shared_ptr<StreamConnection> self = shared_from_this();
  const std::shared_ptr<WireUser> user = std::move(user_);
  user_.reset();
  if (user != nullptr) user->OnGone();
  env_.on_closed(this);
}

}  // namespace

std::shared_ptr<Connection> Connection::Create(std::unique_ptr<ByteStream> stream, const Environment& environment) {
  return std::make_shared<StreamConnection>(std::move(stream), environment);
}

}  // namespace burstlet::kube
