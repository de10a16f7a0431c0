#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <catch2/catch.hpp>
#include <filesystem>
#include <fstream>

#include "kube/server/cri_log.h"
#include "kube/server/log_options.h"
#include "test/kube/server/test_node.h"

namespace burstlet::kube::test {
namespace {

const char kLog[] =
    "2024-01-02T03:04:05.000000001Z stdout F one\n"
    "2024-01-02T03:04:06.5Z stderr F two\n"
    "2024-01-02T03:04:07.000000003Z stdout P thr\n"
    "2024-01-02T03:04:07.000000004Z stdout F ee\n"
    "this is no log line\n"
    "2024-01-02T03:04:08.000000005Z stdout F \n"
    "2024-01-02T05:04:09.000000006+02:00 stdout F:x five\n";

std::string Filtered(const LogOptions& options, const std::string& text, std::size_t piece = 1 << 20) {
  CriLogFilter filter(options);
  std::string out;
  for (std::size_t at = 0; at < text.size(); at += piece) filter.Feed(text.substr(at, piece), &out);
  filter.EndOfFile(&out);
  return out;
}

TEST_CASE("log lines lose their prefix, partial ones join", "[logs]") {
  const std::string want = "one\ntwo\nthree\n\nfive\n";
  CHECK(Filtered(LogOptions(), kLog) == want);
  for (std::size_t piece = 1; piece < 20; ++piece) CHECK(Filtered(LogOptions(), kLog, piece) == want);
}

TEST_CASE("timestamps stand where lines begin, with nine digits", "[logs]") {
  LogOptions options;
  options.timestamps = true;
  CHECK(Filtered(options, kLog) ==
        "2024-01-02T03:04:05.000000001Z one\n"
        "2024-01-02T03:04:06.500000000Z two\n"
        "2024-01-02T03:04:07.000000003Z three\n"
        "2024-01-02T03:04:08.000000005Z \n"
        "2024-01-02T05:04:09.000000006+02:00 five\n");
}

TEST_CASE("streams, since and the byte limit choose", "[logs]") {
  LogOptions options;
  options.want_stderr = false;
  CHECK(Filtered(options, kLog) == "one\nthree\n\nfive\n");
  options = LogOptions();
  options.since_unix_nanos = *ParseRfc3339Nanos("2024-01-02T03:04:08Z");
  CHECK(Filtered(options, kLog) == "\nfive\n");
  options = LogOptions();
  options.limit_bytes = 6;
  CHECK(Filtered(options, kLog) == "one\ntw");
}

TEST_CASE("an endless line costs bounded memory", "[logs]") {
  std::string text = "2024-01-02T03:04:05Z stdout F " + std::string(3 << 20, 'x') + "\n";
  text += "2024-01-02T03:04:06Z stdout F next\n";
  const std::string out = Filtered(LogOptions(), text, 60000);
  CHECK(out.size() < (2 << 20));
  CHECK(out.substr(out.size() - 6) == "\nnext\n");
}

TEST_CASE("RFC 3339 is read with its zone, nonsense is not", "[logs]") {
  CHECK(ParseRfc3339Nanos("1970-01-01T00:00:01.5Z") == 1500000000);
  CHECK(ParseRfc3339Nanos("2024-02-29T12:00:00+01:00") == ParseRfc3339Nanos("2024-02-29T11:00:00Z"));
  for (const char* text :
       {"", "2024", "2024-01-02", "2024-01-02T03:04:05", "2024-13-02T03:04:05Z", "2024-01-02T25:04:05Z",
        "2024-01-02T03:04:05.Z", "9999-01-01T00:00:00Z", "2024-01-02T03:04:05Zx", "2024-01-02T03:04:05+1:00"}) {
    INFO(text);
    CHECK_FALSE(ParseRfc3339Nanos(text).has_value());
  }
}

struct LogNode {
  LogNode() {
    path = node.dir().Write("0.log", kLog);
    node.Start([this](KubeletServerConfig&, KubeletHandlers& handlers) {
      handlers.container_logs = [this](const ContainerRef& ref, const LogOptions& options,
                                       const Reply<LogSource>& reply) {
        if (ref.container == "absent") {
          reply(absl::NotFoundError("container \"absent\" not found in pod \"pod\""));
          return;
        }
        if (options.previous) {
          reply(absl::InvalidArgumentError("previous terminated container not found"));
          return;
        }
        LogSource source;
        source.path = path;
        source.finished = [this] { return finished.load(); };
        reply(source);
      };
    });
  }
  ClientResponse Get(const std::string& query) {
    return Fetch(node.port(), node.admin(), "GET", "/containerLogs/default/pod/c" + query);
  }
  void Append(const std::string& text) { std::ofstream(path, std::ios::app) << text; }

