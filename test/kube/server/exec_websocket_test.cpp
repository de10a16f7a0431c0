#include <catch2/catch.hpp>
#include <chrono>
#include <thread>

#include "test/kube/server/test_command.h"

namespace burstlet::kube::test {
namespace {

constexpr char kSuccess[] = R"({"metadata":{},"status":"Success"})";

struct ExecNode {
  ExecNode() {
    node.Start([this](KubeletServerConfig&, KubeletHandlers& handlers) { handlers.exec = LocalCommands(abandoned); });
  }
  std::shared_ptr<std::atomic<int>> abandoned = std::make_shared<std::atomic<int>>(0);
  TestNode node;
};

TEST_CASE("a command's output and success come over v5", "[exec]") {
  ExecNode exec;
  CommandSocket socket(exec.node, ExecTarget("echo out; echo err >&2", "output=1&error=1"), "v5.channel.k8s.io");
  REQUIRE(socket.status() == 101);
  CHECK(socket.chosen() == "v5.channel.k8s.io");
  REQUIRE(socket.ReadToClose());
  CHECK(socket.channel(1) == "out\n");
  CHECK(socket.channel(2) == "err\n");
  CHECK(socket.channel(3) == kSuccess);
  CHECK(*exec.abandoned == 0);
}

TEST_CASE("the first message is an empty one on the lowest channel that the client reads", "[exec]") {
  ExecNode exec;
  CommandSocket socket(exec.node, ExecTarget("true", "error=1"), "v4.channel.k8s.io");
  const auto first = socket.NextFrame();
  REQUIRE(first.has_value());
  CHECK(first->payload == std::string(1, '\2'));
}

TEST_CASE("an exit code travels in the status", "[exec]") {
  ExecNode exec;
  CommandSocket socket(exec.node, ExecTarget("exit 3", "output=1"), "v4.channel.k8s.io");
  REQUIRE(socket.ReadToClose());
  CHECK(
      socket.channel(3) ==
      R"({"metadata":{},"status":"Failure","message":"command terminated with non-zero exit code: command terminated )"
      R"(with exit code 3","reason":"NonZeroExitCode","details":{"causes":[{"reason":"ExitCode","message":"3"}]}})");
}

TEST_CASE("a command ended by a signal has 128 and its number", "[exec]") {
  ExecNode exec;
  CommandSocket socket(exec.node, ExecTarget("kill -9 $$", "output=1"), "v5.channel.k8s.io");
  REQUIRE(socket.ReadToClose());
  CHECK_THAT(socket.channel(3), Catch::Contains(R"("message":"137")"));
}

TEST_CASE("before v4 the error channel is text, and silent on success", "[exec]") {
  ExecNode exec;
  CommandSocket good(exec.node, ExecTarget("true", "output=1"), "channel.k8s.io");
  REQUIRE(good.ReadToClose());
  CHECK(good.channel(3).empty());
  CommandSocket bad(exec.node, ExecTarget("exit 7", "output=1"), "");
  REQUIRE(bad.ReadToClose());
  CHECK(bad.channel(3) == "command terminated with non-zero exit code: command terminated with exit code 7");
}

TEST_CASE("v5 closes stdin alone", "[exec]") {
  ExecNode exec;
  CommandSocket socket(exec.node, ExecTarget("cat; echo end", "input=1&output=1"), "v5.channel.k8s.io");
  socket.Send(0, "hello ");
  socket.Send(0, "world\n");
  REQUIRE(socket.ReadUntil(1, "world"));
  socket.CloseStdin();
  REQUIRE(socket.ReadToClose());
  CHECK(socket.channel(1) == "hello world\nend\n");
}

