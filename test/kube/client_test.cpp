// The client against a scripted server: requests, answers, failures, streams, identities.
#include "kube/client.h"

#include <catch2/catch.hpp>
#include <iostream>

#include "kube/client_status.h"
#include "test/kube/fakes/fake_api_server.h"
#include "test/kube/fakes/loop_runner.h"
#include "test/kube/server/test_certificates.h"

namespace burstlet::kube::test {
namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;

const absl::Status kPending = absl::UnknownError("pending");

ClientConfig ConfigFor(const FakeApiServer& server) {
  ClientConfig config;
  config.server = server.url();
  return config;
}

struct Identity {
  CertifiedKey ca = MakeCa("test-ca");
  CertifiedKey server = Issue(ca, {.common_name = "kube-apiserver", .organizations = {}, .server = true});
  CertifiedKey client = Issue(ca, {.common_name = "system:node:n1", .organizations = {"system:nodes"}});

  FakeApiServer::Tls Tls() const { return {server.cert_pem, server.key_pem, ca.cert_pem}; }
  ClientConfig Config(const FakeApiServer& fake) const {
    ClientConfig config = ConfigFor(fake);
    config.ca_data = ca.cert_pem;
    config.cert_data = client.cert_pem;
    config.key_data = client.key_pem;
    return config;
  }
};

template <typename T>
absl::StatusOr<T> Ask(Loop& loop, Task<absl::StatusOr<T>> task) {
  return Await<absl::StatusOr<T>>(loop, std::move(task), kPending);
}

TEST_CASE("a status patch is a strategic merge patch to the status subresource", "[client]") {
  FakeApiServer server([](const FakeRequest&, Reply& reply) {
    reply.Send(200, R"({"metadata":{"name":"web","resourceVersion":"7"},"status":{"phase":"Running"}})");
  });
  Loop loop;
  const auto client = NewClient(loop, ConfigFor(server)).value();
  const auto pod = Ask(loop, client->PatchPodStatus("default", "web", R"({"status":{"phase":"Running"}})"));
  REQUIRE(pod.ok());
  CHECK(pod->status.phase == "Running");
  const auto requests = server.requests();
  REQUIRE(requests.size() == 1);
  CHECK(requests[0].method == "PATCH");
  CHECK(requests[0].target == "/api/v1/namespaces/default/pods/web/status");
  CHECK(requests[0].headers.at("content-type") == "application/strategic-merge-patch+json");
  CHECK(requests[0].headers.at("accept") == "application/json");
  CHECK(requests[0].body == R"({"status":{"phase":"Running"}})");
}

TEST_CASE("errors carry code, reason, cause and the server's message", "[client]") {
  struct Case {
    int code;
    std::string reason;
    absl::StatusCode want;
  };
  const auto it = GENERATE(
      Case{404, "NotFound", absl::StatusCode::kNotFound}, Case{409, "AlreadyExists", absl::StatusCode::kAlreadyExists},
      Case{409, "Conflict", absl::StatusCode::kAborted}, Case{401, "Unauthorized", absl::StatusCode::kUnauthenticated},
      Case{403, "Forbidden", absl::StatusCode::kPermissionDenied}, Case{410, "Expired", absl::StatusCode::kOutOfRange},
      Case{422, "Invalid", absl::StatusCode::kInvalidArgument},
      Case{429, "TooManyRequests", absl::StatusCode::kUnavailable},
      Case{503, "ServiceUnavailable", absl::StatusCode::kUnavailable},
      Case{500, "InternalError", absl::StatusCode::kInternal});
  FakeApiServer server([&it](const FakeRequest&, Reply& reply) {
    reply.Send(it.code,
               R"({"kind":"Status","status":"Failure","message":"no luck","reason":")" + it.reason +
                   R"(","details":{"causes":[{"reason":"NamespaceTerminating","message":"m"}]},"code":)" +
                   std::to_string(it.code) + "}",
               "Retry-After: 3\r\n");
  });
  Loop loop;
  const auto client = NewClient(loop, ConfigFor(server)).value();
  const auto lease = Ask(loop, client->GetLease("n1"));
  REQUIRE_FALSE(lease.ok());
  CHECK(lease.status().code() == it.want);
  CHECK(lease.status().message() == "no luck");
  CHECK(HttpCodeOf(lease.status()) == it.code);
  CHECK(ApiReasonOf(lease.status()) == it.reason);
  CHECK(HasApiCause(lease.status(), "NamespaceTerminating"));
  CHECK_FALSE(HasApiCause(lease.status(), "Terminating"));
  CHECK(RetryAfterOf(lease.status()) == milliseconds(3000));
}

