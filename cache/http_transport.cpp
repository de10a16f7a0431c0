#include "cache/http_transport.h"

#include <cpprest/http_client.h>
#include <netdb.h>
#include <pplx/threadpool.h>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/ssl.hpp>

#include <condition_variable>
#include <deque>
#include <mutex>

#include "absl/strings/str_cat.h"
#include "cache/socket_watch.h"
#include "metrics/status.h"

namespace burstlet::cache {
namespace {

using Clock = std::chrono::steady_clock;
namespace streams = concurrency::streams;

constexpr std::size_t kQueueBytes = 1u << 20;
constexpr std::chrono::milliseconds kPoll(25);  // how fast a cancel or an overrun is seen while nothing arrives
constexpr int kMaxAddresses = 4;
constexpr std::size_t kLibraryThreads = 4;
constexpr std::chrono::seconds kSlowStart(120);
constexpr std::uint64_t kMinBytesPerSecond = 512;

/// What the library's threads and the reader share.
struct Exchange {
  std::mutex mutex;
  std::condition_variable changed;
  std::deque<std::vector<std::uint8_t>> blocks;
  std::size_t queued = 0;
  std::uint64_t consumed_at_put = 0;  // the socket's counter when the last piece of body came through
  bool has_headers = false;
  bool done = false;
  bool aborted = false;
  std::string failure;  // of the library, when done
  bool connect_failed = false;
  std::optional<pplx::task_completion_event<std::size_t>> waiting_put;
  std::size_t waiting_size = 0;
  // Copies: the library's response owns the sink, which owns this.
  int status = 0;
  web::http::http_headers headers;
  SocketWatch socket;
  pplx::cancellation_token_source cancel;

  /// Cuts the connection and releases the library, whatever it waits for. Safe to call again.
  void Abort() {
    std::optional<pplx::task_completion_event<std::size_t>> put;
    {
      const std::lock_guard<std::mutex> lock(mutex);
      aborted = true;
      put = std::exchange(waiting_put, std::nullopt);
      socket.Cut();
    }
    if (put) put->set_exception(std::make_exception_ptr(std::runtime_error("aborted by the reader")));
    cancel.cancel();
  }

  void Fail(const std::string& what, bool connecting) {
    const std::lock_guard<std::mutex> lock(mutex);
    failure = what.empty() ? "unknown error" : what;
    connect_failed = connecting;
    done = true;
    changed.notify_all();
  }
};

/// The response's sink: hands blocks to the reader and makes the library wait when the reader is slow. (The library's
/// default sink has no bound.)
class Sink : public streams::details::streambuf_state_manager<std::uint8_t> {
 public:
  explicit Sink(std::shared_ptr<Exchange> exchange)
      : streambuf_state_manager(std::ios_base::out), exchange_(std::move(exchange)) {}

  bool can_seek() const override { return false; }
  bool has_size() const override { return false; }
  std::size_t buffer_size(std::ios_base::openmode) const override { return 0; }
  void set_buffer_size(std::size_t, std::ios_base::openmode) override {}
  std::size_t in_avail() const override { return 0; }
  pos_type getpos(std::ios_base::openmode) const override { return -1; }
  pos_type seekpos(pos_type, std::ios_base::openmode) override { return -1; }
  pos_type seekoff(off_type, std::ios_base::seekdir, std::ios_base::openmode) override { return -1; }
  bool acquire(std::uint8_t*&, std::size_t&) override { return false; }
  void release(std::uint8_t*, std::size_t) override {}

 protected:
  pplx::task<int_type> _putc(std::uint8_t c) override {
    return _putn(&c, 1).then([c](std::size_t) { return static_cast<int_type>(c); });
  }
  pplx::task<std::size_t> _putn(const std::uint8_t* data, std::size_t count) override {
    const std::lock_guard<std::mutex> lock(exchange_->mutex);
    // By the task: thrown here it would end the library's thread, and the process.
    if (exchange_->aborted) return pplx::task_from_exception<std::size_t>(std::runtime_error("aborted by the reader"));
    exchange_->blocks.emplace_back(data, data + count);
    exchange_->queued += count;
    exchange_->consumed_at_put = exchange_->socket.Consumed().value_or(0);
    exchange_->changed.notify_all();
    if (exchange_->queued <= kQueueBytes) return pplx::task_from_result(count);
    exchange_->waiting_put.emplace();
    exchange_->waiting_size = count;
    return pplx::create_task(*exchange_->waiting_put);
  }
  pplx::task<std::size_t> _putn(const std::uint8_t* data, std::size_t count, bool) override {
    return _putn(data, count);
  }
  std::uint8_t* _alloc(std::size_t) override { return nullptr; }
  void _commit(std::size_t) override {}
  pplx::task<bool> _sync() override { return pplx::task_from_result(true); }
  pplx::task<int_type> _bumpc() override { return pplx::task_from_result<int_type>(traits::eof()); }
  int_type _sbumpc() override { return traits::eof(); }
  pplx::task<int_type> _getc() override { return pplx::task_from_result<int_type>(traits::eof()); }
  int_type _sgetc() override { return traits::eof(); }
  pplx::task<int_type> _nextc() override { return pplx::task_from_result<int_type>(traits::eof()); }
  pplx::task<int_type> _ungetc() override { return pplx::task_from_result<int_type>(traits::eof()); }
  pplx::task<std::size_t> _getn(std::uint8_t*, std::size_t) override { return pplx::task_from_result<std::size_t>(0); }
  std::size_t _scopy(std::uint8_t*, std::size_t) override { return 0; }

