// The API server over cpprestsdk's http_client: the only file of this folder that knows its HTTP.
//
// cpprestsdk works on its own threads; every completion and every line comes to the loop through one LoopGate, which a
// destroyed client has closed. What a transport thread touches is a Call; what the loop waits with is a Waiter in the
// coroutine's frame, known to the Call only on the loop. Exceptions of the library end here.
#include <utility>

#include <cpprest/http_client.h>
#include <cpprest/uri.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pplx/threadpool.h>

#include <algorithm>
#include <condition_variable>
#include <cstdlib>
#include <mutex>
#include <set>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "kube/client.h"
#include "kube/client_status.h"
#include "kube/credentials.h"
#include "kube/request_slots.h"
#include "kube/sink_buffer.h"
#include "kube/tls.h"
#include "metrics/log.h"
#include "metrics/status.h"

namespace burstlet::kube {
namespace {

using std::chrono::milliseconds;
using web::http::http_request;
using web::http::http_response;
using HttpClient = web::http::client::http_client;

constexpr milliseconds kDefaultTimeout{30'000};
/// The library's own limit is never the one that counts (and 0 would hang).
constexpr std::chrono::hours kLibraryTimeout{24};
constexpr std::size_t kMaxAnswer = std::size_t{64} << 20;  // a page of a list
constexpr std::size_t kMaxLine = std::size_t{16} << 20;
constexpr std::size_t kMaxQueuedLines = std::size_t{64} << 20;
constexpr int kRequestSlots = 8;
/// After this long a request no longer counts as one that a connection is about to come back from.
constexpr milliseconds kSlowRequest{300};
constexpr milliseconds kReleaseLimit{5};
constexpr unsigned kTransportThreads = 4;
constexpr std::chrono::seconds kShutdownLimit{2};
constexpr unsigned kTcpUserTimeoutMs = 15'000;

/// The way back to the loop; closed before the client goes, so that late completions are dropped.
class LoopGate {
 public:
  explicit LoopGate(Loop& loop) : loop_(&loop) {}

  void Post(std::function<void()> fn) {
    const std::lock_guard lock(mutex_);
    if (loop_ != nullptr) loop_->Post(std::move(fn));
  }
  void Enter() {
    const std::lock_guard lock(mutex_);
    ++in_flight_;
  }
  void Leave() {
    const std::lock_guard lock(mutex_);
    --in_flight_;
    idle_.notify_all();
  }
  /// Waits a while for calls under way: at the end of the process the library's threads must be at rest.
  void Close() {
    std::unique_lock lock(mutex_);
    loop_ = nullptr;
    if (!idle_.wait_for(lock, kShutdownLimit, [this] { return in_flight_ == 0; })) {
      Warn("Requests to the API server did not end in time", {{"requests", in_flight_}});
    }
  }

 private:
  std::mutex mutex_;
  std::condition_variable idle_;
  Loop* loop_;
  int in_flight_ = 0;
};

/// What a coroutine waits with. Lives in its frame; loop only.
struct Waiter {
  explicit Waiter(Loop& loop) : event(loop) {}
  SignalEvent event;
  std::function<void(std::string)> on_line;
  CancelToken cancel;
  SteadyTime last_activity = std::chrono::steady_clock::now();
};

/// One request. `waiter`, `finished` and `outcome` belong to the loop, the rest to the transport's threads until then.
struct Call {
  bool streaming = false;
  pplx::cancellation_token_source cancel;

  std::mutex mutex;
  std::string body;
  int code = 0;
  milliseconds retry_after{0};
  std::size_t queued = 0;  // bytes of lines posted and not yet seen by the loop

  Waiter* waiter = nullptr;
  bool finished = false;
  bool released = false;  // the connection is back in the pool
  absl::Status outcome;

  bool Lines() const { return streaming && code >= 200 && code < 300; }
};
using CallPtr = std::shared_ptr<Call>;
using GatePtr = std::shared_ptr<LoopGate>;
using CallSet = std::shared_ptr<std::set<CallPtr>>;

/// Ties call and waiter together for as long as the coroutine's frame lives; what is still under way then is cancelled.
class Attachment {
 public:
  Attachment(CallPtr call, Waiter* waiter, CallSet active) : call_(std::move(call)), active_(std::move(active)) {
    call_->waiter = waiter;
    active_->insert(call_);
  }
  ~Attachment() {
    call_->waiter = nullptr;
    active_->erase(call_);
    if (!call_->finished) call_->cancel.cancel();
  }
  Attachment(const Attachment&) = delete;
  Attachment& operator=(const Attachment&) = delete;

 private:
  CallPtr call_;
  CallSet active_;  // shared: frames may outlive the client when a loop is torn down
};

void DeliverLines(const CallPtr& call, std::vector<std::string> lines, std::size_t bytes) {
  {
    const std::lock_guard lock(call->mutex);
    call->queued -= bytes;
  }
  for (std::string& line : lines) {
    // Each line may end the stream, and with it the waiter.
    Waiter* const waiter = call->waiter;
    if (waiter == nullptr || waiter->cancel.cancelled()) return;
    waiter->last_activity = std::chrono::steady_clock::now();
    waiter->on_line(std::move(line));
  }
}

/// Posts the whole lines of what has come. Called with the call's mutex held.
void SplitLines(const CallPtr& call, const GatePtr& gate) {
  const std::size_t end = call->body.rfind('\n');
  if (end == std::string::npos) return;
  std::vector<std::string> lines;
  for (std::size_t at = 0; at <= end;) {
    const std::size_t next = call->body.find('\n', at);
    if (next > at) lines.push_back(call->body.substr(at, next - at));
    at = next + 1;
  }
  const std::size_t bytes = end + 1;
  call->body.erase(0, bytes);
  call->queued += bytes;
  gate->Post([call, bytes, batch = std::move(lines)]() mutable { DeliverLines(call, std::move(batch), bytes); });
}

bool OnData(const CallPtr& call, const GatePtr& gate, const char* data, std::size_t size) {
  const std::lock_guard lock(call->mutex);
  call->body.append(data, size);
  if (!call->streaming) return call->body.size() <= kMaxAnswer;
  if (call->Lines()) SplitLines(call, gate);
  return call->body.size() <= kMaxLine && call->queued <= kMaxQueuedLines;
}

void OnHeaders(const CallPtr& call, const GatePtr& gate, const http_response& response) {
  const std::lock_guard lock(call->mutex);
  call->code = response.status_code();
  const auto retry = response.headers().find("Retry-After");
  int seconds = 0;
  if (retry != response.headers().end() && absl::SimpleAtoi(retry->second, &seconds) && seconds > 0) {
    call->retry_after = std::chrono::seconds(std::min(seconds, 3600));
  }
  if (call->Lines()) SplitLines(call, gate);
}

absl::Status TranslateException(const std::exception_ptr& exception) {
  try {
    std::rethrow_exception(exception);
  } catch (const web::http::http_exception& error) {
    if (error.error_code() == std::errc::timed_out) return absl::DeadlineExceededError(error.what());
    if (error.error_code() == std::errc::operation_canceled) return absl::CancelledError(error.what());
    return absl::UnavailableError(error.what());
  } catch (const pplx::task_canceled& error) {
    return absl::CancelledError(error.what());
  } catch (const std::length_error& error) {
    return absl::ResourceExhaustedError(error.what());
  } catch (const std::exception& error) {
    return absl::UnavailableError(error.what());
  }
}

void Finish(const CallPtr& call, const GatePtr& gate, const pplx::task<http_response>& task) {
  absl::Status outcome;
  try {
    task.get();
  } catch (...) {
    outcome = TranslateException(std::current_exception());
  }
  gate->Post([call, outcome] {
    if (!call->finished) call->outcome = outcome;
    call->finished = true;
    if (call->waiter != nullptr) call->waiter->event.Set();
  });
  gate->Leave();
}

/// The library has let go of the request, and thereby of its connection.
void Released(const CallPtr& call, const GatePtr& gate) {
  gate->Post([call] {
    call->released = true;
    if (call->waiter != nullptr) call->waiter->event.Set();
  });
}

void StartThreads() {
  static std::once_flag once;
  std::call_once(once, [] {
    try {
      crossplat::threadpool::initialize_with_threads(kTransportThreads);
    } catch (const std::exception&) {
      // Another user of the library came first; its number of threads stays.
    }
  });
}

bool IsAddress(const std::string& host) {
  return host.find_first_not_of("0123456789.") == std::string::npos || host.find(':') != std::string::npos;
}

/// The library hands the host of an address to the resolver as it stands, and that knows no brackets; without them the
/// port is told apart by being the last. A proxy is told "host:port" instead, and needs them.
std::string LibraryAddress(const std::string& server, bool proxied) {
  const ServerAddress parts = ParseServer(server);
  if (proxied || parts.host.find(':') == std::string::npos) return server;
  const std::size_t path = server.find('/', server.find("://") + 3);
  return absl::StrCat(parts.scheme, "://", parts.host, ":", parts.port,
                      path == std::string::npos ? "" : server.substr(path));
}

/// For a connection that is used again; a new one has no descriptor yet when the library calls this.
void SetSocketOptions(int fd) {
  const unsigned timeout = kTcpUserTimeoutMs;
  const int on = 1;
  // Best effort: without them a dead peer is found by the request's own time-out.
  ::setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &timeout, sizeof(timeout));
  ::setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on));
}