  std::string path;
  std::atomic<bool> finished{false};
  TestNode node;
};

TEST_CASE("logs are served by their options", "[logs]") {
  LogNode logs;
  CHECK(logs.Get("").body == "one\ntwo\nthree\n\nfive\n");
  CHECK(logs.Get("?tailLines=1").body == "five\n");
  CHECK(logs.Get("?tailLines=0").body.empty());
  CHECK(logs.Get("?tailLines=100").body == "one\ntwo\nthree\n\nfive\n");
  CHECK(logs.Get("?tail=1").body == "five\n");
  CHECK(logs.Get("?tail=all&tailLines=1").body == "one\ntwo\nthree\n\nfive\n");
  CHECK(logs.Get("?limitBytes=5").body == "one\nt");
  CHECK(logs.Get("?stream=Stderr").body == "two\n");
  CHECK(logs.Get("?sinceTime=2024-01-02T03:04:10Z").body.empty());
  CHECK(logs.Get("?sinceSeconds=1").body.empty());
  CHECK(logs.Get("?timestamps=true&tailLines=1").body == "2024-01-02T05:04:09.000000006+02:00 five\n");
}

TEST_CASE("absurd log options are refused as the kubelet does", "[logs]") {
  LogNode logs;
  for (const char* query : {"?tailLines=x", "?limitBytes=", "?sinceTime=yesterday", "?sinceSeconds=1e3",
                            "?tailLines=99999999999999999999"}) {
    INFO(query);
    CHECK(logs.Get(query).status == 400);
  }
  for (const char* query : {"?tailLines=-1", "?limitBytes=0", "?sinceSeconds=0", "?stream=Stdin",
                            "?sinceSeconds=1&sinceTime=2024-01-02T03:04:09Z", "?stream=Stdout&tailLines=1"}) {
    INFO(query);
    const ClientResponse response = logs.Get(query);
    CHECK(response.status == 422);
    CHECK(response.body == R"({"message": "Invalid request."})");
  }
  CHECK(logs.Get("?previous=true").status == 400);
  CHECK(Fetch(logs.node.port(), logs.node.admin(), "GET", "/containerLogs/default/pod/absent").status == 404);
}

TEST_CASE("a log that is no regular file is not served", "[logs]") {
  LogNode logs;
  std::filesystem::rename(logs.path, logs.path + ".real");
  SECTION("a link") { std::filesystem::create_symlink(logs.path + ".real", logs.path); }
  SECTION("a pipe") { mkfifo(logs.path.c_str(), 0600); }
  SECTION("a folder") { mkdir(logs.path.c_str(), 0700); }
  SECTION("nothing") {}
  CHECK(logs.Get("").status == 400);
}

TEST_CASE("following sees what comes, over rotation, until the container ends", "[logs]") {
  LogNode logs;
  TestClient client(logs.node.port(), logs.node.admin());
  client.Send("GET /containerLogs/default/pod/c?follow=true&tailLines=1 HTTP/1.1\r\nHost: n\r\n\r\n");
  REQUIRE(client.ReadHead().status == 200);
  CHECK(client.ReadChunk() == "five\n");
  logs.Append("2024-01-02T03:05:00Z stdout F six\n");
  CHECK(client.ReadChunk() == "six\n");
  // Half a line waits for the other half.
  logs.Append("2024-01-02T03:05:00Z stdo");
  logs.Append("ut F seven\n");
  CHECK(client.ReadChunk() == "seven\n");
  std::filesystem::rename(logs.path, logs.path + ".20240102");
  std::ofstream(logs.path + ".20240102", std::ios::app) << "2024-01-02T03:05:01Z stdout F last of the old\n";
  std::ofstream(logs.path) << "2024-01-02T03:05:02Z stdout F first of the new\n";
  std::string text;
  while (text.find("new\n") == std::string::npos) {
    const std::string chunk = client.ReadChunk();
    REQUIRE_FALSE(chunk.empty());
    text += chunk;
  }
  CHECK(text == "last of the old\nfirst of the new\n");
  logs.Append("2024-01-02T03:05:03Z stdout F good");
  logs.finished = true;
  logs.Append("bye\n");
  CHECK(client.ReadChunk() == "goodbye\n");
  CHECK(client.ReadChunk().empty());
  // The connection goes on.
  CHECK(client.Request("GET", "/healthz").body == "ok");
}

TEST_CASE("a hundred clients follow one log, some leave", "[logs]") {
  LogNode logs;
  std::vector<std::unique_ptr<TestClient>> clients;
  for (int i = 0; i < 100; ++i) {
    clients.push_back(std::make_unique<TestClient>(logs.node.port(), logs.node.admin()));
    clients.back()->Send("GET /containerLogs/default/pod/c?follow=1&tailLines=0 HTTP/1.1\r\nHost: n\r\n\r\n");
    REQUIRE(clients.back()->ReadHead().status == 200);
  }
  for (std::size_t i = 0; i < 50; ++i) clients[i].reset();
  logs.Append("2024-01-02T03:05:00Z stdout F all\n");
  for (std::size_t i = 50; i < 100; ++i) CHECK(clients[i]->ReadChunk() == "all\n");
}

TEST_CASE("a reader slower than the log gets all of it", "[logs]") {
  LogNode logs;
  std::string lines;
  for (int i = 0; i < 200000; ++i) lines += "2024-01-02T03:05:00Z stdout F line " + std::to_string(i) + "\n";
  logs.Append(lines);
  TestClient client(logs.node.port(), logs.node.admin());
  const ClientResponse response = client.Request("GET", "/containerLogs/default/pod/c?tailLines=200000");
  CHECK(response.body.rfind("line 0\n", 0) == 0);
  CHECK(response.body.substr(response.body.size() - 12) == "line 199999\n");
}

TEST_CASE("the end of a log comes in a TLS record of its own", "[logs]") {
  LogNode logs;
  TestClient client(logs.node.port(), logs.node.admin());
  client.Send("GET /containerLogs/default/pod/c?tailLines=1 HTTP/1.1\r\nHost: n\r\n\r\n");
  CHECK(client.ReadHead().status == 200);
  std::string before, piece;
  while (!(piece = client.Receive()).empty() && piece.find("0\r\n\r\n") == std::string::npos) before += piece;
  CHECK(piece == "0\r\n\r\n");
  CHECK(before == "5\r\nfive\n\r\n");
}

TEST_CASE("HTTP/1.0 clients get the log until the connection ends", "[logs]") {
  LogNode logs;
  TestClient client(logs.node.port(), logs.node.admin());
  client.Send("GET /containerLogs/default/pod/c?tailLines=1 HTTP/1.0\r\n\r\n");
  CHECK(client.ReadHead().status == 200);
  CHECK(client.ReceiveExactly(100) == "five\n");
}

}  // namespace
}  // namespace burstlet::kube::test