TEST_CASE("an error that is no Status object is shown as it came", "[client]") {
  FakeApiServer server([](const FakeRequest&, Reply& reply) { reply.Send(502, "bad gateway"); });
  Loop loop;
  const auto client = NewClient(loop, ConfigFor(server)).value();
  const auto node = Ask(loop, client->GetNode("n1"));
  CHECK(node.status().code() == absl::StatusCode::kUnavailable);
  CHECK(node.status().message() == "HTTP 502: bad gateway");
}

TEST_CASE("a redirect is not followed", "[client]") {
  FakeApiServer server([](const FakeRequest&, Reply& reply) { reply.Send(302, "", "Location: /elsewhere\r\n"); });
  Loop loop;
  const auto client = NewClient(loop, ConfigFor(server)).value();
  CHECK(HttpCodeOf(Ask(loop, client->GetNode("n1")).status()) == 302);
  CHECK(server.requests().size() == 1);
}

TEST_CASE("names are encoded into paths, and deletes name the UID", "[client]") {
  FakeApiServer server([](const FakeRequest&, Reply& reply) { reply.Send(200, "{}"); });
  Loop loop;
  const auto client = NewClient(loop, ConfigFor(server)).value();
  CHECK(Ask(loop, client->GetSecret("ns", "a b/c")).ok());
  const auto deleted = Await<absl::Status>(loop, client->DeletePod("ns", "p", "u-1", 0), kPending);
  CHECK(deleted.ok());
  const auto requests = server.requests();
  REQUIRE(requests.size() == 2);
  CHECK(requests[0].target == "/api/v1/namespaces/ns/secrets/a%20b%2Fc");
  CHECK(requests[1].method == "DELETE");
  CHECK(requests[1].body ==
        R"({"kind":"DeleteOptions","apiVersion":"v1","gracePeriodSeconds":0,"preconditions":{"uid":"u-1"}})");
}

TEST_CASE("requests one after another use one connection", "[client]") {
  const Identity identity;
  FakeApiServer server([](const FakeRequest&, Reply& reply) { reply.Send(200, "{}"); }, identity.Tls());
  Loop loop;
  const auto client = NewClient(loop, identity.Config(server)).value();
  for (int i = 0; i < 20; ++i) REQUIRE(Ask(loop, client->GetNode("n1")).ok());
  CHECK(server.connections() == 1);
  CHECK(server.requests()[0].client_name == "system:node:n1");
}

TEST_CASE("a server that is not of our CA is refused, unless told otherwise", "[client]") {
  const Identity identity;
  const Identity stranger;
  FakeApiServer server([](const FakeRequest&, Reply& reply) { reply.Send(200, "{}"); },
                       {stranger.server.cert_pem, stranger.server.key_pem, ""});
  Loop loop;
  ClientConfig config = identity.Config(server);
  {
    const auto client = NewClient(loop, config).value();
    CHECK(Ask(loop, client->GetNode("n1")).status().code() == absl::StatusCode::kUnavailable);
    CHECK(server.requests().empty());
  }
  config.insecure_skip_verify = true;
  const auto client = NewClient(loop, config).value();
  CHECK(Ask(loop, client->GetNode("n1")).ok());
}

TEST_CASE("a server whose certificate names another host is refused", "[client]") {
  const Identity identity;
  FakeApiServer server([](const FakeRequest&, Reply& reply) { reply.Send(200, "{}"); }, identity.Tls());
  Loop loop;
  ClientConfig config = identity.Config(server);
  config.tls_server_name = "elsewhere.test";
  const auto client = NewClient(loop, config).value();
  CHECK_FALSE(Ask(loop, client->GetNode("n1")).ok());
  CHECK(server.requests().empty());
}

TEST_CASE("a server that does not answer is given up on in time", "[client]") {
  FakeApiServer server([](const FakeRequest&, Reply& reply) { reply.WaitForClientToGo(); });
  Loop loop;
  const auto client = NewClient(loop, ConfigFor(server)).value();
  const auto response = Ask(loop, client->Do("GET", "/", "", "", milliseconds(30)));
  CHECK(response.status().code() == absl::StatusCode::kDeadlineExceeded);
}

TEST_CASE("nobody listening is kUnavailable", "[client]") {
  ClientConfig config;
  {
    FakeApiServer server([](const FakeRequest&, Reply&) {});
    config = ConfigFor(server);
  }
  Loop loop;
  const auto client = NewClient(loop, config).value();
  CHECK(Ask(loop, client->GetNode("n1")).status().code() == absl::StatusCode::kUnavailable);
}

TEST_CASE("a connection that the server closed while it was idle is not an error", "[client]") {
  FakeApiServer server([](const FakeRequest&, Reply& reply) { reply.Send(200, "{}"); });
  Loop loop;
  const auto client = NewClient(loop, ConfigFor(server)).value();
  for (int i = 0; i < 5; ++i) {
    REQUIRE(Ask(loop, client->GetNode("n1")).ok());
    server.CutAll();
  }
}