class RestClient final : public Client {
 public:
  RestClient(Loop& loop, ClientConfig config)
      : loop_(loop),
        gate_(std::make_shared<LoopGate>(loop)),
        answered_(config.answered),
        credentials_(std::move(config)),
        slots_(std::make_shared<RequestSlots>(loop, kRequestSlots)) {}

  ~RestClient() override {
    for (const CallPtr& call : *active_) call->cancel.cancel();
    http_.reset();
    gate_->Close();
  }

  void Shutdown() override;
  /// Reads the credentials and makes the connection pool anew when they changed.
  absl::Status Prepare();

  Task<absl::StatusOr<Response>> Do(std::string method, std::string path, std::string content_type, std::string body,
                                    milliseconds timeout) override;
  Task<absl::Status> Stream(std::string path, std::function<void(std::string)> on_line, milliseconds idle_limit,
                            CancelToken cancel) override;

 private:
  absl::Status Start(HttpClient& http, const std::string& method, const std::string& path,
                     const std::string& content_type, const std::string& body, const CallPtr& call) const;
  absl::StatusOr<std::unique_ptr<HttpClient>> MakeHttpClient() const;
  Task<absl::StatusOr<Response>> DoOnce(std::string method, std::string path, std::string content_type,
                                        std::string body, SteadyTime deadline);

