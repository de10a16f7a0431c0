#include "kube/server/kubelet_server.h"

#include <catch2/catch.hpp>

#include "test/kube/server/test_node.h"

namespace burstlet::kube::test {
namespace {

TEST_CASE("the port serves its plain paths to a client with every right", "[kubelet_server]") {
  TestNode node;
  node.Start();
  TestClient client(node.port(), node.admin());
  REQUIRE(client.connected());
  CHECK(client.negotiated_protocol() == "http/1.1");
  // One connection serves them all.
  CHECK(client.Request("GET", "/healthz").body == "ok");
  CHECK(client.Request("GET", "/healthz/syncloop").body == "ok");
  const ClientResponse pods = client.Request("GET", "/pods");
  CHECK(pods.status == 200);
  CHECK(pods.headers.at("content-type") == "application/json");
  CHECK(client.Request("GET", "/runningpods/").status == 200);
  CHECK(client.Request("GET", "/metrics").body == "up 1\n");
  CHECK(client.Request("GET", "/metrics/resource").body == "node_cpu 1\n");
  CHECK(client.Request("GET", "/metrics/cadvisor").status == 404);
  CHECK(client.Request("GET", "/stats/summary?only_cpu_and_memory=true").body == "{\"o\":1}");
  CHECK(client.Request("GET", "/nonsense").status == 404);
  const ClientResponse refused = client.Request("POST", "/pods");
  CHECK(refused.status == 405);
  CHECK(refused.headers.at("allow") == "GET");
  CHECK(refused.body == "Method Not Allowed");
}

}  // namespace
}  // namespace burstlet::kube::test
