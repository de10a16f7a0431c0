#include <catch2/catch.hpp>

#include "test/kube/server/spdy_client.h"
#include "test/kube/server/test_command.h"

namespace burstlet::kube::test {
namespace {

const std::vector<std::string> kClientGo = {"v5.channel.k8s.io", "v4.channel.k8s.io", "v3.channel.k8s.io",
                                            "v2.channel.k8s.io", "channel.k8s.io"};

struct SpdyNode {
  SpdyNode() {
    node.Start([this](KubeletServerConfig&, KubeletHandlers& handlers) { handlers.exec = LocalCommands(abandoned); });
  }
  std::shared_ptr<std::atomic<int>> abandoned = std::make_shared<std::atomic<int>>(0);
  TestNode node;
};

TEST_CASE("SPDY: the newest common version is v4", "[exec][spdy]") {
  SpdyNode exec;
  SpdyClient client(exec.node, ExecTarget("echo out; echo err >&2; exit 9", "output=1&error=1"), kClientGo);
  REQUIRE(client.head().status == 101);
  CHECK(client.head().headers.at("upgrade") == "SPDY/3.1");
  CHECK(client.head().headers.at("x-stream-protocol-version") == "v4.channel.k8s.io");
  const std::uint32_t error = client.Open({{"streamtype", "error"}});
  const std::uint32_t out = client.Open({{"streamtype", "stdout"}});
  const std::uint32_t err = client.Open({{"streamtype", "stderr"}});
  REQUIRE(client.Until([&] { return client.stream(error).fin && client.stream(out).fin && client.stream(err).fin; }));
  CHECK(client.stream(out).data == "out\n");
  CHECK(client.stream(err).data == "err\n");
  CHECK(client.stream(error).data.find(R"("message":"9")") != std::string::npos);
}

TEST_CASE("SPDY: versions may stand in one header, unknown ones are refused with those served", "[exec][spdy]") {
  SpdyNode exec;
  SpdyClient joined(exec.node, ExecTarget("true", "output=1"), {"v9.channel.k8s.io, v3.channel.k8s.io"});
  CHECK(joined.head().headers.at("x-stream-protocol-version") == "v3.channel.k8s.io");
  SpdyClient unknown(exec.node, ExecTarget("true", "output=1"), {"v9.channel.k8s.io"});
  CHECK(unknown.head().status == 403);
  CHECK(unknown.head().headers.count("x-accepted-stream-protocol-versions") == 1);
  SpdyClient none(exec.node, ExecTarget("true", "output=1"), {});
  CHECK(none.head().status == 400);
}

TEST_CASE("SPDY: stdin with half-close, pings on the way", "[exec][spdy]") {
  SpdyNode exec;
  SpdyClient client(exec.node, ExecTarget("wc -c", "input=1&output=1"), kClientGo);
  const std::uint32_t error = client.Open({{"streamtype", "error"}});
  const std::uint32_t in = client.Open({{"streamtype", "stdin"}});
  // Early input is kept for the command.
  client.Write(in, std::string(1000, 'a'));
  client.Ping(1);
  const std::uint32_t out = client.Open({{"streamtype", "stdout"}});
  REQUIRE(client.Until([&] { return client.last_ping() == 1; }));
  client.Write(in, std::string(3000000, 'b'), true);
  REQUIRE(client.Until([&] { return client.stream(error).fin && client.stream(out).fin; }));
  CHECK(client.stream(out).data.find("3001000") != std::string::npos);
  CHECK(client.stream(error).data == R"({"metadata":{},"status":"Success"})");
}

TEST_CASE("SPDY: a terminal with resize, and v2 without", "[exec][spdy]") {
  SpdyNode exec;
  SpdyClient client(exec.node, ExecTarget("read x; stty size", "input=1&output=1&tty=1"), kClientGo);
  const std::uint32_t error = client.Open({{"streamtype", "error"}});
  const std::uint32_t in = client.Open({{"streamtype", "stdin"}});
  const std::uint32_t out = client.Open({{"streamtype", "stdout"}});
  const std::uint32_t resize = client.Open({{"streamtype", "resize"}});
  client.Write(resize, R"({"Width":70,"Height":20})"
                       "\n");
  client.Write(in, "x\n");
  REQUIRE(client.Until([&] { return client.stream(error).fin && client.stream(out).fin; }));
  CHECK(client.stream(out).data.find("20 70") != std::string::npos);

  SpdyClient old(exec.node, ExecTarget("exit 2", "output=1&tty=1"), {"v2.channel.k8s.io"});
  const std::uint32_t old_error = old.Open({{"streamtype", "error"}});
  old.Open({{"streamtype", "stdout"}});
  REQUIRE(old.Until([&] { return old.stream(old_error).fin; }));
  CHECK(old.stream(old_error).data ==
        "command terminated with non-zero exit code: command terminated with exit code 2");
}

TEST_CASE("SPDY: a large output reaches a slow reader whole", "[exec][spdy]") {
  SpdyNode exec;
  SpdyClient client(exec.node, ExecTarget("head -c 20000000 /dev/zero", "output=1"), kClientGo);
  const std::uint32_t error = client.Open({{"streamtype", "error"}});
  const std::uint32_t out = client.Open({{"streamtype", "stdout"}});
  REQUIRE(client.Until([&] { return client.stream(error).fin && client.stream(out).fin; }));
  CHECK(client.stream(out).data.size() == 20000000);
}

TEST_CASE("SPDY: streams that nobody asked for are refused, others go on", "[exec][spdy]") {
  SpdyNode exec;
  SpdyClient client(exec.node, ExecTarget("echo fine", "output=1"), kClientGo);
  const std::uint32_t odd = client.Open({{"streamtype", "teapot"}});
  const std::uint32_t error = client.Open({{"streamtype", "error"}});
  const std::uint32_t twice = client.Open({{"streamtype", "error"}});
  const std::uint32_t out = client.Open({{"streamtype", "stdout"}});
  REQUIRE(client.Until([&] { return client.stream(error).fin && client.stream(out).fin; }));
  CHECK(client.stream(odd).reset);
  CHECK(client.stream(twice).reset);
  CHECK(client.stream(out).data == "fine\n");
}

TEST_CASE("SPDY: a client that goes away abandons the command", "[exec][spdy]") {
  SpdyNode exec;
  {
    SpdyClient client(exec.node, ExecTarget("echo here; sleep 600", "output=1"), kClientGo);
    client.Open({{"streamtype", "error"}});
    const std::uint32_t out = client.Open({{"streamtype", "stdout"}});
    REQUIRE(client.Until([&] { return client.stream(out).data == "here\n"; }));
  }
  exec.node.Stop();
  CHECK(*exec.abandoned == 1);
}

TEST_CASE("SPDY: malformed frames end the connection", "[exec][spdy]") {
  SpdyNode exec;
  const std::string bad[] = {
      std::string("\x80\x02\x00\x01\x00\x00\x00\x00", 8),                   // version 2
      std::string("\x80\x03\x00\x01\x00\xFF\xFF\xFF", 8),                   // a control frame of 16 MiB
      std::string("\x80\x03\x00\x01\x00\x00\x00\x02\x00\x00", 10),          // a short SYN_STREAM
      std::string("\x80\x03\x00\x63\x00\x00\x00\x04\x00\x00\x00\x01", 12),  // unknown type
      std::string("\x00\x00\x00\x00\x00\x00\x00\x01x", 9),                  // data for stream zero
      std::string("\x80\x03\x00\x01\x00\x00\x00\x0E\x00\x00\x00\x01\x00\x00\x00\x00\x00\x00garb", 22),
  };
  for (const std::string& bytes : bad) {
    SpdyClient client(exec.node, ExecTarget("sleep 600", "output=1"), kClientGo);
    REQUIRE(client.head().status == 101);
    client.SendRaw(bytes);
    CHECK(client.client().Receive().empty());
  }
}

}  // namespace
}  // namespace burstlet::kube::test
