// gRPC probes against gRPC's own server and its health service, on loopback.
#include "provider/prober/grpc_runner.h"

#include <grpcpp/generic/async_generic_service.h>
#include <grpcpp/health_check_service_interface.h>
#include <grpcpp/server.h>
#include <grpcpp/server_builder.h>

#include <boost/asio/ip/tcp.hpp>
#include <catch2/catch.hpp>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "provider/prober/grpc_call.h"
#include "test/provider/loop_runner.h"

namespace burstlet::provider {
namespace {

using std::chrono::seconds;

class HealthServer {
 public:
  explicit HealthServer(bool with_health = true) {
    grpc::EnableDefaultHealthCheckService(with_health);
    grpc::ServerBuilder builder;
    builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(), &port_);
    if (with_health) {
      queue_ = builder.AddCompletionQueue();  // a server without a service of its own needs one
    } else {
      builder.RegisterCallbackGenericService(&nothing_);  // every call is unimplemented
    }
    server_ = builder.BuildAndStart();
  }
  ~HealthServer() {
    server_->Shutdown();
    if (queue_ == nullptr) return;
    queue_->Shutdown();
    void* tag = nullptr;
    bool ok = false;
    while (queue_->Next(&tag, &ok)) {
    }
  }
  int port() const { return port_; }
  grpc::HealthCheckServiceInterface& health() { return *server_->GetHealthCheckService(); }

 private:
  int port_ = 0;
  grpc::CallbackGenericService nothing_;
  std::unique_ptr<grpc::ServerCompletionQueue> queue_;
  std::unique_ptr<grpc::Server> server_;
};

kube::Task<void> Probe(kube::Loop& loop, GrpcProbe probe, bool give_up, ProbeOutcome& outcome) {
  kube::CancelToken cancel;
  auto guard = std::make_shared<ProbeGuard>(loop, std::chrono::steady_clock::now() + probe.timeout, cancel);
  if (give_up) loop.Post([cancel]() mutable { cancel.Cancel(); });
  outcome = co_await RunGrpcProbe(loop, std::move(probe), guard);
}

ProbeOutcome Look(int port, const std::string& service = "", seconds timeout = seconds(10), bool give_up = false) {
  kube::Loop loop;
  ProbeOutcome outcome;
  RunOnLoop(loop, Probe(loop, GrpcProbe{"127.0.0.1", port, service, timeout}, give_up, outcome));
  return outcome;
}

/// Takes connections into its backlog and never says a word.
struct SilentServer {
  boost::asio::io_context context;
  boost::asio::ip::tcp::acceptor acceptor{
      context, boost::asio::ip::tcp::endpoint(boost::asio::ip::make_address("127.0.0.1"), 0)};
  int port() const { return acceptor.local_endpoint().port(); }
};

enum FrameType : char { kData = 0, kHeaders = 1, kSettings = 4 };
enum FrameFlag : int { kEndStream = 1, kEndHeaders = 4 };

/// A frame of HTTP/2 (RFC 9113, 4.1) as a server sends it on the one stream; SETTINGS are the connection's.
std::string ServerFrame(FrameType type, int flags, const std::string& payload) {
  std::string frame;
  for (int shift = 16; shift >= 0; shift -= 8) frame += static_cast<char>(payload.size() >> shift & 0xff);
  frame += static_cast<char>(type);
  frame += static_cast<char>(flags);
  frame += std::string("\0\0\0", 3) + static_cast<char>(type == kSettings ? 0 : 1);
  return frame + payload;
}

/// A header field without indexing (RFC 7541, 6.2.2); both parts shorter than 127 bytes.
std::string Literal(const std::string& name, const std::string& value) {
  return std::string(1, '\0') + static_cast<char>(name.size()) + name + static_cast<char>(value.size()) + value;
}

}  // namespace

TEST_CASE("a gRPC probe goes by what the health service says of the server or of one service", "[prober]") {
  HealthServer server;
  server.health().SetServingStatus("ready", true);
  server.health().SetServingStatus("sick", false);
  CHECK(Look(server.port()).result == ProbeResult::kSuccess);
  CHECK(Look(server.port(), "ready").result == ProbeResult::kSuccess);
  const ProbeOutcome sick = Look(server.port(), "sick");
  CHECK(sick.result == ProbeResult::kFailure);
  CHECK(sick.output == "service unhealthy (responded with \"NOT_SERVING\")");
  const ProbeOutcome unknown = Look(server.port(), "nobody");
  CHECK(unknown.result == ProbeResult::kFailure);
  CHECK(absl::StartsWith(unknown.output, "error: health rpc probe failed: "));
}

TEST_CASE("a gRPC server without the health service is told by name", "[prober]") {
  HealthServer server(false);
  const ProbeOutcome outcome = Look(server.port());
  CHECK(outcome.result == ProbeResult::kFailure);
  INFO(outcome.output);
  CHECK(absl::StartsWith(outcome.output, "error: this server does not implement the grpc health protocol"));
}