 private:
  std::shared_ptr<Exchange> exchange_;
};

struct Address {
  int family = AF_UNSPEC;
  std::string text;  // as it stands in a URL
};

absl::StatusOr<std::vector<Address>> LookUp(const Url& peer) {
  addrinfo hints = {};
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* found = nullptr;
  const int code = getaddrinfo(peer.BareHost().c_str(), nullptr, &hints, &found);
  if (code != 0) {
    return ReasonError(absl::StatusCode::kUnavailable, "RegistryUnavailable",
                       absl::StrCat("lookup ", peer.BareHost(), ": ", gai_strerror(code)));
  }
  std::vector<Address> out;
  for (const addrinfo* a = found; a != nullptr && static_cast<int>(out.size()) < kMaxAddresses; a = a->ai_next) {
    char text[NI_MAXHOST];
    if (a->ai_family != AF_INET && a->ai_family != AF_INET6) continue;
    if (getnameinfo(a->ai_addr, a->ai_addrlen, text, sizeof(text), nullptr, 0, NI_NUMERICHOST) != 0) continue;
    out.push_back({a->ai_family, a->ai_family == AF_INET6 ? absl::StrCat("[", text, "]") : std::string(text)});
  }
  freeaddrinfo(found);
  if (out.empty()) return absl::UnavailableError(absl::StrCat("lookup ", peer.BareHost(), ": no address"));
  return out;
}

class PulledResponse : public HttpResponse {
 public:
  PulledResponse(const HttpOptions& options, std::string peer, const std::atomic<bool>* cancelled)
      : options_(options), peer_(std::move(peer)), cancelled_(cancelled), exchange_(std::make_shared<Exchange>()) {}

  ~PulledResponse() override { exchange_->Abort(); }

  const std::shared_ptr<Exchange>& exchange() const { return exchange_; }
  void Keep(std::unique_ptr<web::http::client::http_client> client) { client_ = std::move(client); }

  /// Waits until the headers are there.
  absl::Status AwaitHeaders() {
    std::unique_lock<std::mutex> lock(exchange_->mutex);
    const Clock::time_point start = Clock::now();
    while (!exchange_->has_headers && !exchange_->done) {
      const bool connected = !exchange_->socket.set() || exchange_->socket.Connected();
      const auto limit = connected ? options_.connect_timeout + options_.idle_timeout : options_.connect_timeout;
      if (Clock::now() - start > limit) {
        const std::string text = absl::StrCat(connected ? "no answer from " : "dial tcp ", peer_, ": timed out");
        exchange_->connect_failed = !connected;
        return AbortWith(&lock, ReasonError(absl::StatusCode::kDeadlineExceeded, "RegistryUnavailable", text));
      }
      RETURN_IF_ERROR(CheckBounds(&lock));
      exchange_->changed.wait_for(lock, kPoll);
    }
    if (exchange_->has_headers) return absl::OkStatus();
    const std::string text = absl::StrCat(peer_, ": ", exchange_->failure);
    const bool never_spoke = exchange_->connect_failed || exchange_->failure.find("SSL handshake") != std::string::npos;
    return never_spoke ? ReasonError(absl::StatusCode::kUnavailable, "RegistryUnavailable", text)
                       : absl::UnavailableError(text);
  }

  absl::StatusOr<std::span<const std::uint8_t>> Next() override {
    std::unique_lock<std::mutex> lock(exchange_->mutex);
    current_.clear();
    Clock::time_point last = Clock::now();
    std::uint64_t seen = exchange_->socket.Received().value_or(0);
    while (exchange_->blocks.empty() && !exchange_->done) {
      const std::uint64_t received = exchange_->socket.Received().value_or(seen);
      if (received != seen) last = Clock::now();
      seen = received;
      if (Clock::now() - last > options_.idle_timeout || TooSlow()) {
        return AbortWith(&lock,
                         absl::DeadlineExceededError(absl::StrCat(peer_, " stopped sending after ", taken_, " bytes")));
      }
      RETURN_IF_ERROR(CheckBounds(&lock));
      exchange_->changed.wait_for(lock, kPoll);
    }
    if (cancelled_ != nullptr && *cancelled_) return AbortWith(&lock, absl::CancelledError("the pull was cancelled"));
    if (!exchange_->blocks.empty()) return Take(&lock);
    if (!exchange_->failure.empty()) {
      return absl::DataLossError(
          absl::StrCat("connection to ", peer_, " broke after ", taken_, " bytes: ", exchange_->failure));
    }
    return std::span<const std::uint8_t>();
  }

