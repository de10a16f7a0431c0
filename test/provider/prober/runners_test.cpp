// Probes over real sockets on loopback, against a server that says exactly what a test wants.
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/read_until.hpp>
#include <boost/asio/streambuf.hpp>
#include <boost/asio/write.hpp>
#include <catch2/catch.hpp>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "kube/async/signal_event.h"
#include "provider/prober/http_runner.h"
#include "provider/prober/tcp_runner.h"
#include "test/provider/loop_runner.h"

namespace burstlet::provider {
namespace {

using boost::asio::ip::tcp;
using std::chrono::milliseconds;
using std::chrono::steady_clock;

constexpr milliseconds kPlenty{10000};

/// Answers one connection after the other with the next text, then closes it. An empty text keeps silent until the
/// client goes.
class ScriptedServer {
 public:
  explicit ScriptedServer(std::vector<std::string> answers)
      : acceptor_(context_, tcp::endpoint(boost::asio::ip::make_address("127.0.0.1"), 0)),
        thread_([this, answers = std::move(answers)] { Serve(answers); }) {}
  ~ScriptedServer() { thread_.join(); }
  int port() const { return acceptor_.local_endpoint().port(); }
  /// What was asked; once all answers are given.
  const std::vector<std::string>& requests() {
    if (thread_.joinable()) thread_.join();
    thread_ = std::thread([] {});
    return requests_;
  }

 private:
  void Serve(const std::vector<std::string>& answers) {
    for (const std::string& answer : answers) {
      tcp::socket socket(context_);
      boost::system::error_code error;
      acceptor_.accept(socket, error);
      boost::asio::streambuf asked;
      boost::asio::read_until(socket, asked, "\r\n\r\n", error);
      requests_.emplace_back(boost::asio::buffers_begin(asked.data()), boost::asio::buffers_end(asked.data()));
      if (answer.empty()) {
        char rest;
        while (!error) socket.read_some(boost::asio::buffer(&rest, 1), error);
      } else {
        boost::asio::write(socket, boost::asio::buffer(answer), error);
      }
    }
  }

