// The bytes below a connection: TLS over TCP, or a local socket whose other end is the host's root.
//
// Owner: its connection. Threads: the connection's strand, which is the socket's executor. Failure: by the callback's
// error; after Close every callback under way gets one.
#pragma once

// Boost 1.74 uses std::exchange without including it.
#include <utility>

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/buffer.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <functional>
#include <memory>

#include "kube/server/authn.h"
#include "kube/server/tls.h"

namespace burstlet::kube {

class ByteStream {
 public:
  using Done = std::function<void(boost::system::error_code, std::size_t)>;

  virtual ~ByteStream() = default;
  virtual boost::asio::any_io_executor executor() = 0;
  /// Once, before all else. A local peer that is not root fails it.
  virtual void Handshake(Done done) = 0;
  virtual void ReadSome(boost::asio::mutable_buffer buffer, Done done) = 0;
  virtual void WriteAll(boost::asio::const_buffer buffer, Done done) = 0;
  /// Says goodbye, where the protocol has a word for it.
  virtual void Shutdown(Done done) = 0;
  virtual void Close() = 0;
  /// Who is at the other end, judged by what holds now.
  virtual PeerCertificate Peer() = 0;
};

/// `tls` outlives it.
std::unique_ptr<ByteStream> MakeTlsStream(boost::asio::ip::tcp::socket socket, TlsReloader& tls);
std::unique_ptr<ByteStream> MakeLocalStream(boost::asio::local::stream_protocol::socket socket);

}  // namespace burstlet::kube
