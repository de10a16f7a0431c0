#include "kube/server/byte_stream.h"

#include <netinet/tcp.h>
#include <sys/socket.h>

#include <boost/asio/post.hpp>
#include <boost/asio/ssl.hpp>
#include <boost/asio/write.hpp>

namespace burstlet::kube {
namespace {

namespace asio = boost::asio;
using boost::system::error_code;
using LocalSocket = asio::local::stream_protocol::socket;

asio::ssl::context Borrow(SSL_CTX* context) {
  SSL_CTX_up_ref(context);
  return asio::ssl::context(context);
}

class TlsStream final : public ByteStream {
 public:
  TlsStream(asio::ip::tcp::socket socket, TlsReloader& tls)
      : tls_(tls), context_(Borrow(tls.Current()->ssl_context())), stream_(std::move(socket), context_) {}

  asio::any_io_executor executor() override { return stream_.get_executor(); }
  void Handshake(Done done) override {
    error_code ignored;
    auto& socket = stream_.next_layer();
    socket.set_option(asio::ip::tcp::no_delay(true), ignored);
    socket.set_option(asio::socket_base::keep_alive(true), ignored);
    // Dead peers of idle streams are found in about two minutes, as Go's listener does. TCP_USER_TIMEOUT would also end
    // readers that merely pause.
    const int seconds = 15, probes = 9;
    setsockopt(socket.native_handle(), IPPROTO_TCP, TCP_KEEPIDLE, &seconds, sizeof seconds);
    setsockopt(socket.native_handle(), IPPROTO_TCP, TCP_KEEPINTVL, &seconds, sizeof seconds);
    setsockopt(socket.native_handle(), IPPROTO_TCP, TCP_KEEPCNT, &probes, sizeof probes);
    stream_.async_handshake(asio::ssl::stream_base::server,
                            [done = std::move(done)](error_code error) { done(error, 0); });
  }
  void ReadSome(asio::mutable_buffer buffer, Done done) override { stream_.async_read_some(buffer, std::move(done)); }
  void WriteAll(asio::const_buffer buffer, Done done) override { asio::async_write(stream_, buffer, std::move(done)); }
  void Shutdown(Done done) override {
    stream_.async_shutdown([done = std::move(done)](error_code error) { done(error, 0); });
  }
  void Close() override {
    error_code ignored;
    stream_.next_layer().close(ignored);
  }
  PeerCertificate Peer() override { return tls_.Current()->VerifyPeer(stream_.native_handle()); }

 private:
  TlsReloader& tls_;
  asio::ssl::context context_;
  asio::ssl::stream<asio::ip::tcp::socket> stream_;
};

class LocalStream final : public ByteStream {
 public:
  explicit LocalStream(LocalSocket socket) : socket_(std::move(socket)) {}

  asio::any_io_executor executor() override { return socket_.get_executor(); }
  void Handshake(Done done) override {
    ucred peer{};
    socklen_t size = sizeof peer;
    root_ = getsockopt(socket_.native_handle(), SOL_SOCKET, SO_PEERCRED, &peer, &size) == 0 && peer.uid == 0;
    const error_code result = root_ ? error_code() : error_code(asio::error::access_denied);
    asio::post(executor(), [done = std::move(done), result] { done(result, 0); });
  }
  void ReadSome(asio::mutable_buffer buffer, Done done) override { socket_.async_read_some(buffer, std::move(done)); }
  void WriteAll(asio::const_buffer buffer, Done done) override { asio::async_write(socket_, buffer, std::move(done)); }
  void Shutdown(Done done) override {
    error_code error;
    socket_.shutdown(LocalSocket::shutdown_send, error);
    asio::post(executor(), [done = std::move(done), error] { done(error, 0); });
  }
  void Close() override {
    error_code ignored;
    socket_.close(ignored);
  }
  PeerCertificate Peer() override {
    PeerCertificate peer;
    peer.local_root = root_;
    return peer;
  }

 private:
  LocalSocket socket_;
  bool root_ = false;
};

}  // namespace

std::unique_ptr<ByteStream> MakeTlsStream(asio::ip::tcp::socket socket, TlsReloader& tls) {
  return std::make_unique<TlsStream>(std::move(socket), tls);
}

std::unique_ptr<ByteStream> MakeLocalStream(LocalSocket socket) {
  return std::make_unique<LocalStream>(std::move(socket));
}

}  // namespace burstlet::kube
