// Patches of pod and node status, as the API server's strategic merge expects them.
#include "kube/patch.h"

#include <catch2/catch.hpp>

#include "kube/json.h"

namespace burstlet::kube {
namespace {

PodCondition Condition(const std::string& type, const std::string& status) {
  PodCondition condition;
  condition.type = type;
  condition.status = status;
  return condition;
}

PodStatus Running() {
  PodStatus status;
  status.phase = "Running";
  status.conditions = {Condition("Ready", "True"), Condition("Initialized", "True")};
  status.podIPs = {{"10.0.0.1"}};
  ContainerStatus container;
  container.name = "c";
  container.state.running.emplace();
  status.containerStatuses = {container};
  return status;
}

TEST_CASE("an unchanged status needs no patch", "[patch]") {
  CHECK(PodStatusPatch("u", Running(), Running()).empty());
  CHECK(NodeStatusPatch(NodeStatus{}, NodeStatus{}).empty());
  CHECK(MetadataPatch(ObjectMeta{}, ObjectMeta{}).empty());
}

TEST_CASE("only what changed is sent, with the UID as precondition", "[patch]") {
  PodStatus after = Running();
  after.phase = "Succeeded";
  after.reason = "Done";
  CHECK(PodStatusPatch("u-1", Running(), after) ==
        R"({"metadata":{"uid":"u-1"},"status":{"phase":"Succeeded","reason":"Done"}})");
}

TEST_CASE("what is gone becomes null", "[patch]") {
  PodStatus before = Running();
  before.reason = "Odd";
  before.startTime = Time{1};
  PodStatus after = Running();
  after.podIPs.clear();
  CHECK(PodStatusPatch("u", before, after) ==
        R"({"metadata":{"uid":"u"},"status":{"podIPs":null,"reason":null,"startTime":null}})");
}

TEST_CASE("conditions are merged by type, and their order is told", "[patch]") {
  PodStatus after = Running();
  after.conditions[0].status = "False";
  after.conditions[0].reason = "ContainersNotReady";
  CHECK(PodStatusPatch("u", Running(), after) ==
        R"({"metadata":{"uid":"u"},"status":{"$setElementOrder/conditions":[{"type":"Ready"},{"type":"Initialized"}],)"
        R"("conditions":[{"reason":"ContainersNotReady","status":"False","type":"Ready"}]}})");
}

TEST_CASE("a condition is added, deleted, emptied and moved", "[patch]") {
  PodStatus before = Running();
  before.conditions[0].message = "old";
  PodStatus after = Running();
  after.conditions = {Condition("PodScheduled", "True"), Condition("Ready", "True")};
  CHECK(PodStatusPatch("u", before, after) ==
        R"({"metadata":{"uid":"u"},"status":{"$setElementOrder/conditions":[{"type":"PodScheduled"},{"type":"Ready"}],)"
        R"("conditions":[{"status":"True","type":"PodScheduled"},{"message":null,"type":"Ready"},)"
        R"({"$patch":"delete","type":"Initialized"}]}})");
  PodStatus moved = Running();
  std::swap(moved.conditions[0], moved.conditions[1]);
  CHECK(
      PodStatusPatch("u", Running(), moved) ==
      R"({"metadata":{"uid":"u"},"status":{"$setElementOrder/conditions":[{"type":"Initialized"},{"type":"Ready"}]}})");
}

TEST_CASE("a first list of conditions is sent as it is", "[patch]") {
  PodStatus after;
  after.conditions = {Condition("Ready", "False")};
  CHECK(PodStatusPatch("u", PodStatus{}, after) ==
        R"({"metadata":{"uid":"u"},"status":{"conditions":[{"status":"False","type":"Ready"}]}})");
}

TEST_CASE("container statuses are replaced whole", "[patch]") {
  PodStatus after = Running();
  after.containerStatuses[0].ready = true;
  CHECK(PodStatusPatch("u", Running(), after) ==
        R"({"metadata":{"uid":"u"},"status":{"containerStatuses":[{"image":"","imageID":"","name":"c","ready":true,)"
        R"("restartCount":0,"state":{"running":{}}}]}})");
}

TEST_CASE("a changed pod address deletes the old one", "[patch]") {
  PodStatus after = Running();
  after.podIPs = {{"10.0.0.2"}};
  CHECK(PodStatusPatch("u", Running(), after) ==
        R"({"metadata":{"uid":"u"},"status":{"$setElementOrder/podIPs":[{"ip":"10.0.0.2"}],)"
        R"("podIPs":[{"ip":"10.0.0.2"},{"$patch":"delete","ip":"10.0.0.1"}]}})");
}

TEST_CASE("messages survive with quotes, line ends and non-ASCII letters", "[patch]") {
  PodStatus after = Running();
  after.message = "a \"b\"\n\x01 h\xC3\xA9";
  const std::string patch = PodStatusPatch("u", Running(), after);
  const auto pod = Decode<Pod>(patch);
  REQUIRE(pod.ok());
  CHECK(pod->status.message == after.message);
}

TEST_CASE("a node's conditions are merged and its addresses replaced", "[patch]") {
  NodeStatus before;
  NodeCondition ready;
  ready.type = "Ready";
  ready.status = "True";
  ready.lastHeartbeatTime = {1000000000};
  before.conditions = {ready};
  before.addresses = {{"InternalIP", "10.0.0.1"}, {"InternalIP", "fd00::1"}, {"Hostname", "n1"}};
  before.capacity = {{"cpu", {"2"}}, {"old.example.com/x", {"1"}}};
  NodeStatus after = before;
  after.conditions[0].lastHeartbeatTime = {2000000000};
  after.addresses[0].address = "10.0.0.2";
  after.capacity = {{"cpu", {"4"}}};
  CHECK(NodeStatusPatch(before, after) ==
        R"({"status":{"$setElementOrder/conditions":[{"type":"Ready"}],"addresses":[)"
        R"({"address":"10.0.0.2","type":"InternalIP"},{"address":"fd00::1","type":"InternalIP"},)"
        R"({"address":"n1","type":"Hostname"},{"$patch":"replace"}],)"
        R"("capacity":{"cpu":"4","old.example.com/x":null},)"
        R"("conditions":[{"lastHeartbeatTime":"1970-01-01T00:00:02Z","type":"Ready"}]}})");
  after = before;
  after.addresses.clear();
  CHECK(NodeStatusPatch(before, after) == R"({"status":{"addresses":[{"$patch":"replace"}]}})");
  NodeStatus first;
  first.addresses = {{"Hostname", "n1"}};
  CHECK(NodeStatusPatch(NodeStatus{}, first) == R"({"status":{"addresses":[{"address":"n1","type":"Hostname"}]}})");
}

TEST_CASE("labels and annotations are patched by key", "[patch]") {
  ObjectMeta before;
  before.labels = {{"a", "1"}, {"b", "2"}};
  before.uid = "x";
  ObjectMeta after;
  after.labels = {{"a", "1"}, {"c", "3"}};
  after.annotations = {{"n", "v"}};
  CHECK(MetadataPatch(before, after) == R"({"metadata":{"annotations":{"n":"v"},"labels":{"b":null,"c":"3"}}})");
}

}  // namespace
}  // namespace burstlet::kube