  boost::asio::io_context context_;
  tcp::acceptor acceptor_;
  std::vector<std::string> requests_;
  std::thread thread_;
};

HttpRequest Request(int port, const std::string& scheme = "http") {
  kube::HTTPGetAction action;
  action.port.number = port;
  action.path = "/live";
  action.scheme = scheme;
  return *MakeHttpRequest(action, kube::Container{}, "127.0.0.1", "probe");
}

kube::Task<void> Http(kube::Loop& loop, HttpRequest request, milliseconds timeout, ProbeOutcome& outcome) {
  auto guard = std::make_shared<ProbeGuard>(loop, steady_clock::now() + timeout, kube::CancelToken{});
  outcome = co_await RunHttpProbe(loop, std::move(request), guard);
}

ProbeOutcome ProbeHttp(HttpRequest request, milliseconds timeout = kPlenty) {
  kube::Loop loop;
  ProbeOutcome outcome;
  RunOnLoop(loop, Http(loop, std::move(request), timeout, outcome));
  return outcome;
}

kube::Task<void> Tcp(kube::Loop& loop, std::string host, int port, ProbeOutcome& outcome) {
  auto guard = std::make_shared<ProbeGuard>(loop, steady_clock::now() + kPlenty, kube::CancelToken{});
  outcome = co_await RunTcpProbe(loop, std::move(host), port, guard);
}

kube::Task<void> GivenUp(kube::Loop& loop, HttpRequest request, ProbeOutcome& outcome) {
  kube::CancelToken cancel;
  auto guard = std::make_shared<ProbeGuard>(loop, kube::SteadyTime::max(), cancel);
  loop.Post([cancel]() mutable { cancel.Cancel(); });
  outcome = co_await RunHttpProbe(loop, std::move(request), guard);
}

}  // namespace

TEST_CASE("an HTTP probe goes by the status", "[prober]") {
  for (const auto& [status, result] : std::vector<std::pair<int, ProbeResult>>{{200, ProbeResult::kSuccess},
                                                                               {299, ProbeResult::kSuccess},
                                                                               {304, ProbeResult::kWarning},
                                                                               {404, ProbeResult::kFailure},
                                                                               {500, ProbeResult::kFailure}}) {
    ScriptedServer server({absl::StrCat("HTTP/1.1 ", status, " X\r\nContent-Length: 6\r\n\r\nsecret")});
    const ProbeOutcome outcome = ProbeHttp(Request(server.port()));
    INFO(status);
    CHECK(outcome.result == result);
    if (status >= 400) CHECK(outcome.output == absl::StrCat("HTTP probe failed with statuscode: ", status));
    REQUIRE(server.requests().size() == 1);
    CHECK(absl::StartsWith(server.requests()[0], "GET /live HTTP/1.1\r\n"));
  }
}

TEST_CASE("redirects are followed on the same host only, ten times at most", "[prober]") {
  ScriptedServer near({"HTTP/1.1 302 Found\r\nLocation: /next\r\n\r\n", "HTTP/1.1 200 OK\r\n\r\n"});
  CHECK(ProbeHttp(Request(near.port())).result == ProbeResult::kSuccess);
  CHECK(absl::StartsWith(near.requests()[1], "GET /next "));

  ScriptedServer far({"HTTP/1.1 302 Found\r\nLocation: http://elsewhere.test/\r\n\r\nbye"});
  const ProbeOutcome away = ProbeHttp(Request(far.port()));
  CHECK(away.result == ProbeResult::kWarning);
  CHECK(away.output == "Probe terminated redirects, Response body: bye");

  ScriptedServer circle(std::vector<std::string>(10, "HTTP/1.1 302 Found\r\nLocation: /live\r\n\r\n"));
  const ProbeOutcome round = ProbeHttp(Request(circle.port()));
  CHECK(round.result == ProbeResult::kFailure);
  CHECK(absl::EndsWith(round.output, "stopped after 10 redirects"));
}

TEST_CASE("silence ends at the time-out", "[prober]") {
  ScriptedServer server({""});
  const ProbeOutcome outcome = ProbeHttp(Request(server.port()), milliseconds(50));
  CHECK(outcome.result == ProbeResult::kFailure);
  CHECK(outcome.output == absl::StrCat("Get \"http://127.0.0.1:", server.port(),
                                       "/live\": context deadline exceeded (Client.Timeout exceeded while awaiting "
                                       "headers)"));
}

TEST_CASE("a probe that nobody waits for any more ends", "[prober]") {
  ScriptedServer server({""});
  kube::Loop loop;
  ProbeOutcome outcome;
  RunOnLoop(loop, GivenUp(loop, Request(server.port()), outcome));
  CHECK(outcome.result != ProbeResult::kSuccess);
  // The server still waits for its one connection if the probe never came to make it.
  boost::asio::io_context context;
  tcp::socket last(context);
  boost::system::error_code ignored;
  last.connect(tcp::endpoint(boost::asio::ip::make_address("127.0.0.1"), static_cast<unsigned short>(server.port())),
               ignored);
}

TEST_CASE("an answer that breaks off says nothing of the container", "[prober]") {
  ScriptedServer server({"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nshort"});
  CHECK(ProbeHttp(Request(server.port())).result == ProbeResult::kError);
}

TEST_CASE("plain HTTP where TLS was asked for is told as such", "[prober]") {
  // A TLS greeting holds no empty line: the server answers when the client has given up reading one.
  boost::asio::io_context context;
  tcp::acceptor acceptor(context, tcp::endpoint(boost::asio::ip::make_address("127.0.0.1"), 0));
  std::thread server([&] {
    tcp::socket socket(context);
    boost::system::error_code error;
    acceptor.accept(socket, error);
    char greeting[512];
    socket.read_some(boost::asio::buffer(greeting), error);
    boost::asio::write(socket, boost::asio::buffer(std::string("HTTP/1.0 400 Bad Request\r\n\r\n")), error);
    while (!error) socket.read_some(boost::asio::buffer(greeting), error);
  });
  const ProbeOutcome outcome = ProbeHttp(Request(acceptor.local_endpoint().port(), "HTTPS"));
  server.join();
  CHECK(outcome.result == ProbeResult::kFailure);
  CHECK(absl::EndsWith(outcome.output, "http: server gave HTTP response to HTTPS client"));
}

TEST_CASE("a TCP probe goes by the connection", "[prober]") {
  kube::Loop loop;
  ProbeOutcome outcome{ProbeResult::kError, ""};
  int port = 0;
  {
    boost::asio::io_context context;
    tcp::acceptor acceptor(context, tcp::endpoint(boost::asio::ip::make_address("127.0.0.1"), 0));
    port = acceptor.local_endpoint().port();
    RunOnLoop(loop, Tcp(loop, "127.0.0.1", port, outcome));
    CHECK(outcome.result == ProbeResult::kSuccess);
  }
  kube::Loop again;
  RunOnLoop(again, Tcp(again, "127.0.0.1", port, outcome));
  CHECK(outcome.result == ProbeResult::kFailure);
  CHECK(outcome.output == absl::StrCat("dial tcp 127.0.0.1:", port, ": connect: connection refused"));
}

}  // namespace burstlet::provider
