#include "provider/prober/http_runner.h"

#include <array>
#include <boost/asio/buffer.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/ssl.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>
#include <utility>

#include "absl/strings/str_cat.h"
#include "provider/prober/dialer.h"

namespace burstlet::provider {
namespace {

using boost::asio::ip::tcp;
using Tls = boost::asio::ssl::stream<tcp::socket&>;

constexpr int kMaxRedirects = 10;

struct Exchanged {
  HttpAnswer answer;
  std::optional<std::string> location;
};

absl::Status Timeout(const char* when) {
  return absl::DeadlineExceededError(
      absl::StrCat("context deadline exceeded (Client.Timeout exceeded while ", when, ")"));
}

template <typename Stream>
kube::Task<absl::StatusOr<Exchanged>> Exchange(Stream& stream, std::string request, std::shared_ptr<ProbeGuard> guard) {
  boost::system::error_code error;
  co_await boost::asio::async_write(stream, boost::asio::buffer(request),
                                    boost::asio::redirect_error(boost::asio::use_awaitable, error));
  if (guard->timed_out()) co_return Timeout("awaiting headers");
  if (error) co_return absl::UnavailableError(absl::StrCat("write: ", error.message()));
  HttpResponseReader reader;
  std::array<char, 4096> buffer;
  while (reader.state() == HttpResponseReader::State::kMore) {
    const std::size_t size = co_await stream.async_read_some(
        boost::asio::buffer(buffer), boost::asio::redirect_error(boost::asio::use_awaitable, error));
    if (guard->timed_out()) {
      if (!reader.head_complete()) co_return Timeout("awaiting headers");
      co_return absl::DataLossError(
          "context deadline exceeded (Client.Timeout or context cancellation while reading body)");
    }
    if (guard->ended()) co_return absl::CancelledError("the probe was given up");
    const bool closed = error == boost::asio::error::eof || error == boost::asio::ssl::error::stream_truncated;
    if (error && !closed) {
      const std::string what = absl::StrCat("read: ", error.message());
      co_return reader.head_complete() ? absl::DataLossError(what) : absl::UnavailableError(what);
    }
    if (closed) {
      reader.Close();
    } else {
      reader.Feed(std::string_view(buffer.data(), size));
    }
  }
  if (reader.state() == HttpResponseReader::State::kBad) {
    co_return reader.head_complete() ? absl::DataLossError(reader.error()) : absl::UnavailableError(reader.error());
  }
  co_return Exchanged{{reader.status(), reader.body()}, reader.location()};
}

/// Probes ask whether somebody answers, not who: certificates of pods are rarely for their addresses.
boost::asio::ssl::context& TlsContext() {
  static boost::asio::ssl::context context = [] {
    boost::asio::ssl::context made(boost::asio::ssl::context::tls_client);
    made.set_verify_mode(boost::asio::ssl::verify_none);
    SSL_CTX_set_min_proto_version(made.native_handle(), TLS1_2_VERSION);
    return made;
  }();
  return context;
}

kube::Task<absl::StatusOr<Exchanged>> ExchangeTls(std::shared_ptr<tcp::socket> socket, HttpRequest request,
                                                  std::shared_ptr<ProbeGuard> guard) {
  Tls stream(*socket, TlsContext());
  boost::system::error_code error;
  boost::asio::ip::make_address(request.host, error);
  if (error) SSL_set_tlsext_host_name(stream.native_handle(), request.host.c_str());  // a name, not an address
  co_await stream.async_handshake(boost::asio::ssl::stream_base::client,
                                  boost::asio::redirect_error(boost::asio::use_awaitable, error));
  if (guard->timed_out()) co_return Timeout("awaiting headers");
  if (guard->ended()) co_return absl::CancelledError("the probe was given up");
  if (error) {
    const bool plain = error.category() == boost::asio::error::get_ssl_category() &&
                       ERR_GET_REASON(static_cast<unsigned long>(error.value())) == SSL_R_WRONG_VERSION_NUMBER;
    if (plain) co_return absl::FailedPreconditionError("http: server gave HTTP response to HTTPS client");
    co_return absl::UnavailableError(absl::StrCat("tls: ", error.message()));
  }
  auto exchanged = co_await Exchange(stream, request.Text(), guard);
  co_return exchanged;
}

kube::Task<absl::StatusOr<Exchanged>> Once(kube::Loop& loop, HttpRequest request, std::shared_ptr<ProbeGuard> guard) {
  auto dialed = co_await Dial(loop, request.host, request.port, guard);
  if (guard->timed_out()) co_return Timeout("awaiting headers");
  if (!dialed.ok()) co_return dialed.status();
  std::shared_ptr<tcp::socket> socket = *dialed;
  absl::StatusOr<Exchanged> exchanged = absl::UnknownError("");
  if (request.scheme == "https") {
    exchanged = co_await ExchangeTls(socket, request, guard);
  } else {
    exchanged = co_await Exchange(*socket, request.Text(), guard);
  }
  guard->OnEnd({});
  co_return exchanged;
}

bool IsRedirect(int status) {
  return status == 301 || status == 302 || status == 303 || status == 307 || status == 308;
}

}  // namespace

kube::Task<absl::StatusOr<HttpAnswer>> HttpGet(kube::Loop& loop, HttpRequest request,
                                               std::shared_ptr<ProbeGuard> guard) {
  const std::string first_host = request.host;
  for (int redirects = 0;; ++redirects) {
    const auto failed = [&](const absl::Status& status) {
      return absl::Status(status.code(), absl::StrCat("Get \"", request.Url(), "\": ", std::string(status.message())));
    };
    auto exchanged = co_await Once(loop, request, guard);
    if (!exchanged.ok()) co_return failed(exchanged.status());
    if (!IsRedirect(exchanged->answer.status) || !exchanged->location) co_return exchanged->answer;
    auto next = FollowLocation(request, *exchanged->location);
    if (!next) {
      co_return failed(
          absl::UnavailableError(absl::StrCat("failed to parse Location header \"", *exchanged->location, "\"")));
    }
    if (next->host != first_host) co_return exchanged->answer;
    request = *std::move(next);
    if (redirects + 1 >= kMaxRedirects) co_return failed(absl::UnavailableError("stopped after 10 redirects"));
  }
}

kube::Task<ProbeOutcome> RunHttpProbe(kube::Loop& loop, HttpRequest request, std::shared_ptr<ProbeGuard> guard) {
  auto answer = co_await HttpGet(loop, std::move(request), guard);
  if (!answer.ok()) {
    const auto result = absl::IsDataLoss(answer.status()) ? ProbeResult::kError : ProbeResult::kFailure;
    co_return ProbeOutcome{result, std::string(answer.status().message())};
  }
  if (answer->status >= 300 && answer->status < 400) {
    co_return ProbeOutcome{ProbeResult::kWarning,
                           absl::StrCat("Probe terminated redirects, Response body: ", answer->body)};
  }
  if (answer->status >= 200 && answer->status < 300) co_return ProbeOutcome{ProbeResult::kSuccess, answer->body};
  // Not the body: it may hold what a reader of events must not see (kubernetes issue 99425).
  co_return ProbeOutcome{ProbeResult::kFailure, absl::StrCat("HTTP probe failed with statuscode: ", answer->status)};
}

}  // namespace burstlet::provider