TEST_CASE("base64 channels carry text both ways", "[exec]") {
  ExecNode exec;
  CommandSocket socket(exec.node, ExecTarget("read line; echo got $line", "input=1&output=1"),
                       "v4.base64.channel.k8s.io");
  REQUIRE(socket.status() == 101);
  socket.client().Send(ClientFrame(1, "0aGkK"));  // "hi\n"
  std::string text;
  while (const auto frame = socket.NextFrame()) {
    if (frame->opcode == 8) break;
    CHECK(frame->opcode == 1);
    text += frame->payload + " ";
  }
  CHECK(text.find("1Z290IGhpCg==") != std::string::npos);
}

TEST_CASE("a terminal echoes, resizes and ends", "[exec]") {
  ExecNode exec;
  CommandSocket socket(exec.node, ExecTarget("read x; stty size; exit 4", "input=1&output=1&tty=1&error=1"),
                       "v5.channel.k8s.io");
  REQUIRE(socket.status() == 101);
  socket.Send(4, R"({"Width":101,)");
  socket.Send(4, R"("Height":33}{"Wid)");
  socket.Send(0, "go\r");
  REQUIRE(socket.ReadToClose());
  CHECK(socket.channel(1).find("go\r\n") != std::string::npos);
  CHECK(socket.channel(1).find("33 101\r\n") != std::string::npos);
  CHECK(socket.channel(2).empty());
  CHECK(socket.channel(3).find(R"("message":"4")") != std::string::npos);
}

TEST_CASE("a large output reaches a slow reader whole", "[exec]") {
  ExecNode exec;
  CommandSocket socket(exec.node, ExecTarget("head -c 20000000 /dev/zero", "output=1"), "v5.channel.k8s.io");
  // The command ends as soon as its last bytes are in pipes and buffers; nothing of them may be lost.
  std::size_t frames = 0;
  while (const auto frame = socket.NextFrame()) {
    if (frame->opcode == 8) break;
    ++frames;
  }
  CommandSocket counted(exec.node, ExecTarget("head -c 20000000 /dev/zero; exit 5", "output=1"), "v5.channel.k8s.io");
  REQUIRE(counted.ReadToClose());
  CHECK(counted.channel(1).size() == 20000000);
  CHECK(counted.channel(3).find(R"("message":"5")") != std::string::npos);
  CHECK(frames > 100);
}

TEST_CASE("a large input reaches a command that reads slowly", "[exec]") {
  ExecNode exec;
  CommandSocket socket(exec.node, ExecTarget("dd bs=7k 2>/dev/null | wc -c", "input=1&output=1"), "v5.channel.k8s.io");
  const std::string piece(100000, 'x');
  for (int i = 0; i < 80; ++i) REQUIRE(socket.Send(0, piece));
  socket.CloseStdin();
  REQUIRE(socket.ReadToClose());
  CHECK(socket.channel(1).find("8000000") != std::string::npos);
}

TEST_CASE("a command that does not read its stdin still ends well", "[exec]") {
  ExecNode exec;
  CommandSocket socket(exec.node, ExecTarget("exec 0<&-; echo x; exit 0", "input=1&output=1"), "v5.channel.k8s.io");
  socket.Send(0, std::string(500000, 'y'));
  REQUIRE(socket.ReadToClose());
  CHECK(socket.channel(1) == "x\n");
  CHECK(socket.channel(3) == kSuccess);
}

TEST_CASE("a client that goes away abandons the command", "[exec]") {
  ExecNode exec;
  {
    CommandSocket socket(exec.node, ExecTarget("echo here; sleep 600", "output=1"), "v5.channel.k8s.io");
    REQUIRE(socket.ReadUntil(1, "here"));
    SECTION("without a word") { socket.client().Drop(); }
    SECTION("with a close frame") {
      socket.client().Send(ClientFrame(8, std::string("\x03\xE8", 2)));
      CHECK(socket.ReadToClose());
    }
  }
  exec.node.Stop();  // waits for its connections
  CHECK(*exec.abandoned == 1);
}

