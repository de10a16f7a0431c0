#include "provider/prober/dialer.h"

#include <boost/asio/redirect_error.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <cctype>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "kube/async/signal_event.h"

namespace burstlet::provider {
namespace {

using boost::asio::ip::tcp;

struct Lookup {
  explicit Lookup(kube::Loop& loop) : resolver(loop.context()), done(loop) {}
  tcp::resolver resolver;
  kube::SignalEvent done;
  bool answered = false;
  std::vector<tcp::endpoint> endpoints;
};

/// The look-up itself cannot be interrupted: it is left to end by itself when the guard fires first.
kube::Task<std::vector<tcp::endpoint>> Resolve(kube::Loop& loop, std::string host, int port,
                                               std::shared_ptr<ProbeGuard> guard) {
  boost::system::error_code error;
  const auto address = boost::asio::ip::make_address(host, error);
  if (!error) {
    std::vector<tcp::endpoint> one;
    one.emplace_back(address, static_cast<unsigned short>(port));
    co_return one;
  }
  auto lookup = std::make_shared<Lookup>(loop);
  lookup->resolver.async_resolve(host, std::to_string(port), tcp::resolver::numeric_service,
                                 [lookup](const boost::system::error_code& failed, tcp::resolver::results_type found) {
                                   lookup->answered = true;
                                   if (!failed) {
                                     for (const auto& entry : found) lookup->endpoints.push_back(entry.endpoint());
                                   }
                                   lookup->done.Set();
                                 });
  guard->OnEnd([lookup] { lookup->done.Set(); });
  co_await lookup->done.Wait();
  guard->OnEnd({});
  if (!lookup->answered) co_return std::vector<tcp::endpoint>{};
  co_return lookup->endpoints;
}

std::string LowerFirst(std::string text) {
  if (!text.empty()) text[0] = static_cast<char>(std::tolower(static_cast<unsigned char>(text[0])));
  return text;
}

}  // namespace

std::string JoinHostPort(const std::string& host, int port) {
  const bool v6 = host.find(':') != std::string::npos;
  return v6 ? absl::StrCat("[", host, "]:", port) : absl::StrCat(host, ":", port);
}

kube::Task<absl::StatusOr<std::shared_ptr<tcp::socket>>> Dial(kube::Loop& loop, std::string host, int port,
                                                              std::shared_ptr<ProbeGuard> guard) {
  const std::vector<tcp::endpoint> endpoints = co_await Resolve(loop, host, port, guard);
  const std::string target = JoinHostPort(host, port);
  if (guard->timed_out()) co_return absl::DeadlineExceededError(absl::StrCat("dial tcp ", target, ": i/o timeout"));
  if (endpoints.empty()) co_return absl::UnavailableError(absl::StrCat("dial tcp: lookup ", host, ": no such host"));
  absl::Status last = absl::CancelledError("operation was canceled");
  for (const tcp::endpoint& endpoint : endpoints) {
    auto socket = std::make_shared<tcp::socket>(loop.context());
    guard->OnEnd([socket] {
      boost::system::error_code ignored;
      socket->close(ignored);
    });
    if (guard->ended()) break;
    boost::system::error_code error;
    co_await socket->async_connect(endpoint, boost::asio::redirect_error(boost::asio::use_awaitable, error));
    if (!error && !guard->ended()) {
      // Little lingers in TIME_WAIT of the many connections that probes make (pkg/probe/dialer_others.go).
      boost::system::error_code ignored;
      socket->set_option(tcp::socket::linger(true, 1), ignored);
      co_return socket;
    }
    const std::string where = JoinHostPort(endpoint.address().to_string(), port);
    if (guard->timed_out()) co_return absl::DeadlineExceededError(absl::StrCat("dial tcp ", where, ": i/o timeout"));
    if (guard->ended()) break;
    last = absl::UnavailableError(absl::StrCat("dial tcp ", where, ": connect: ", LowerFirst(error.message())));
  }
  guard->OnEnd({});
  co_return last;
}

}  // namespace burstlet::provider