  Loop& loop_;
  GatePtr gate_;
  const std::function<void(const std::string&, int, double)> answered_;
  Credentials credentials_;
  std::shared_ptr<RequestSlots> slots_;
  std::shared_ptr<const TlsMaterial> tls_;
  std::uint64_t tls_generation_ = 0;
  std::shared_ptr<HttpClient> http_;
  bool shut_down_ = false;
  CallSet active_ = std::make_shared<std::set<CallPtr>>();
};

absl::StatusOr<std::unique_ptr<HttpClient>> RestClient::MakeHttpClient() const {
  const ClientConfig& config = credentials_.config();
  try {
    web::http::client::http_client_config options;
    options.set_timeout(kLibraryTimeout);
    options.set_max_redirects(0);
    options.set_validate_certificates(!config.insecure_skip_verify);
    const std::string proxy = ProxyFor(config.server, config.proxy_url, [](const char* name) {
      const char* value = std::getenv(name);
      return std::string(value == nullptr ? "" : value);
    });
    RETURN_IF_ERROR(CheckProxy(proxy));
    const web::uri server(LibraryAddress(config.server, !proxy.empty()));
    const std::string host = config.tls_server_name.empty() ? ParseServer(config.server).host : config.tls_server_name;
    options.set_tlsext_sni_enabled(!IsAddress(host));
    options.set_ssl_context_callback([tls = tls_](boost::asio::ssl::context& context) {
      LogIfError(tls->Apply(context.native_handle()), "TLS towards the API server");
    });
    const bool secure = server.scheme() == "https";
    options.set_nativehandle_options([secure](web::http::client::native_handle handle) {
      using Socket = boost::asio::ip::tcp::socket;
      auto* socket = secure ? &static_cast<boost::asio::ssl::stream<Socket&>*>(handle)->next_layer()
                            : static_cast<Socket*>(handle);
      if (socket->is_open()) SetSocketOptions(socket->native_handle());
    });
    if (!proxy.empty()) options.set_proxy(web::web_proxy(web::uri(proxy)));
    return std::make_unique<HttpClient>(server, options);
  } catch (const std::exception& error) {
    return absl::InvalidArgumentError(absl::StrCat("API server ", config.server, ": ", error.what()));
  }
}

