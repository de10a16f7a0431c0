// Certificates on disk, limits and slow or hostile clients of the port.
#include <arpa/inet.h>
#include <sys/socket.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <chrono>
#include <filesystem>
#include <thread>

#include "test/kube/server/test_node.h"

namespace burstlet::kube::test {
namespace {

absl::Status StartStatus(const KubeletServerConfig& config) {
  return KubeletServer::Start(config, KubeletHandlers()).status();
}

TEST_CASE("a certificate that can't be used is named", "[tls]") {
  TestNode node;
  KubeletServerConfig config = node.Config();
  config.tls_cert_file = node.dir().path() + "/none.crt";
  CHECK(absl::IsNotFound(StartStatus(config)));
  CHECK(std::string(StartStatus(config).message()).find("tlsCertFile " + config.tls_cert_file) != std::string::npos);
  config = node.Config();
  config.tls_key_file = node.dir().Write("bad.key", "no key");
  CHECK(absl::IsInvalidArgument(StartStatus(config)));
  CHECK(std::string(StartStatus(config).message()).find("tlsPrivateKeyFile " + config.tls_key_file) !=
        std::string::npos);
  config.tls_key_file = node.dir().Write("other.key", MakeCa("x").key_pem);
  CHECK(std::string(StartStatus(config).message()).find("does not belong to the certificate") != std::string::npos);
  config = node.Config();
  config.client_ca_file = node.dir().Write("empty.crt", "");
  CHECK(std::string(StartStatus(config).message()).find("clientCAFile " + config.client_ca_file) != std::string::npos);
}

TEST_CASE("an address that can't be had is named", "[tls]") {
  TestNode node;
  node.Start();
  KubeletServerConfig config = node.Config();
  config.port = node.port();
  CHECK(absl::IsAlreadyExists(StartStatus(config)));
  config.address = "no-address";
  CHECK(absl::IsInvalidArgument(StartStatus(config)));
}

TEST_CASE("changed files are picked up, unusable ones are not", "[tls]") {
  TestNode node;
  node.Start();
  CHECK(TestClient(node.port(), node.admin()).peer_common_name() == "the-node");
  CertificateRequest request;
  request.common_name = "the-new-node";
  request.server = true;
  const CertifiedKey fresh = Issue(node.ca(), request);
  node.dir().Write("tls.crt", fresh.cert_pem);  // does not fit the key yet
  CHECK(TestClient(node.port(), node.admin()).peer_common_name() == "the-node");
  node.dir().Write("tls.key", fresh.key_pem);
  CHECK(TestClient(node.port(), node.admin()).peer_common_name() == "the-new-node");
  std::filesystem::remove(node.dir().path() + "/tls.crt");
  CHECK(TestClient(node.port(), node.admin()).peer_common_name() == "the-new-node");
}

TEST_CASE("certificates may be given in memory", "[tls]") {
  TestNode node;
  CertificateRequest request;
  request.common_name = "in-memory";
  request.server = true;
  const CertifiedKey given = Issue(node.ca(), request);
  node.Start([&](KubeletServerConfig& config, KubeletHandlers&) {
    config.tls_cert_file.clear();
    config.tls_key_file.clear();
    config.tls_cert_pem = given.cert_pem;
    config.tls_key_pem = given.key_pem;
  });
  CHECK(TestClient(node.port(), node.admin()).peer_common_name() == "in-memory");
}

TEST_CASE("headers, bodies and targets have limits", "[tls]") {
  TestNode node;
  node.Start();
  TestClient header(node.port(), node.admin());
  header.Send("GET /healthz HTTP/1.1\r\nX: " + std::string(1100000, 'x'));
  CHECK(header.ReadResponse().status == 431);
  TestClient body(node.port(), node.admin());
  body.Send("POST /pods HTTP/1.1\r\nHost: n\r\nContent-Length: 1000000\r\n\r\n");
  CHECK(body.ReadResponse().status == 413);
  TestClient garbage(node.port(), node.admin());
  garbage.Send("\x16\x03garbage\r\n\r\n");
  CHECK(garbage.ReadResponse().status == 400);
  CHECK(garbage.Receive().empty());
  CHECK(Fetch(node.port(), node.admin(), "GET", "http://elsewhere/healthz").status == 400);
  CHECK(Fetch(node.port(), node.admin(), "GET", "/healthz%zz").status == 400);
  CHECK(Fetch(node.port(), node.admin(), "GET", "/healthz%00").status == 400);
}

TEST_CASE("requests may come in pieces and in a row", "[tls]") {
  TestNode node;
  node.Start();
  TestClient client(node.port(), node.admin());
  for (const char c : std::string("GET /healthz HTTP/1.1\r\nHost: n\r\n\r\n")) client.Send(std::string(1, c));
  CHECK(client.ReadResponse().body == "ok");
  std::string row;
  for (int i = 0; i < 20; ++i) row += "GET /healthz HTTP/1.1\r\nHost: n\r\n\r\n";
  client.Send(row);
  for (int i = 0; i < 20; ++i) CHECK(client.ReadResponse().body == "ok");
  const ClientResponse last = client.Request("GET", "/healthz", "Connection: close\r\n");
  CHECK(last.headers.at("connection") == "close");
  CHECK(client.Receive().empty());
}

TEST_CASE("HEAD has the head alone", "[tls]") {
  TestNode node;
  node.Start();
  TestClient client(node.port(), node.admin());
  client.Send("HEAD /metrics HTTP/1.1\r\nHost: n\r\n\r\n");
  // HEAD has no API verb; admin may do all in this test.
  CHECK(client.ReadHead().headers.at("content-length") == "5");
  CHECK(client.Request("GET", "/healthz").body == "ok");
}

TEST_CASE("a reply that comes late, or after the server, harms nobody", "[tls]") {
  std::mutex mutex;
  std::vector<Reply<std::string>> open;
  TestNode node;
  node.Start([&](KubeletServerConfig&, KubeletHandlers& handlers) {
    handlers.metrics = [&](const Reply<std::string>& reply) {
      const std::lock_guard<std::mutex> lock(mutex);
      open.push_back(reply);
    };
  });
  {
    TestClient left(node.port(), node.admin());
    left.Send("GET /metrics HTTP/1.1\r\nHost: n\r\n\r\n");
    TestClient waits(node.port(), node.admin());
    waits.Send("GET /metrics HTTP/1.1\r\nHost: n\r\n\r\n");
    const auto has_both = [&] {
      const std::lock_guard<std::mutex> lock(mutex);
      return open.size() == 2;
    };
    while (!has_both()) CHECK(Fetch(node.port(), node.admin(), "GET", "/healthz").status == 200);
    left.Drop();
    for (const Reply<std::string>& reply : open) reply(std::string("late\n"));
    CHECK(waits.ReadResponse().body == "late\n");
  }
  node.Stop();
  for (const Reply<std::string>& reply : open) reply(std::string("too late\n"));
}

TEST_CASE("clients that do not speak TLS get nothing", "[tls]") {
  TestNode node;
  node.Start();
  const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address = {};
  address.sin_family = AF_INET;
  address.sin_port = htons(node.port());
  inet_pton(AF_INET, "127.0.0.1", &address.sin_addr);
  REQUIRE(connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0);
  const std::string request = "GET /healthz HTTP/1.1\r\nHost: n\r\n\r\n";
  send(fd, request.data(), request.size(), MSG_NOSIGNAL);
  std::string answer(1000, '\0');
  std::string all;
  for (ssize_t count = 0; (count = recv(fd, answer.data(), answer.size(), 0)) > 0;) {
    all.append(answer, 0, static_cast<std::size_t>(count));
  }
  close(fd);
  CHECK(all.find("HTTP") == std::string::npos);
  CHECK(all.size() < 20);
}

TEST_CASE("stopping ends idle connections at once", "[tls]") {
  TestNode node;
  node.Start();
  TestClient idle(node.port(), node.admin());
  CHECK(idle.Request("GET", "/healthz").status == 200);
  const auto before = std::chrono::steady_clock::now();
  // The client answers the server's goodbye, as real ones do.
  std::thread stop([&] { node.server().Stop(std::chrono::seconds(8)); });
  CHECK(idle.Receive().empty());
  idle.Drop();
  stop.join();
  CHECK(std::chrono::steady_clock::now() - before < std::chrono::seconds(7));
}

}  // namespace
}  // namespace burstlet::kube::test