struct StreamResult {
  std::vector<std::string> lines;
  absl::Status status = kPending;
};

Task<void> RunStream(Client& client, std::string path, milliseconds idle, CancelToken cancel, StreamResult& result,
                     std::function<void()> after_line) {
  std::function<void(std::string)> on_line = [&result, after_line](std::string line) {
    result.lines.push_back(std::move(line));
    if (after_line) after_line();
  };
  result.status = co_await client.Stream(std::move(path), std::move(on_line), idle, cancel);
}

TEST_CASE("a stream gives lines however they were cut into chunks", "[client]") {
  FakeApiServer server([](const FakeRequest&, Reply& reply) {
    reply.Begin();
    reply.Chunk("one\ntwo\nth");
    reply.Chunk("ree");
    reply.Chunk("\n\nfour\n");
    reply.End();
  });
  Loop loop;
  const auto client = NewClient(loop, ConfigFor(server)).value();
  StreamResult result;
  REQUIRE(RunTask(loop, RunStream(*client, "/watch", milliseconds(5000), CancelToken(), result, nullptr)));
  CHECK(result.status.ok());
  CHECK(result.lines == std::vector<std::string>{"one", "two", "three", "four"});
}

TEST_CASE("a stream's refusal is an error with the server's words", "[client]") {
  FakeApiServer server([](const FakeRequest&, Reply& reply) {
    reply.Send(410, R"({"kind":"Status","message":"too old","reason":"Expired","code":410})"
                    "\n");
  });
  Loop loop;
  const auto client = NewClient(loop, ConfigFor(server)).value();
  StreamResult result;
  REQUIRE(RunTask(loop, RunStream(*client, "/watch", milliseconds(5000), CancelToken(), result, nullptr)));
  CHECK(result.status.code() == absl::StatusCode::kOutOfRange);
  CHECK(result.status.message() == "too old");
  CHECK(result.lines.empty());
}

TEST_CASE("a stream that is cut is kUnavailable", "[client]") {
  FakeApiServer server([](const FakeRequest&, Reply& reply) {
    reply.Begin();
    reply.Line("one");
    reply.Close();
  });
  Loop loop;
  const auto client = NewClient(loop, ConfigFor(server)).value();
  StreamResult result;
  REQUIRE(RunTask(loop, RunStream(*client, "/watch", milliseconds(5000), CancelToken(), result, nullptr)));
  CHECK(result.status.code() == absl::StatusCode::kUnavailable);
  CHECK(result.lines == std::vector<std::string>{"one"});
}

TEST_CASE("a silent stream ends after its idle limit", "[client]") {
  const Identity identity;
  FakeApiServer server(
      [](const FakeRequest&, Reply& reply) {
        reply.Begin();
        reply.Line("one");
        reply.WaitForClientToGo();
      },
      identity.Tls());
  Loop loop;
  const auto client = NewClient(loop, identity.Config(server)).value();
  StreamResult result;
  REQUIRE(RunTask(loop, RunStream(*client, "/watch", milliseconds(1500), CancelToken(), result, nullptr)));
  CHECK(result.status.code() == absl::StatusCode::kDeadlineExceeded);
  CHECK(result.lines.size() == 1);
}