TEST_CASE("a gRPC probe of a closed port fails at once", "[prober]") {
  int port = 0;
  {
    SilentServer gone;
    port = gone.port();
  }
  const ProbeOutcome outcome = Look(port, "", seconds(15));
  CHECK(outcome.result == ProbeResult::kFailure);
  CHECK(absl::StartsWith(outcome.output, absl::StrCat("error: failed to connect service at \"127.0.0.1:", port)));
}

TEST_CASE("a gRPC probe of a server that keeps silent ends at its time, or when it is given up", "[prober]") {
  SilentServer server;
  const ProbeOutcome late = Look(server.port(), "", seconds(1));
  CHECK(late.result == ProbeResult::kFailure);
  CHECK(absl::StartsWith(late.output, "timeout: "));
  CHECK(Look(server.port(), "", seconds(15), true).result == ProbeResult::kFailure);
}

TEST_CASE("a server that is none of gRPC is told from one that is", "[prober]") {
  GrpcCall call({"10.0.0.7:80", "/grpc.health.v1.Health/Check", "", "test", std::chrono::seconds(1)});
  const std::string sent = call.TakeOutput();
  CHECK(absl::StartsWith(sent, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"));
  call.Feed("HTTP/1.1 400 Bad Request\r\n\r\n");
  CHECK_FALSE(call.TakeOutput().empty());  // says goodbye
  CHECK(call.done());
  CHECK(call.code() == GrpcCode::kUnavailable);
  CHECK_FALSE(call.ready());
}

TEST_CASE("an answer is bounded and must be one whole message", "[prober]") {
  struct Answer {
    std::string data;
    GrpcCode code;
  };
  const Answer answers[] = {
      {std::string("\0\0\0\0\2\x08\1", 7), GrpcCode::kOk},
      {std::string("\0\0\0\0\3\x08\1", 7), GrpcCode::kInternal},  // says more than there is
      {std::string("\0\0\0\0\1\x08\1", 7), GrpcCode::kInternal},  // says less
      {std::string("\1\0\0\0\2\x08\1", 7), GrpcCode::kInternal},  // compressed
      {std::string("\0\0", 2), GrpcCode::kInternal},
      {std::string(16000, 'x'), GrpcCode::kResourceExhausted},
  };
  for (const Answer& answer : answers) {
    GrpcCall call({"10.0.0.7:80", "/grpc.health.v1.Health/Check", "", "test", std::chrono::seconds(1)});
    (void)call.TakeOutput();
    call.Feed(ServerFrame(kSettings, 0, ""));
    call.Feed(
        ServerFrame(kHeaders, kEndHeaders, Literal(":status", "200") + Literal("content-type", "application/grpc")));
    call.Feed(ServerFrame(kData, 0, answer.data));
    call.Feed(ServerFrame(kHeaders, kEndHeaders | kEndStream, Literal("grpc-status", "0")));
    CHECK(call.done());
    CHECK(call.code() == answer.code);
  }
}

TEST_CASE("the server's words come percent-encoded, and its HTTP status counts where it says none", "[prober]") {
  const auto answer = [](const std::string& headers) {
    auto call = std::make_unique<GrpcCall>(
        GrpcCall::Request{"10.0.0.7:80", "/grpc.health.v1.Health/Check", "", "test", std::chrono::seconds(1)});
    (void)call->TakeOutput();
    call->Feed(ServerFrame(kSettings, 0, "") + ServerFrame(kHeaders, kEndHeaders | kEndStream, headers));
    return call;
  };
  const auto busy = answer(Literal(":status", "200") + Literal("content-type", "application/grpc") +
                           Literal("grpc-status", "14") + Literal("grpc-message", "too%20busy %zz%"));
  CHECK(busy->code() == GrpcCode::kUnavailable);
  CHECK(busy->error() == "too busy %zz%");
  CHECK(answer(Literal(":status", "404"))->code() == GrpcCode::kUnimplemented);
  CHECK(answer(Literal(":status", "503"))->code() == GrpcCode::kUnavailable);
  CHECK(answer(Literal(":status", "200"))->error() == "the server's answer is not of gRPC");
}

TEST_CASE("health messages are parsed with bounds", "[prober]") {
  CHECK(EncodeHealthRequest("").empty());
  CHECK(EncodeHealthRequest("ab") ==
        "\x0a\x02"
        "ab");
  CHECK(EncodeHealthRequest(std::string(200, 'x')).substr(0, 3) == "\x0a\xc8\x01");
  CHECK(ParseHealthStatus("") == 0u);
  CHECK(ParseHealthStatus("\x08\x01") == 1u);
  CHECK(ParseHealthStatus("\x12\x02hi\x08\x02") == 2u);
  CHECK(ParseHealthStatus(std::string_view("\x0d\0\0\0\0\x08\x01", 7)) == 1u);
  CHECK_FALSE(ParseHealthStatus("\x08"));
  CHECK_FALSE(ParseHealthStatus("\x12\x7fhi"));
  CHECK_FALSE(ParseHealthStatus("\x0b"));
  CHECK_FALSE(ParseHealthStatus("\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"));
}

}  // namespace burstlet::provider