TEST_CASE("what is wrong with the request is an HTTP status", "[exec]") {
  ExecNode exec;
  const std::uint16_t port = exec.node.port();
  CHECK(Fetch(port, exec.node.admin(), "POST", ExecTarget("true", "")).status == 400);
  CHECK(Fetch(port, exec.node.admin(), "POST", ExecTarget("true", "output=1")).body == "Upgrade request required\n");
  CHECK(Fetch(port, exec.node.admin(), "POST", "/exec/ns/pod/c?output=1").status == 400);
  CHECK(Fetch(port, exec.node.admin(), "PUT", ExecTarget("true", "output=1")).status == 405);
  CommandSocket absent(exec.node, "/exec/ns/absent/c?command=x&output=1", "v5.channel.k8s.io");
  CHECK(absent.status() == 404);
  CommandSocket unknown(exec.node, ExecTarget("true", "output=1"), "v9.channel.k8s.io");
  CHECK(unknown.status() == 403);
}

TEST_CASE("a program that can't be started is told on the error channel", "[exec]") {
  ExecNode exec;
  CommandSocket socket(exec.node, "/exec/ns/pod/uid-1/c?command=no-such-program&output=1", "v5.channel.k8s.io");
  REQUIRE(socket.status() == 101);
  REQUIRE(socket.ReadToClose());
  CHECK(socket.channel(3).find(R"(\"no-such-program\": executable file not found)") != std::string::npos);
  CHECK(socket.channel(3).find(R"("reason":"InternalError","code":500})") != std::string::npos);
}

TEST_CASE("pings are answered while a command runs", "[exec]") {
  ExecNode exec;
  CommandSocket socket(exec.node, ExecTarget("read x", "input=1&output=1"), "v5.channel.k8s.io");
  socket.NextFrame();
  socket.client().Send(ClientFrame(9, "are you there"));
  const auto pong = socket.NextFrame();
  REQUIRE(pong.has_value());
  CHECK(pong->opcode == 10);
  CHECK(pong->payload == "are you there");
}

TEST_CASE("malformed frames end the connection and nothing else", "[exec]") {
  ExecNode exec;
  CommandSocket other(exec.node, ExecTarget("read x; echo got $x", "input=1&output=1"), "v5.channel.k8s.io");
  const std::string bad[] = {
      std::string("\x82\x01\x00", 3),                  // not masked
      std::string("\xF2\x81\x00\x00\x00\x00\x00", 7),  // reserved bits
      ClientFrame(3, "x"),                             // unknown opcode
      ClientFrame(0, "x"),                             // continuation of nothing
      ClientFrame(9, std::string(126, 'x')),           // long ping
      ClientFrame(9, "x", false),                      // ping in pieces
      ClientFrame(2, std::string("\xFF", 1)),          // close signal for no channel
      ClientFrame(2, std::string("\xFF\x09", 2)),
  };
  for (const std::string& bytes : bad) {
    CommandSocket socket(exec.node, ExecTarget("sleep 600", "input=1&output=1"), "v5.channel.k8s.io");
    socket.client().Send(bytes);
    CHECK_FALSE(socket.ReadToClose());
  }
  other.Send(0, "alive\n");
  REQUIRE(other.ReadToClose());
  CHECK(other.channel(1) == "got alive\n");
}

TEST_CASE("a hundred sessions run at once", "[exec]") {
  ExecNode exec;
  std::vector<std::unique_ptr<CommandSocket>> sockets;
  for (int i = 0; i < 100; ++i) {
    sockets.push_back(std::make_unique<CommandSocket>(exec.node, ExecTarget("read x; echo got $x", "input=1&output=1"),
                                                      "v5.channel.k8s.io"));
    REQUIRE(sockets.back()->status() == 101);
  }
  for (std::size_t i = 0; i < sockets.size(); ++i) sockets[i]->Send(0, std::to_string(i) + "\n");
  for (std::size_t i = 0; i < sockets.size(); ++i) {
    REQUIRE(sockets[i]->ReadToClose());
    CHECK(sockets[i]->channel(1) == "got " + std::to_string(i) + "\n");
  }
}

}  // namespace
}  // namespace burstlet::kube::test