void RestClient::Shutdown() {
  shut_down_ = true;
  // A copy: a call that wakes may leave the set.
  const std::set<CallPtr> calls = *active_;
  for (const CallPtr& call : calls) {
    call->cancel.cancel();
    call->finished = true;
    call->released = true;
    call->outcome = absl::CancelledError("the client was shut down");
    if (call->waiter != nullptr) call->waiter->event.Set();
  }
}

absl::Status RestClient::Prepare() {
  if (shut_down_) return absl::CancelledError("the client was shut down");
  RETURN_IF_ERROR(credentials_.Refresh());
  if (http_ && credentials_.tls_generation() == tls_generation_) return absl::OkStatus();
  tls_generation_ = credentials_.tls_generation();
  auto tls = TlsMaterial::Create(credentials_.material());
  if (!tls.ok()) {
    if (!http_) return Annotate(tls.status(), "API server credentials");
    // In the middle of a rotation certificate and key may not match yet; the next change of a file decides.
    Warn("New API server credentials are not usable", {{"err", std::string(tls.status().message())}});
    return absl::OkStatus();
  }
  tls_ = *std::move(tls);
  ASSIGN_OR_RETURN(http_, MakeHttpClient());
  return absl::OkStatus();
}

/// Sends; Finish comes for certain, unless this returns an error. The request is a local of this function: as long as
/// anybody holds it the library keeps its connection from the pool.
absl::Status RestClient::Start(HttpClient& http, const std::string& method, const std::string& path,
                               const std::string& content_type, const std::string& body, const CallPtr& call) const {
  const GatePtr& gate = gate_;
  gate->Enter();
  try {
    http_request request(method);
    request.set_request_uri(web::uri(path));
    auto& headers = request.headers();
    headers.add("Accept", "application/json");
    headers.add("User-Agent", "burstlet");
    const ClientConfig& config = credentials_.config();
    // The library takes the name to verify, and SNI, from here.
    if (!config.tls_server_name.empty()) {
      headers.add("Host", config.tls_server_name);
    } else if (const std::string host = ParseServer(config.server).host; host.find(':') != std::string::npos) {
      headers.add("Host", host);
    }
    const std::string& token = credentials_.material().token;
    if (!token.empty()) headers.add("Authorization", "Bearer " + token);
    if (!body.empty()) request.set_body(body, content_type);
    const auto sink = std::make_shared<SinkBuffer>(
        [call, gate](const char* data, std::size_t size) { return OnData(call, gate, data, size); },
        [call, gate] { Released(call, gate); });
    request.set_response_stream(concurrency::streams::ostream(concurrency::streams::streambuf<std::uint8_t>(sink)));
    http.request(request, call->cancel.get_token())
        .then([call, gate](http_response response) {
          OnHeaders(call, gate, response);
          return response.content_ready();
        })
        .then([call, gate](pplx::task<http_response> task) { Finish(call, gate, task); });
    return absl::OkStatus();
  } catch (...) {
    gate->Leave();
    return TranslateException(std::current_exception());
  }
}