TEST_CASE("a cancelled stream ends at once, and no line comes after", "[client]") {
  const Identity identity;
  FakeApiServer server(
      [](const FakeRequest&, Reply& reply) {
        reply.Begin();
        reply.Chunk("one\ntwo\nthree\n");
        reply.WaitForClientToGo();
      },
      identity.Tls());
  Loop loop;
  const auto client = NewClient(loop, identity.Config(server)).value();
  StreamResult result;
  CancelToken cancel;
  const auto started = steady_clock::now();
  REQUIRE(RunTask(loop, RunStream(*client, "/watch", milliseconds(60'000), cancel, result,
                                  [cancel]() mutable { cancel.Cancel(); })));
  CHECK(result.status.code() == absl::StatusCode::kCancelled);
  CHECK(result.lines == std::vector<std::string>{"one"});
  CHECK(steady_clock::now() - started < std::chrono::seconds(5));
}

TEST_CASE("a client that goes while requests are under way does not hang", "[client]") {
  FakeApiServer server([](const FakeRequest&, Reply& reply) {
    reply.Begin();
    reply.Line("one");
    reply.WaitForClientToGo();
  });
  auto loop = std::make_unique<Loop>();
  auto client = NewClient(*loop, ConfigFor(server)).value();
  StreamResult result;
  TaskGroup group(*loop);
  group.Spawn("stream",
              RunStream(*client, "/watch", milliseconds(60'000), CancelToken(), result, [&loop] { loop->Stop(); }));
  loop->Run();
  CHECK(result.lines.size() == 1);
  client.reset();
}

TEST_CASE("tokens are read anew from their file", "[client]") {
  FakeApiServer server([](const FakeRequest&, Reply& reply) { reply.Send(200, "{}"); });
  const TempDir dir;
  ClientConfig config = ConfigFor(server);
  config.token = "first";
  config.token_file = dir.Write("token", "from-file\n");
  Loop loop;
  const auto client = NewClient(loop, config).value();
  REQUIRE(Ask(loop, client->GetNode("n1")).ok());
  CHECK(server.requests()[0].headers.at("authorization") == "Bearer from-file");
}

TEST_CASE("a missing or broken credential file is an error at the start", "[client]") {
  ClientConfig config;
  config.server = "https://127.0.0.1:1";
  config.ca_file = "/nonexistent/ca.crt";
  Loop loop;
  CHECK(std::string(NewClient(loop, config).status().message()).find("/nonexistent/ca.crt") != std::string::npos);
  config.ca_file.clear();
  config.ca_data = "garbage";
  CHECK(std::string(NewClient(loop, config).status().message()).find("certificate authority") != std::string::npos);
}

Task<void> Many(Client& client, TaskGroup& group, int& good, int count);

Task<void> One(Client& client, int& good) {
  const auto node = co_await client.GetNode("n1");
  if (node.ok()) ++good;
}

Task<void> Many(Client& client, TaskGroup& group, int& good, int count) {
  for (int i = 0; i < count; ++i) group.Spawn("one", One(client, good));
  co_await group.Join();
}

TEST_CASE("a burst of requests shares a few connections", "[client]") {
  FakeApiServer server([](const FakeRequest&, Reply& reply) { reply.Send(200, "{}"); });
  Loop loop;
  const auto client = NewClient(loop, ConfigFor(server)).value();
  TaskGroup group(loop);
  int good = 0;
  REQUIRE(RunTask(loop, Many(*client, group, good, 200)));
  CHECK(good == 200);
  CHECK(server.connections() <= 16);
}

TEST_CASE("slow requests do not keep others from the wire", "[client]") {
  Gate gate;
  FakeApiServer server([&gate](const FakeRequest& request, Reply& reply) {
    if (request.Has("slow")) gate.Wait();
    reply.Send(200, "{}");
    if (request.Has("quick")) gate.Open();
  });
  Loop loop;
  const auto client = NewClient(loop, ConfigFor(server)).value();
  TaskGroup group(loop);
  int good = 0;
  for (int i = 0; i < 12; ++i) {
    group.Spawn("slow", [](Client& c, int& n) -> Task<void> {
      const auto node = co_await c.GetNode("slow");
      if (node.ok()) ++n;
    }(*client, good));
  }
  CHECK(Ask(loop, client->GetNode("quick")).ok());
  REQUIRE(RunTask(loop, Many(*client, group, good, 0)));
  CHECK(good == 12);
}

TEST_CASE("latency of requests and watch lines over TLS", "[.bench]") {
  const Identity identity;
  std::atomic<std::int64_t> sent{0};
  Turnstile read;  // one line at a time
  FakeApiServer server(
      [&sent, &read](const FakeRequest& request, Reply& reply) {
        if (!request.Has("watch")) return reply.Send(200, std::string(3000, ' ') + "{}");
        reply.Begin();
        for (int i = 0; i < 100 && reply.open(); ++i) {
          read.Wait();
          sent = steady_clock::now().time_since_epoch().count();
          reply.Line(std::string(3000, 'x'));
        }
        reply.End();
      },
      identity.Tls());
  Loop loop;
  const auto client = NewClient(loop, identity.Config(server)).value();
  std::vector<double> micros;
  const std::string body(2000, ' ');
  for (int i = 0; i < 500; ++i) {
    const auto begin = steady_clock::now();
    REQUIRE(Ask(loop, client->Do("PATCH", "/x", "application/json", body, milliseconds(5000))).ok());
    micros.push_back(std::chrono::duration<double, std::micro>(steady_clock::now() - begin).count());
  }
  std::sort(micros.begin(), micros.end());
  std::cout << "PATCH p50 " << micros[250] << " us, p99 " << micros[495] << " us\n";
  micros.clear();
  StreamResult result;
  read.Pass();
  REQUIRE(RunTask(loop, RunStream(*client, "/watch", milliseconds(5000), CancelToken(), result, [&] {
                    micros.push_back(static_cast<double>(steady_clock::now().time_since_epoch().count() - sent.load()) /
                                     1000);
                    read.Pass();
                  })));
  std::sort(micros.begin(), micros.end());
  std::cout << "watch line p50 " << micros[50] << " us, p99 " << micros[98] << " us\n";
}

}  // namespace
}  // namespace burstlet::kube::test
