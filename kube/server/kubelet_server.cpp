#include "kube/server/kubelet_server.h"

#include <pthread.h>
#include <signal.h>

#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/strand.hpp>
#include <condition_variable>
#include <map>
#include <mutex>
#include <thread>
#include <utility>

#include "kube/server/connection.h"
#include "kube/server/local_listener.h"
#include "kube/server/request_handler.h"
#include "metrics/log.h"
#include "metrics/status.h"

namespace burstlet::kube {
namespace {

namespace asio = boost::asio;
using boost::system::error_code;
using tcp = asio::ip::tcp;

constexpr std::chrono::milliseconds kAcceptRetry{100};
constexpr std::chrono::seconds kKillTime{2};

class StreamServer final : public KubeletServer {
 public:
  StreamServer(const KubeletServerConfig& config, KubeletHandlers handlers)
      : config_(config),
        tls_(config),
        gate_(std::make_shared<LoopGate>()),
        acceptor_(asio::make_strand(loop_)),
        local_(loop_, [this](std::unique_ptr<ByteStream> stream) { Add(std::move(stream)); }),
        retry_(acceptor_.get_executor()),
        watcher_(LogWatcher::Create(asio::make_strand(loop_))),
        requests_(config, std::move(handlers), watcher_) {}
  ~StreamServer() override { Stop(std::chrono::milliseconds(0)); }

  absl::Status Start();
  std::uint16_t port() const override { return port_; }
  absl::Status UseCertificate(std::string cert_pem, std::string key_pem) override {
    return tls_.UseCertificate(std::move(cert_pem), std::move(key_pem));
  }
  void Stop(std::chrono::milliseconds grace) override;

 private:
  absl::Status Listen();
  void Accept();
  bool MakeRoom();
  void OnAccepted(error_code error);
  void Add(std::unique_ptr<ByteStream> stream);
  void OnClosed(Connection* connection);
  void ForEach(void (Connection::*verb)());
  void RunThread();
  bool WaitForNone(std::chrono::milliseconds limit);

  const KubeletServerConfig config_;
  TlsReloader tls_;
  const std::shared_ptr<LoopGate> gate_;
  asio::io_context loop_;
  tcp::acceptor acceptor_;
  LocalListener local_;
  asio::steady_timer retry_;
  const std::shared_ptr<LogWatcher> watcher_;
  RequestHandler requests_;
  std::unique_ptr<tcp::socket> incoming_;
  std::uint16_t port_ = 0;
  std::vector<std::thread> threads_;

  std::mutex mutex_;
  std::condition_variable none_left_;
  struct Entry {
    std::shared_ptr<Connection> connection;
    std::uint64_t number = 0;  // in the order of arrival
  };
  std::map<Connection*, Entry> connections_;
  std::uint64_t arrivals_ = 0;
  bool accepting_ = false;
  bool stopped_ = false;
};

absl::Status StreamServer::Start() {
  if (config_.serve_network) RETURN_IF_ERROR(Listen());
  if (!config_.local_socket.empty()) RETURN_IF_ERROR(local_.Start(config_.local_socket));
  const unsigned count = config_.threads == 0 ? 1 : config_.threads;
  for (unsigned i = 0; i < count; ++i) threads_.emplace_back([this] { RunThread(); });
  return absl::OkStatus();
}

absl::Status StreamServer::Listen() {
  RETURN_IF_ERROR(tls_.Load());
  error_code error;
  const asio::ip::address address = asio::ip::make_address(config_.address, error);
  if (error) return absl::InvalidArgumentError("the address to listen on is no IP address: " + config_.address);
  const tcp::endpoint endpoint(address, config_.port);
  const std::string name = config_.address + ":" + std::to_string(config_.port);
  acceptor_.open(endpoint.protocol(), error);
  if (!error) acceptor_.set_option(asio::socket_base::reuse_address(true), error);
  if (!error) acceptor_.bind(endpoint, error);
  if (!error) acceptor_.listen(asio::socket_base::max_listen_connections, error);
  if (error == asio::error::address_in_use) return absl::AlreadyExistsError(name + " is in use");
  if (error) return absl::InvalidArgumentError("listening on " + name + ": " + error.message());
  port_ = acceptor_.local_endpoint(error).port();
  asio::post(acceptor_.get_executor(), [this] { Accept(); });
  return absl::OkStatus();
}

void StreamServer::RunThread() {
  // A command that closes its stdin must not kill the program with SIGPIPE; EPIPE tells the same.
  sigset_t pipe_signal;
  sigemptyset(&pipe_signal);
  sigaddset(&pipe_signal, SIGPIPE);
  pthread_sigmask(SIG_BLOCK, &pipe_signal, nullptr);
  pthread_setname_np(pthread_self(), "kubelet-port");
  const auto work = asio::make_work_guard(loop_);
  loop_.run();
}

void StreamServer::Accept() {
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (stopped_ || accepting_ || !acceptor_.is_open() || !MakeRoom()) return;
    accepting_ = true;
  }
  incoming_ = std::make_unique<tcp::socket>(asio::make_strand(loop_));
  acceptor_.async_accept(*incoming_, [this](error_code error) { OnAccepted(error); });
}

/// Called with the mutex held. False: every connection is a known client's, so that the next waits in the kernel's
/// queue until one ends.
bool StreamServer::MakeRoom() {
  if (connections_.size() < config_.max_connections) return true;
  Entry* oldest = nullptr;
  for (auto& [pointer, entry] : connections_) {
    if (entry.connection->trusted() || (oldest != nullptr && oldest->number < entry.number)) continue;
    oldest = &entry;
  }
  if (oldest == nullptr) return false;
  // Its end calls Accept.
  asio::post(oldest->connection->strand(), [connection = oldest->connection] { connection->Kill(); });
  return false;
}

void StreamServer::OnAccepted(error_code error) {
  std::unique_ptr<tcp::socket> socket = std::move(incoming_);
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    accepting_ = false;
    if (stopped_ || error == asio::error::operation_aborted) return;
  }
  if (error) {
    // Out of descriptors, most likely: connections end, and then there are some.
    retry_.expires_after(kAcceptRetry);
    retry_.async_wait([this](error_code cancelled) {
      if (!cancelled) Accept();
    });
    return;
  }
  Add(MakeTlsStream(std::move(*socket), tls_));
  Accept();
}

