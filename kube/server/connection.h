// One connection: handshake, requests one after the other, and the raw wire of those that stream.
//
// Owner: the server's table of connections, until on_closed. Threads: its strand. Failure: a broken, slow or hostile
// peer ends the connection; what was streaming hears OnGone. Limits: header 1 MiB (431), body 64 KiB (413), and a time
// for the handshake, for a request to arrive whole (however slowly its bytes drip) and for a response to be taken. Who
// has shown no credential that counts is a stranger: kept open for 5 s instead of 90 s between requests.
#pragma once

#include "kube/server/wire.h"

#include <memory>
#include <mutex>

#include "kube/server/byte_stream.h"

namespace burstlet::kube {

/// Closed before the event loop goes: replies that come later find it closed and are dropped.
struct LoopGate {
  std::mutex mutex;
  bool open = true;
};

class Connection {
 public:
  struct Environment {
    std::chrono::milliseconds request_timeout{0};
    std::shared_ptr<LoopGate> gate;
    std::function<void(Exchange&, const PeerCertificate&)> handle;
    std::function<void(Connection*)> on_closed;
  };

  /// The stream's executor is the connection's strand.
  static std::shared_ptr<Connection> Create(std::unique_ptr<ByteStream> stream, const Environment& environment);
  virtual ~Connection() = default;

  virtual boost::asio::any_io_executor strand() = 0;
  /// Whether a request of it has been authenticated. Any thread.
  virtual bool trusted() const = 0;
  // All on the strand:
  virtual void Start() = 0;
  /// Ends after the present request, or at once when there is none.
  virtual void Drain() = 0;
  virtual void Kill() = 0;
};

}  // namespace burstlet::kube