  int status() const override { return exchange_->status; }
  std::string Header(std::string_view name) const override {
    const auto it = exchange_->headers.find(std::string(name));
    return it == exchange_->headers.end() ? "" : it->second.substr(0, 16384);
  }
  std::int64_t content_length() const override {
    const std::string text = Header("Content-Length");
    if (text.empty() || text.size() > 18 || text.find_first_not_of("0123456789") != std::string::npos) return -1;
    return std::stoll(text);
  }

 private:
  absl::Status CheckBounds(std::unique_lock<std::mutex>* lock) {
    if (cancelled_ != nullptr && *cancelled_) return AbortWith(lock, absl::CancelledError("the pull was cancelled"));
    const std::optional<std::uint64_t> consumed = exchange_->socket.Consumed();
    if (consumed && *consumed > exchange_->consumed_at_put + options_.read_ahead) {
      return AbortWith(lock, absl::ResourceExhaustedError(absl::StrCat(peer_, " sends oversized headers or chunks")));
    }
    return absl::OkStatus();
  }

  bool TooSlow() const {
    const auto elapsed = std::chrono::duration_cast<std::chrono::seconds>(Clock::now() - start_);
    return elapsed > kSlowStart && taken_ / static_cast<std::uint64_t>(elapsed.count()) < kMinBytesPerSecond;
  }

  absl::Status AbortWith(std::unique_lock<std::mutex>* lock, absl::Status status) {
    lock->unlock();
    exchange_->Abort();
    return status;
  }

  std::span<const std::uint8_t> Take(std::unique_lock<std::mutex>* lock) {
    current_ = std::move(exchange_->blocks.front());
    exchange_->blocks.pop_front();
    exchange_->queued -= current_.size();
    taken_ += current_.size();
    std::optional<pplx::task_completion_event<std::size_t>> put;
    if (exchange_->queued <= kQueueBytes / 2) put = std::exchange(exchange_->waiting_put, std::nullopt);
    const std::size_t size = exchange_->waiting_size;
    lock->unlock();
    if (put) put->set(size);
    return current_;
  }

