#include <sys/socket.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <functional>
#include <map>
#include <thread>

#include "kube/server/websocket.h"
#include "test/kube/server/spdy_client.h"
#include "test/kube/server/test_command.h"

namespace burstlet::kube::test {
namespace {

/// Pods' ports: 80 echoes until end-of-file and says "bye", 81 sends ten megabytes, others refuse.
class PodPorts {
 public:
  ~PodPorts() {
    for (std::thread& thread : threads_) thread.join();
  }
  void Dial(const ContainerRef& pod, std::uint16_t port, const Reply<int>& reply) {
    if (pod.pod != "web" || (port != 80 && port != 81)) {
      reply(absl::UnavailableError("connection refused"));
      return;
    }
    int ends[2];
    socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends);
    threads_.emplace_back([port, fd = ends[1]] { Serve(port, fd); });
    reply(ends[0]);
  }

 private:
  static void Serve(std::uint16_t port, int fd) {
    std::string buffer(65536, 'z');
    if (port == 81) {
      for (int i = 0; i < 160 && send(fd, buffer.data(), buffer.size(), MSG_NOSIGNAL) > 0;) ++i;
    }
    ssize_t count = 0;
    while ((count = read(fd, buffer.data(), buffer.size())) > 0) {
      if (port == 80 && send(fd, buffer.data(), static_cast<std::size_t>(count), MSG_NOSIGNAL) < 0) break;
    }
    if (port == 80) send(fd, "bye", 3, MSG_NOSIGNAL);
    close(fd);
  }
  std::vector<std::thread> threads_;
};

struct ForwardNode {
  ForwardNode() {
    node.Start([this](KubeletServerConfig&, KubeletHandlers& handlers) {
      handlers.port_forward = [this](const ContainerRef& pod, std::uint16_t port, const Reply<int>& reply) {
        ports.Dial(pod, port, reply);
      };
    });
  }
  PodPorts ports;
  TestNode node;
};

struct Pair {
  std::uint32_t error;
  std::uint32_t data;
};

Pair OpenPair(SpdyClient& client, const std::string& port, const std::string& request) {
  Pair pair{};
  pair.error = client.Open({{"streamtype", "error"}, {"port", port}, {"requestid", request}});
  pair.data = client.Open({{"streamtype", "data"}, {"port", port}, {"requestid", request}});
  client.Write(pair.error, "", true);
  return pair;
}

TEST_CASE("a forwarded port carries data both ways and both half-closes", "[port_forward]") {
  ForwardNode forward;
  SpdyClient client(forward.node, "/portForward/default/web", {"portforward.k8s.io"});
  REQUIRE(client.head().status == 101);
  CHECK(client.head().headers.at("x-stream-protocol-version") == "portforward.k8s.io");
  const Pair first = OpenPair(client, "80", "0");
  const Pair second = OpenPair(client, "80", "1");
  client.Write(first.data, "hello ");
  client.Write(second.data, std::string(1000000, 'q'));
  client.Write(first.data, "there", true);
  REQUIRE(client.Until([&] { return client.stream(first.data).fin && client.stream(first.error).fin; }));
  CHECK(client.stream(first.data).data == "hello therebye");
  CHECK(client.stream(first.error).data.empty());
  client.Write(second.data, "", true);
  REQUIRE(client.Until([&] { return client.stream(second.data).fin; }));
  CHECK(client.stream(second.data).data.size() == 1000003);
}

TEST_CASE("a port that refuses resets its own streams only", "[port_forward]") {
  ForwardNode forward;
  SpdyClient client(forward.node, "/portForward/default/web/uid-7", {"portforward.k8s.io"});
  const Pair refused = OpenPair(client, "82", "0");
  REQUIRE(client.Until([&] { return client.stream(refused.data).reset && client.stream(refused.error).reset; }));
  CHECK(client.stream(refused.error).data == "error forwarding port 82 to pod web, uid uid-7: connection refused");
  const std::uint32_t bad = client.Open({{"streamtype", "data"}, {"port", "70000"}, {"requestid", "5"}});
  REQUIRE(client.Until([&] { return client.stream(bad).reset; }));
  const Pair good = OpenPair(client, "80", "1");
  client.Write(good.data, "x", true);
  REQUIRE(client.Until([&] { return client.stream(good.data).fin; }));
  CHECK(client.stream(good.data).data == "xbye");
}

TEST_CASE("streams without a request id are paired by their numbers", "[port_forward]") {
  ForwardNode forward;
  SpdyClient client(forward.node, "/portForward/default/web", {"portforward.k8s.io"});
  client.Open({{"streamtype", "error"}, {"port", "80"}});
  const std::uint32_t data = client.Open({{"streamtype", "data"}, {"port", "80"}});
  client.Write(data, "old", true);
  REQUIRE(client.Until([&] { return client.stream(data).fin; }));
  CHECK(client.stream(data).data == "oldbye");
}

TEST_CASE("much data from a pod comes whole", "[port_forward]") {
  ForwardNode forward;
  SpdyClient client(forward.node, "/portForward/default/web", {"portforward.k8s.io"});
  const Pair pair = OpenPair(client, "81", "0");
  REQUIRE(client.Until([&] { return client.stream(pair.data).data.size() == 160U * 65536U; }));
  client.Write(pair.data, "", true);
  REQUIRE(client.Until([&] { return client.stream(pair.error).fin; }));
}

TEST_CASE("port-forward goes through a WebSocket tunnel", "[port_forward]") {
  ForwardNode forward;
  CommandSocket socket(forward.node, "/portForward/default/web", "SPDY/3.1+portforward.k8s.io");
  REQUIRE(socket.status() == 101);
  CHECK(socket.chosen() == "SPDY/3.1+portforward.k8s.io");
  SpdyEncoder encoder;
  std::string bytes;
  encoder.SynStream(1, {{"streamtype", "error"}, {"port", "80"}, {"requestid", "0"}}, &bytes);
  encoder.SynStream(3, {{"streamtype", "data"}, {"port", "80"}, {"requestid", "0"}}, &bytes);
  encoder.Data(3, "ping", true, &bytes);
  // A message may end anywhere in a frame of the inner protocol.
  for (std::size_t at = 0; at < bytes.size(); at += 7) socket.client().Send(ClientFrame(2, bytes.substr(at, 7)));
  std::string received;
  while (received.find("bye") == std::string::npos) {
    const auto frame = socket.NextFrame();
    REQUIRE(frame.has_value());
    received += frame->payload;
  }
  CHECK(received.find("ping") != std::string::npos);
  CommandSocket exec_only(forward.node, "/portForward/default/web", "v5.channel.k8s.io");
  CHECK(exec_only.status() == 403);
}

TEST_CASE("port-forward goes over the channels of a WebSocket, two a port", "[port_forward]") {
  ForwardNode forward;
  const std::string target = "/portForward/default/web?port=80,81&port=99";
  for (const std::string protocol : {"v4.channel.k8s.io", "v4.base64.channel.k8s.io", ""}) {
    const bool base64 = protocol.find("base64") != std::string::npos;
    CommandSocket socket(forward.node, target, protocol);
    REQUIRE(socket.status() == 101);
    CHECK(socket.chosen() == protocol);
    std::map<int, std::string> channels;
    const auto read_until = [&](const std::function<bool()>& done) {
      while (!done()) {
        const auto frame = socket.NextFrame();
        REQUIRE(frame.has_value());
        if (frame->opcode == 8) return true;
        REQUIRE(!frame->payload.empty());
        std::string data = frame->payload.substr(1);
        if (base64) {
          std::string text;
          Base64Decoder decoder;
          REQUIRE(decoder.Feed(data, &text));
          data = text;
        }
        channels[base64 ? frame->payload[0] - '0' : frame->payload[0]] += data;
      }
      return false;
    };
    const std::string data = base64 ? "0" + EncodeBase64("hello") : std::string("\0hello", 6);
    REQUIRE(socket.client().Send(ClientFrame(base64 ? 1 : 2, data)));
    // Each channel begins with its port; the port that nobody serves says so and the others go on.
    CHECK(!read_until([&] { return channels[0].size() >= 7 && channels[5].find("refused") != std::string::npos; }));
    CHECK(channels[0] == std::string("\x50\0hello", 7));
    CHECK(channels[1] == std::string("\x50\0", 2));
    CHECK(channels[3] == std::string("\x51\0", 2));
    CHECK(channels[5].substr(0, 2) == std::string("\x63\0", 2));
    CHECK(!read_until([&] { return channels[2].size() >= 2 + 160U * 65536U; }));
    socket.client().Send(ClientFrame(8, std::string("\x03\xe8", 2)));
    CHECK(read_until([] { return false; }));
  }
}

TEST_CASE("a WebSocket whose ports have all closed is closed, in good order", "[port_forward]") {
  ForwardNode forward;
  CommandSocket socket(forward.node, "/portForward/default/web?port=99", "v4.channel.k8s.io");
  REQUIRE(socket.status() == 101);
  CHECK(socket.ReadToClose());
  CHECK(socket.channel(1).find("error forwarding port 99 to pod web") != std::string::npos);
}

TEST_CASE("port-forward over channels needs ports that are ports", "[port_forward]") {
  ForwardNode forward;
  std::string many = "1";
  for (int i = 0; i < 100; ++i) many += ",1";
  for (const std::string& query :
       {std::string(), std::string("?port="), std::string("?port=0"), std::string("?port=65536"),
        std::string("?port=80,"), std::string("?port=80,x"), "?port=" + many}) {
    CommandSocket socket(forward.node, "/portForward/default/web" + query, "v4.channel.k8s.io");
    CHECK(socket.status() == 400);
  }
}

}  // namespace
}  // namespace burstlet::kube::test
