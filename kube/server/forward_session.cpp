#include "kube/server/forward_session.h"

#include <boost/asio/buffer.hpp>
#include <boost/asio/write.hpp>
#include <utility>

#include "kube/server/owned_fd.h"
#include "metrics/log.h"

namespace burstlet::kube {
namespace {

namespace asio = boost::asio;
using boost::system::error_code;

constexpr std::size_t kMaxPending = 2 << 20;  // for pods, all connections together

}  // namespace

void ForwardSession::Attach(Wire& wire) {
  wire_ = &wire;
  timer_ = std::make_unique<asio::steady_timer>(wire.executor());
}

void ForwardSession::Detach() {
  wire_ = nullptr;
  timer_->cancel();
}

void ForwardSession::SetTimer(Clock::duration after) {
  timer_->expires_after(after);
  timer_->async_wait([weak = weak_from_this()](error_code error) {
    const std::shared_ptr<ForwardSession> self = weak.lock();
    if (!error && self != nullptr && self->wire_ != nullptr) self->OnTimer();
  });
}

void ForwardSession::OnBytes(std::string_view bytes) {
  reading_ = false;
  last_activity_ = Clock::now();
  const std::shared_ptr<ForwardSession> self = shared_from_this();
  const absl::Status status = Decode(bytes);
  if (wire_ == nullptr) return;
  if (!status.ok()) {
    V(2, "Closed a port-forward connection", {{"err", std::string(status.message())}});
    wire_->Abort();
    return;
  }
  Flush();
  if (ClientLeft()) {
    wire_->Close();
  } else {
    ReadOn();
  }
}

void ForwardSession::ReadOn() {
  if (wire_ == nullptr || reading_ || pending_ >= kMaxPending) return;
  reading_ = true;
  wire_->ReadMore();
}

void ForwardSession::Flush() {
  if (wire_ == nullptr || out_.empty()) return;
  wire_->Write(std::move(out_));
  out_.clear();
}

void ForwardSession::Dial(const PodConnectionPtr& connection, const DialPort& dial) {
  dial(pod_, connection->port, [weak = weak_from_this(), connection, post = wire_->poster()](absl::StatusOr<int> fd) {
    // Closed when nobody is there to take it any more.
    const auto owned = std::make_shared<OwnedFd>(fd.ok() ? *fd : -1);
    post([weak, connection, owned, status = fd.status()] {
      const std::shared_ptr<ForwardSession> self = weak.lock();
      if (self == nullptr || connection->over) return;
      if (status.ok()) {
        self->OnDialed(connection, owned->Release());
      } else {
        self->OnDialed(connection, status);
      }
    });
  });
}

void ForwardSession::OnDialed(const PodConnectionPtr& connection, absl::StatusOr<int> fd) {
  std::string failure(fd.status().message());
  if (fd.ok()) {
    OwnedFd owned(*fd);
    connection->socket.emplace(wire_->executor());
    error_code error;
    connection->socket->assign(owned.get(), error);
    if (error) {
      failure = error.message();
    } else {
      owned.Release();
      connection->socket->non_blocking(true, error);
      PumpToPod(connection);
      return PumpToClient(connection);
    }
  }
  Fail(connection, failure);
  Flush();
}

void ForwardSession::Take(const PodConnectionPtr& connection, std::string_view data) {
  connection->pending.append(data);
  pending_ += data.size();
  PumpToPod(connection);
}

void ForwardSession::PumpToPod(const PodConnectionPtr& connection) {
  if (connection->over || !connection->socket.has_value() || !connection->in_flight.empty()) return;
  if (connection->pending.empty()) return OnSent(connection);
  connection->in_flight.swap(connection->pending);
  asio::async_write(*connection->socket, asio::buffer(connection->in_flight),
                    [self = shared_from_this(), connection](error_code error, std::size_t) {
                      self->pending_ -= connection->in_flight.size();
                      connection->in_flight.clear();
                      self->last_activity_ = Clock::now();
                      if (!connection->over && error) {
                        self->Fail(connection, error.message());
                        self->Flush();
                      }
                      self->PumpToPod(connection);
                      self->ReadOn();
                    });
}

void ForwardSession::PumpToClient(const PodConnectionPtr& connection) {
  if (connection->over || connection->reading || connection->pod_ended || !connection->socket.has_value()) return;
  if (wire_ == nullptr || wire_->queued() >= Wire::kHighWater) return;
  connection->reading = true;
  connection->socket->async_read_some(asio::buffer(connection->buffer),
                                      [self = shared_from_this(), connection](error_code error, std::size_t count) {
                                        connection->reading = false;
                                        self->OnRead(connection, error, count);
                                      });
}

void ForwardSession::OnRead(const PodConnectionPtr& connection, error_code error, std::size_t count) {
  if (connection->over || wire_ == nullptr) return;
  last_activity_ = Clock::now();
  if (error == asio::error::eof) {
    connection->pod_ended = true;
    OnPodEnd(connection);
  } else if (error) {
    Fail(connection, error.message());
  } else {
    OnPodData(connection, std::string_view(connection->buffer.data(), count));
  }
  Flush();
  PumpToClient(connection);
}

void ForwardSession::Close(const PodConnectionPtr& connection) {
  connection->over = true;
  pending_ -= connection->pending.size();
  connection->pending.clear();
  error_code ignored;
  if (connection->socket.has_value()) connection->socket->close(ignored);
}

std::string ForwardSession::ErrorText(const PodConnectionPtr& connection, const std::string& why) const {
  V(2, "Port-forward failed", {{"pod", pod_.name_space + "/" + pod_.pod}, {"err", why}});
  return "error forwarding port " + std::to_string(connection->port) + " to pod " + pod_.pod + ", uid " + pod_.uid +
         ": " + why;
}

}  // namespace burstlet::kube
