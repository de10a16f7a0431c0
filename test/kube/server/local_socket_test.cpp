// The agent's own socket: for root, with every path, and no word to anybody else.
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <catch2/catch.hpp>

#include "kube/server/local_listener.h"
#include "test/kube/server/test_command.h"

namespace burstlet::kube::test {
namespace {

std::string Ask(const std::string& path, const std::string& target) {
  const auto fd = ConnectLocal(path);
  INFO(fd.status().ToString());
  REQUIRE(fd.ok());
  const std::string request = "GET " + target + " HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
  REQUIRE(send(*fd, request.data(), request.size(), MSG_NOSIGNAL) == static_cast<ssize_t>(request.size()));
  std::string answer;
  char buffer[4096];
  ssize_t count = 0;
  while ((count = read(*fd, buffer, sizeof buffer)) > 0) answer.append(buffer, static_cast<std::size_t>(count));
  close(*fd);
  return answer;
}

/// A server without any TLS and without anybody to review who asks.
struct LocalNode {
  explicit LocalNode(const std::string& name = "agent.sock") : path(dir.path() + "/" + name) {
    KubeletServerConfig config;
    config.serve_network = false;
    config.local_socket = path;
    KubeletHandlers handlers;
    handlers.pods_json = [] { return std::string("{\"kind\":\"PodList\"}"); };
    handlers.exec = LocalCommands(std::make_shared<std::atomic<int>>(0));
    auto started = KubeletServer::Start(config, handlers);
    INFO(started.status().ToString());
    REQUIRE(started.ok());
    server = *std::move(started);
  }
  TempDir dir;
  std::string path;
  std::unique_ptr<KubeletServer> server;
};

}  // namespace

TEST_CASE("root is served by the local socket, without certificate or review", "[local_socket]") {
  if (geteuid() != 0) {
    WARN("skipped: not root");
    return;
  }
  LocalNode node;
  struct stat info{};
  REQUIRE(stat(node.path.c_str(), &info) == 0);
  CHECK(S_ISSOCK(info.st_mode));
  CHECK((info.st_mode & 0777) == 0600);
  CHECK(Ask(node.path, "/pods").find("{\"kind\":\"PodList\"}") != std::string::npos);
  CHECK(Ask(node.path, "/unknown").rfind("HTTP/1.1 404", 0) == 0);
  // Commands too: over the same protocols.
  const auto fd = ConnectLocal(node.path);
  REQUIRE(fd.ok());
  const std::string request = "GET " + ExecTarget("echo here", "&output=1") +
                              " HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
                              "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"
                              "Sec-WebSocket-Protocol: v5.channel.k8s.io\r\n\r\n";
  REQUIRE(send(*fd, request.data(), request.size(), MSG_NOSIGNAL) == static_cast<ssize_t>(request.size()));
  std::string answer;
  char buffer[4096];
  ssize_t count = 0;
  while (answer.find("Success") == std::string::npos && (count = read(*fd, buffer, sizeof buffer)) > 0) {
    answer.append(buffer, static_cast<std::size_t>(count));
  }
  close(*fd);
  CHECK(answer.rfind("HTTP/1.1 101", 0) == 0);
  CHECK(answer.find("here\n") != std::string::npos);
  node.server->Stop(std::chrono::milliseconds(0));
  CHECK(stat(node.path.c_str(), &info) != 0);
  CHECK(absl::IsNotFound(ConnectLocal(node.path).status()));
}

TEST_CASE("who is not root gets no word from the local socket", "[local_socket]") {
  if (geteuid() != 0) {
    WARN("skipped: not root");
    return;
  }
  LocalNode node;
  // As if somebody had opened it up: the peer is asked for all the same.
  REQUIRE(chmod(node.dir.path().c_str(), 0755) == 0);
  REQUIRE(chmod(node.path.c_str(), 0777) == 0);
  const pid_t child = fork();
  if (child == 0) {
    // From inside: the folders above are root's alone in a test run.
    if (chdir(node.dir.path().c_str()) != 0 || setgid(65534) != 0 || setuid(65534) != 0) _exit(10);
    const auto fd = ConnectLocal("./agent.sock");
    if (!fd.ok()) _exit(11);
    const std::string request = "GET /pods HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    (void)!send(*fd, request.data(), request.size(), MSG_NOSIGNAL);
    char byte = 0;
    _exit(read(*fd, &byte, 1) > 0 ? 12 : 0);
  }
  int status = 0;
  REQUIRE(waitpid(child, &status, 0) == child);
  CHECK(WIFEXITED(status));
  CHECK(WEXITSTATUS(status) == 0);
  REQUIRE(chmod(node.path.c_str(), 0600) == 0);
  const pid_t other = fork();
  if (other == 0) {
    if (chdir(node.dir.path().c_str()) != 0 || setgid(65534) != 0 || setuid(65534) != 0) _exit(10);
    _exit(absl::IsPermissionDenied(ConnectLocal("./agent.sock").status()) ? 0 : 13);
  }
  REQUIRE(waitpid(other, &status, 0) == other);
  CHECK(WEXITSTATUS(status) == 0);
}

TEST_CASE("the socket's path may be long, and what a dead agent left is replaced", "[local_socket]") {
  if (geteuid() != 0) {
    WARN("skipped: not root");
    return;
  }
  TempDir dir;
  const std::string folder = dir.path() + "/" + std::string(120, 'd');
  REQUIRE(mkdir(folder.c_str(), 0700) == 0);
  KubeletServerConfig config;
  config.serve_network = false;
  config.local_socket = folder + "/agent.sock";
  dir.Write("stale", "");
  REQUIRE(rename((dir.path() + "/stale").c_str(), config.local_socket.c_str()) == 0);
  KubeletHandlers handlers;
  handlers.pods_json = [] { return std::string("{}"); };
  auto server = KubeletServer::Start(config, handlers);
  REQUIRE(server.ok());
  CHECK(Ask(config.local_socket, "/pods").find("200 OK") != std::string::npos);
  config.local_socket = dir.path() + "/none/agent.sock";
  const auto failed = KubeletServer::Start(config, handlers);
  CHECK(failed.status().message().find("/none/agent.sock") != std::string::npos);
}

}  // namespace burstlet::kube::test
