// What the sessions of a port-forward share, whatever the client speaks: connections into the pod, and their flow.
//
// A connection is dialled, then pumped both ways: from the client while less than kMaxPending bytes wait for pods, to
// the client while its queue is below the wire's mark. A derived session names connections in its own frames. Threads:
// the connection's strand; its owner is the wire and what is in flight.
#pragma once

#include <array>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/steady_timer.hpp>
#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "kube/server/port_forward.h"

namespace burstlet::kube {

/// One connection to a port of the pod.
struct PodConnection {
  virtual ~PodConnection() = default;

  std::uint16_t port = 0;
  bool over = false;
  bool pod_ended = false;  // nothing more comes from the pod
  bool reading = false;
  std::optional<boost::asio::posix::stream_descriptor> socket;
  std::string pending;  // for the pod
  std::string in_flight;
  std::array<char, 64 * 1024> buffer;
};
using PodConnectionPtr = std::shared_ptr<PodConnection>;

class ForwardSession : public WireUser, public std::enable_shared_from_this<ForwardSession> {
 public:
  void OnBytes(std::string_view bytes) final;

 protected:
  using Clock = std::chrono::steady_clock;

  ForwardSession(ContainerRef pod, std::chrono::seconds idle_timeout)
      : pod_(std::move(pod)), idle_timeout_(idle_timeout) {}

  /// Everything the client sent, parsed.
  virtual absl::Status Decode(std::string_view bytes) = 0;
  /// The client has said goodbye.
  virtual bool ClientLeft() const = 0;
  /// For the client: bytes of the pod; the pod's end; the connection's failure (which ends it).
  virtual void OnPodData(const PodConnectionPtr& connection, std::string_view data) = 0;
  virtual void OnPodEnd(const PodConnectionPtr& connection) = 0;
  virtual void Fail(const PodConnectionPtr& connection, const std::string& why) = 0;
  /// All that the client sent so far is with the pod.
  virtual void OnSent(const PodConnectionPtr&) {}
  /// The timer has come.
  virtual void OnTimer() = 0;

  void Attach(Wire& wire);
  /// The wire is gone; connections are the derived session's to close.
  void Detach();
  void SetTimer(Clock::duration after);
  /// When the session may be ended as one that nobody uses.
  Clock::duration IdleLeft() const { return idle_timeout_ - (Clock::now() - last_activity_); }

  void Dial(const PodConnectionPtr& connection, const DialPort& dial);
  /// Bytes of the client for the pod.
  void Take(const PodConnectionPtr& connection, std::string_view data);
  void PumpToPod(const PodConnectionPtr& connection);
  void PumpToClient(const PodConnectionPtr& connection);
  /// Ends the connection; nobody is told.
  void Close(const PodConnectionPtr& connection);
  /// The failure's text for the client, which is also logged.
  std::string ErrorText(const PodConnectionPtr& connection, const std::string& why) const;

  void Flush();
  void ReadOn();

  const ContainerRef pod_;
  Wire* wire_ = nullptr;
  std::string out_;  // frames for the client, until Flush

 private:
  void OnDialed(const PodConnectionPtr& connection, absl::StatusOr<int> fd);
  void OnRead(const PodConnectionPtr& connection, boost::system::error_code error, std::size_t count);

  const std::chrono::seconds idle_timeout_;
  std::unique_ptr<boost::asio::steady_timer> timer_;
  Clock::time_point last_activity_ = Clock::now();
  std::size_t pending_ = 0;  // of all connections
  bool reading_ = false;
};

}  // namespace burstlet::kube