void StreamServer::Add(std::unique_ptr<ByteStream> stream) {
  Connection::Environment environment;
  environment.request_timeout = config_.request_timeout;
  environment.gate = gate_;
  environment.handle = [this](Exchange& exchange, const PeerCertificate& peer) { requests_.Handle(exchange, peer); };
  environment.on_closed = [this](Connection* connection) { OnClosed(connection); };
  const std::shared_ptr<Connection> connection = Connection::Create(std::move(stream), environment);
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (stopped_) return;
    connections_[connection.get()] = Entry{connection, arrivals_++};
  }
  asio::post(connection->strand(), [connection] { connection->Start(); });
}

void StreamServer::OnClosed(Connection* connection) {
  const std::lock_guard<std::mutex> lock(mutex_);
  connections_.erase(connection);
  if (connections_.empty()) none_left_.notify_all();
  if (!accepting_ && !stopped_) asio::post(acceptor_.get_executor(), [this] { Accept(); });
}

void StreamServer::ForEach(void (Connection::*verb)()) {
  const std::lock_guard<std::mutex> lock(mutex_);
  for (const auto& entry : connections_) {
    const std::shared_ptr<Connection> connection = entry.second.connection;
    asio::post(connection->strand(), [connection, verb] { (connection.get()->*verb)(); });
  }
}

bool StreamServer::WaitForNone(std::chrono::milliseconds limit) {
  std::unique_lock<std::mutex> lock(mutex_);
  return none_left_.wait_for(lock, limit, [this] { return connections_.empty(); });
}

void StreamServer::Stop(std::chrono::milliseconds grace) {
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (stopped_) return;
    stopped_ = true;
  }
  local_.Stop();
  asio::post(acceptor_.get_executor(), [this] {
    error_code ignored;
    acceptor_.close(ignored);
    retry_.cancel();
  });
  if (!threads_.empty()) {
    ForEach(&Connection::Drain);
    if (!WaitForNone(grace)) {
      ForEach(&Connection::Kill);
      WaitForNone(std::chrono::duration_cast<std::chrono::milliseconds>(kKillTime));
    }
  }
  watcher_->Stop();
  {
    const std::lock_guard<std::mutex> lock(gate_->mutex);
    gate_->open = false;
  }
  loop_.stop();
  for (std::thread& thread : threads_) thread.join();
  threads_.clear();
  // What was cancelled still has to hear of it, so that nothing keeps itself alive.
  loop_.restart();
  loop_.poll();
}

}  // namespace

absl::StatusOr<std::unique_ptr<KubeletServer>> KubeletServer::Start(const KubeletServerConfig& config,
                                                                    KubeletHandlers handlers) {
  auto server = std::make_unique<StreamServer>(config, std::move(handlers));
  RETURN_IF_ERROR(server->Start());
  if (config.serve_network) Info("The kubelet port listens", {{"address", config.address}, {"port", server->port()}});
  return std::unique_ptr<KubeletServer>(std::move(server));
}

}  // namespace burstlet::kube