  const HttpOptions& options_;
  std::string peer_;
  const std::atomic<bool>* cancelled_;
  std::shared_ptr<Exchange> exchange_;
  std::unique_ptr<web::http::client::http_client> client_;
  std::vector<std::uint8_t> current_;
  std::uint64_t taken_ = 0;
  Clock::time_point start_ = Clock::now();
};

/// Where and how one attempt connects.
struct Dial {
  std::string base;  // URL for the library
  bool host_header = false;
  std::optional<Url> proxy;
  std::string proxy_base;
  int family = AF_UNSPEC;
  bool tls_handle = false;  // what kind of object the native-handle callback gets
};

web::http::client::http_client_config MakeConfig(const HttpOptions& options, const Dial& dial,
                                                 const std::shared_ptr<Exchange>& exchange) {
  web::http::client::http_client_config config;
  config.set_max_redirects(0);
  config.set_timeout(std::chrono::seconds(180));  // a backstop; the reader's own limits come first
  config.set_chunksize(128 * 1024);
  if (dial.proxy) {
    web::web_proxy proxy((web::uri(dial.proxy_base)));
    if (!dial.proxy->user.empty()) {
      proxy.set_credentials(
          web::credentials(web::uri::decode(dial.proxy->user), web::uri::decode(dial.proxy->password)));
    }
    config.set_proxy(proxy);
  }
  if (!options.ca_file.empty()) {
    const std::string ca_file = options.ca_file;
    config.set_ssl_context_callback([ca_file](boost::asio::ssl::context& context) {
      boost::system::error_code ignored;  // an unreadable file shows as an unknown authority
      context.load_verify_file(ca_file, ignored);
    });
  }
  // The socket is made here, before the library connects it, so that it can be watched.
  config.set_nativehandle_options([exchange, dial](web::http::client::native_handle handle) {
    using boost::asio::ip::tcp;
    tcp::socket* socket = dial.tls_handle ? &static_cast<boost::asio::ssl::stream<tcp::socket&>*>(handle)->next_layer()
                                          : static_cast<tcp::socket*>(handle);
    boost::system::error_code error;
    if (!socket->is_open()) socket->open(dial.family == AF_INET6 ? tcp::v6() : tcp::v4(), error);
    if (error) return;
    const std::lock_guard<std::mutex> lock(exchange->mutex);
    exchange->socket.Set(socket->native_handle());
  });
  return config;
}

void Start(const HttpRequest& request, const HttpOptions& options, const Dial& dial, PulledResponse* out) {
  const std::shared_ptr<Exchange> exchange = out->exchange();
  auto client =
      std::make_unique<web::http::client::http_client>(web::uri(dial.base), MakeConfig(options, dial, exchange));
  web::http::http_request message(request.method);
  message.set_request_uri(web::uri(request.url.target));
  if (dial.host_header) message.headers().add("Host", request.url.Authority());
  for (const auto& [name, value] : request.headers) message.headers().add(name, value);
  if (!request.body.empty()) message.set_body(request.body, "application/x-www-form-urlencoded");
  message.set_response_stream(streams::ostream(streams::streambuf<std::uint8_t>(std::make_shared<Sink>(exchange))));
  client->request(message, exchange->cancel.get_token()).then([exchange](pplx::task<web::http::http_response> task) {
    // Every task is observed: one that isn't ends the process.
    try {
      web::http::http_response response = task.get();
      {
        const std::lock_guard<std::mutex> lock(exchange->mutex);
        exchange->status = response.status_code();
        exchange->headers = response.headers();
        exchange->has_headers = true;
        exchange->changed.notify_all();
      }
      response.content_ready().then([exchange](pplx::task<web::http::http_response> body) {
        try {
          body.get();
          const std::lock_guard<std::mutex> lock(exchange->mutex);
          exchange->done = true;
          exchange->changed.notify_all();
        } catch (const std::exception& e) {
          exchange->Fail(e.what(), false);
        }
      });
    } catch (const std::exception& e) {
      const std::string text = e.what();
      exchange->Fail(text, text.find("Failed to connect") != std::string::npos);
    }
  });
  out->Keep(std::move(client));
}

Dial MakeDial(const Url& url, const std::optional<Url>& proxy, const Address& address) {
  Dial dial;
  dial.family = address.family;
  dial.proxy = proxy;
  dial.tls_handle = url.tls() && !proxy;
  // The library checks a certificate against the Host header if there is one, port and all; so an address can stand
  // in for the name only where the header has no port, or TLS doesn't matter.
  const bool by_address = !proxy && (!url.tls() || url.default_port());
  if (by_address) {
    dial.base = absl::StrCat(url.scheme, "://", address.text, ":", url.port);
    dial.host_header = true;
  } else {
    dial.base = absl::StrCat(url.scheme, "://", url.host, ":", url.port);
  }
  if (proxy) dial.proxy_base = absl::StrCat("http://", address.text, ":", proxy->port);
  return dial;
}

}  // namespace

HttpTransport::HttpTransport(HttpOptions options) : options_(std::move(options)) {
  static std::once_flag once;
  std::call_once(once, [] {
    try {
      // The library's default is 40 threads.
      crossplat::threadpool::initialize_with_threads(kLibraryThreads);
    } catch (const std::exception&) {
      // Another user of the library came first; its number of threads stays.
    }
  });
}
HttpTransport::~HttpTransport() = default;

absl::StatusOr<std::unique_ptr<HttpResponse>> HttpTransport::Send(const HttpRequest& request,
                                                                  const std::atomic<bool>* cancelled) {
  ASSIGN_OR_RETURN(const std::optional<Url> proxy, options_.proxy.For(request.url));
  ASSIGN_OR_RETURN(const std::vector<Address> addresses, LookUp(proxy ? *proxy : request.url));
  absl::Status last;
  for (const Address& address : addresses) {
    if (cancelled != nullptr && *cancelled) return absl::CancelledError("the pull was cancelled");
    auto response = std::make_unique<PulledResponse>(options_, request.url.Authority(), cancelled);
    try {
      Start(request, options_, MakeDial(request.url, proxy, address), response.get());
    } catch (const std::exception& e) {
      return absl::InvalidArgumentError(absl::StrCat("request to ", request.url.Authority(), ": ", e.what()));
    }
    last = response->AwaitHeaders();
    if (last.ok()) return std::unique_ptr<HttpResponse>(std::move(response));
    if (!response->exchange()->connect_failed) return last;
  }
  return last;
}

absl::StatusOr<std::string> ReadAll(ByteSource& source, std::size_t limit) {
  std::string out;
  while (true) {
    ASSIGN_OR_RETURN(const auto block, source.Next());
    if (block.empty()) return out;
    if (block.size() > limit - out.size()) {
      return absl::ResourceExhaustedError(absl::StrCat("response body larger than ", limit, " bytes"));
    }
    out.append(reinterpret_cast<const char*>(block.data()), block.size());
  }
}

}  // namespace burstlet::cache