Task<absl::StatusOr<Response>> RestClient::DoOnce(std::string method, std::string path, std::string content_type,
                                                  std::string body, SteadyTime deadline) {
  CO_RETURN_IF_ERROR(Prepare());
  RequestSlots::Slot slot = co_await RequestSlots::Acquire(slots_, deadline);
  if (!slot) co_return absl::DeadlineExceededError("too many requests under way");
  if (shut_down_) co_return absl::CancelledError("the client was shut down");
  Waiter waiter(loop_);
  const auto call = std::make_shared<Call>();
  const Attachment attachment(call, &waiter, active_);
  const auto started = std::chrono::steady_clock::now();
  CO_RETURN_IF_ERROR(Start(*http_, method, path, content_type, body, call));
  bool in_time = true;
  while (!call->finished && in_time) {
    in_time = co_await waiter.event.WaitUntil(slot ? std::min(deadline, started + kSlowRequest) : deadline);
    if (in_time || !slot) continue;
    slot.Release();
    in_time = true;
  }
  // Some microseconds: the next request shall find the connection in the pool rather than make another.
  if (call->finished && !call->released)
    co_await waiter.event.WaitUntil(std::chrono::steady_clock::now() + kReleaseLimit);
  if (answered_)
    answered_(method, call->finished && call->outcome.ok() ? static_cast<int>(call->code) : 0,
              std::chrono::duration<double>(std::chrono::steady_clock::now() - started).count());
  if (!call->finished) co_return absl::DeadlineExceededError("the API server does not answer");
  if (!call->outcome.ok()) co_return call->outcome;
  if (call->code == 401) credentials_.LookNow();
  CO_RETURN_IF_ERROR(StatusOfResponse(call->code, call->body, call->retry_after));
  co_return Response{call->code, std::move(call->body)};
}

/// The server closed an idle connection while we wrote: nothing of the request was read, so it may be sent again.
bool NothingWasSent(const absl::Status& status) {
  return status.code() == absl::StatusCode::kUnavailable && HttpCodeOf(status) == 0 &&
         std::string(status.message()).find("Failed to write request") != std::string::npos;
}

Task<absl::StatusOr<Response>> RestClient::Do(std::string method, std::string path, std::string content_type,
                                              std::string body, milliseconds timeout) {
  const auto deadline = std::chrono::steady_clock::now() + (timeout.count() > 0 ? timeout : kDefaultTimeout);
  auto response = co_await DoOnce(method, path, content_type, body, deadline);
  if (NothingWasSent(response.status())) {
    response = co_await DoOnce(method, path, content_type, body, deadline);
  }
  if (LogEnabled(4)) {
    V(4, "API request",
      {{"method", method}, {"path", path}, {"status", absl::StatusCodeToString(response.status().code())}});
  }
  if (!response.ok() && HttpCodeOf(response.status()) == 0) {
    // The server's own words need no addition; a broken connection does.
    co_return Annotate(response.status(), absl::StrCat(method, " ", path.substr(0, path.find('?'))));
  }
  co_return response;
}

Task<absl::Status> RestClient::Stream(std::string path, std::function<void(std::string)> on_line,
                                      milliseconds idle_limit, CancelToken cancel) {
  CO_RETURN_IF_ERROR(Prepare());
  // A client of its own: its connection never goes back to the pool of requests.
  CO_ASSIGN_OR_RETURN(const auto http, MakeHttpClient());
  Waiter waiter(loop_);
  waiter.on_line = std::move(on_line);
  waiter.cancel = cancel;
  const auto call = std::make_shared<Call>();
  call->streaming = true;
  const Attachment attachment(call, &waiter, active_);
  // The guard is declared after what the callback uses.
  struct Registration {
    CancelToken& token;
    std::uint64_t id;
    ~Registration() { token.Forget(id); }
  };
  const Registration registration{cancel, cancel.OnCancel([&waiter] { waiter.event.Set(); })};
  CO_RETURN_IF_ERROR(Start(*http, "GET", path, "", "", call));
  while (!call->finished) {
    co_await waiter.event.WaitUntil(waiter.last_activity + idle_limit);
    if (cancel.cancelled()) co_return absl::CancelledError("the stream was cancelled");
    if (!call->finished && std::chrono::steady_clock::now() >= waiter.last_activity + idle_limit) {
      co_return absl::DeadlineExceededError("the stream was silent for too long");
    }
  }
  if (cancel.cancelled()) co_return absl::CancelledError("the stream was cancelled");
  if (!call->outcome.ok()) co_return Annotate(call->outcome, absl::StrCat("GET ", path.substr(0, path.find('?'))));
  co_return StatusOfResponse(call->code, call->body, call->retry_after);
}

}  // namespace

absl::StatusOr<std::unique_ptr<Client>> NewClient(Loop& loop, ClientConfig config) {
  StartThreads();
  auto client = std::make_unique<RestClient>(loop, std::move(config));
  RETURN_IF_ERROR(client->Prepare());
  return client;
}

}  // namespace burstlet::kube
