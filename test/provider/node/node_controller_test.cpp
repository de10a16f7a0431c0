#include "provider/node_controller.h"

#include <catch2/catch.hpp>
#include <memory>
#include <string>
#include <vector>

#include "test/provider/loop_runner.h"
#include "test/provider/node/fake_api.h"

namespace burstlet::provider {
namespace {

constexpr char kNode[] = "/api/v1/nodes/node-1";
constexpr char kLeases[] = "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases";

class RecordingEvents final : public kube::EventRecorder {
 public:
  void PodEvent(const kube::Pod&, const std::string&, const std::string&, const std::string&,
                const std::string&) override {}
  void NodeEvent(const std::string& type, const std::string& reason, const std::string& message) override {
    log.push_back(type + " " + reason + ": " + message);
  }
  kube::Task<void> Stop() override { co_return; }
  std::vector<std::string> log;
};

struct Fixture {
  Fixture() : tasks(loop), api(loop) {
    info.name = "node-1";
    info.hostname = "host-1";
    info.addresses = {"192.0.2.1"};
    info.capacity = info.allocatable = {{"cpu", {"2"}}, {"pods", {"500"}}};
    info.system.bootID = "boot-2";
    info.labels = {{"kubernetes.io/hostname", "host-1"}, {"type", "virtual-kubelet"}};
    info.taints = {{"virtual-kubelet.io/provider", "burstlet", "NoSchedule", {}}};
    config.update_frequency = std::chrono::milliseconds(20);
    config.lease_renew_interval = std::chrono::milliseconds(20);
  }

  void Make() {
    controller = NewNodeController(api, loop, tasks, info, config, [this] { return input; }, &events);
    controller->Start();
  }
  kube::Task<void> End() {
    controller->Stop();
    co_await tasks.Join();
  }

  kube::Loop loop;
  kube::TaskGroup tasks;
  FakeApi api;
  NodeInfo info;
  NodeControllerConfig config;
  NodeConditionsInput input;
  RecordingEvents events;
  std::unique_ptr<NodeController> controller;
};

std::string ConditionOf(const kube::Node& node, const std::string& type) {
  for (const kube::NodeCondition& condition : node.status.conditions) {
    if (condition.type == type) return condition.status;
  }
  return "";
}

kube::Node OldNode() {
  kube::Node node;
  node.metadata.name = "node-1";
  node.metadata.labels = {{"kubernetes.io/hostname", "other"}, {"mine", "yes"}};
  node.status.nodeInfo.bootID = "boot-1";
  return node;
}

kube::Task<void> RegistersReady(Fixture& f) {
  int registered = 0;
  f.Make();
  f.controller->WhenRegistered([&] { ++registered; });
  co_await f.api.Until(std::string("PUT ") + kLeases, 2);
  REQUIRE(f.api.node);
  CHECK(ConditionOf(*f.api.node, "Ready") == "True");
  CHECK(f.api.node->spec.taints.size() == 1);
  CHECK(f.api.node->metadata.annotations.at("volumes.kubernetes.io/controller-managed-attach-detach") == "true");
  CHECK(f.api.Count(std::string("PATCH ") + kNode) == 0);
  CHECK(registered == 1);
  CHECK(f.controller->current()->metadata.labels.at("type") == "virtual-kubelet");
  REQUIRE(f.api.lease);
  CHECK(f.api.lease->spec.holderIdentity == "node-1");
  CHECK(f.api.lease->spec.leaseDurationSeconds == 40);
  CHECK(f.api.lease->metadata.ownerReferences.at(0).uid == f.api.node->metadata.uid);
  co_await f.End();
  CHECK(f.api.node.has_value());
}

kube::Task<void> AdoptsAnExistingNode(Fixture& f) {
  f.api.PutNode(OldNode());
  f.Make();
  co_await f.api.Until(std::string("PATCH ") + kNode + "/status", 1);
  co_await Turns(f.loop, 5);
  CHECK(f.api.node->metadata.labels.at("kubernetes.io/hostname") == "host-1");
  CHECK(f.api.node->metadata.labels.at("mine") == "yes");
  CHECK(f.api.node->spec.taints.empty());
  CHECK(ConditionOf(*f.api.node, "Ready") == "True");
  bool rebooted = false;
  for (const std::string& event : f.events.log) {
    rebooted = rebooted || event == "Warning Rebooted: Node node-1 has been rebooted, boot id: boot-2";
  }
  CHECK(rebooted);
  co_await f.End();
}

kube::Task<void> SendsOnlyChanges(Fixture& f) {
  f.Make();
  co_await f.api.Until(std::string("PUT ") + kLeases, 4);
  CHECK(f.api.Count(std::string("PATCH ") + kNode + "/status") == 0);
  f.input.pressure.disk = true;
  f.controller->Refresh();
  co_await f.api.Until(std::string("PATCH ") + kNode + "/status", 1);
  co_await Turns(f.loop, 5);
  CHECK(ConditionOf(*f.api.node, "DiskPressure") == "True");
  co_await f.End();
}

kube::Task<void> ReportsNowAndThen(Fixture& f) {
  f.config.report_frequency = std::chrono::milliseconds(0);
  f.Make();
  co_await f.api.Until(std::string("PATCH ") + kNode + "/status", 3);
  co_await f.End();
}

kube::Task<void> ComesBackAfterAnOutage(Fixture& f) {
  for (const char* prefix : {"POST /api/v1/nodes", "GET /api/v1/nodes/"}) {
    f.api.failures[prefix] = {absl::UnavailableError("no connection"), absl::UnavailableError("no connection")};
  }
  f.Make();
  co_await f.api.Until("POST /api/v1/nodes", 3);
  co_await f.api.Until(std::string("PUT ") + kLeases, 1);
  CHECK(f.api.node.has_value());
  co_await f.End();
}

kube::Task<void> RecreatesADeletedNode(Fixture& f) {
  f.config.update_frequency = std::chrono::hours(1);  // only the watch can tell
  f.Make();
  co_await f.api.Until(std::string("PUT ") + kLeases, 1);
  co_await f.api.Until("GET /api/v1/nodes?", 1);
  const std::string first = f.api.node->metadata.uid;
  co_await Turns(f.loop, 5);
  f.api.DeleteNode();
  co_await f.api.Until("POST /api/v1/nodes", 2);
  co_await f.api.Until(std::string("POST ") + kLeases, 2);
  co_await Turns(f.loop, 5);
  REQUIRE(f.api.node);
  CHECK(f.api.node->metadata.uid != first);
  CHECK(f.api.lease->metadata.ownerReferences.at(0).uid == f.api.node->metadata.uid);
  co_await f.End();
}

kube::Task<void> LeavesADeletedNodeIfToldTo(Fixture& f) {
  f.config.recreate_node = false;
  f.Make();
  co_await f.api.Until("GET /api/v1/nodes?", 1);
  co_await Turns(f.loop, 5);
  f.api.DeleteNode();
  co_await f.api.Until(std::string("GET ") + kNode, 1);
  CHECK(f.api.Count("POST /api/v1/nodes") == 1);
  CHECK(f.controller->current() == nullptr);
  co_await f.End();
}

kube::Task<void> PutsReadyBack(Fixture& f) {
  f.config.update_frequency = std::chrono::hours(1);
  f.Make();
  co_await f.api.Until("GET /api/v1/nodes?", 1);
  co_await Turns(f.loop, 5);
  kube::Node node = *f.api.node;
  for (kube::NodeCondition& condition : node.status.conditions) {
    if (condition.type == "Ready") condition.status = "Unknown";
  }
  f.api.PutNode(node);
  co_await f.api.Until(std::string("PATCH ") + kNode + "/status", 1);
  co_await Turns(f.loop, 5);
  CHECK(ConditionOf(*f.api.node, "Ready") == "True");
  CHECK(f.events.log.back() == "Normal NodeReady: Node node-1 status is now: NodeReady");
  co_await f.End();
}

kube::Task<void> SettlesLeaseConflicts(Fixture& f) {
  f.Make();
  co_await f.api.Until(std::string("POST ") + kLeases, 1);
  co_await Turns(f.loop, 5);
  f.api.lease->metadata.resourceVersion = "9999";
  const std::size_t before = f.api.Count(std::string("GET ") + kLeases);
  co_await f.api.Until(std::string("GET ") + kLeases, before + 1);
  const std::size_t puts = f.api.Count(std::string("PUT ") + kLeases);
  co_await f.api.Until(std::string("PUT ") + kLeases, puts + 2);
  co_await f.End();
}

void Run(kube::Task<void> (*scenario)(Fixture&)) {
  Fixture fixture;
  RunOnLoop(fixture.loop, scenario(fixture));
}

}  // namespace

TEST_CASE("a node registers as Ready at once, with its lease", "[node]") { Run(RegistersReady); }
TEST_CASE("an existing node is adopted and its labels reconciled", "[node]") { Run(AdoptsAnExistingNode); }
TEST_CASE("the node's status is sent when it changes", "[node]") { Run(SendsOnlyChanges); }
TEST_CASE("the node's status is sent now and then without a change", "[node]") { Run(ReportsNowAndThen); }
TEST_CASE("a node registers once the API server is back", "[node]") { Run(ComesBackAfterAnOutage); }
TEST_CASE("a deleted node is registered again, with a new lease", "[node]") { Run(RecreatesADeletedNode); }
TEST_CASE("a deleted node stays deleted if the configuration says so", "[node]") { Run(LeavesADeletedNodeIfToldTo); }
TEST_CASE("Ready is put back when a controller marked it unknown", "[node]") { Run(PutsReadyBack); }
TEST_CASE("a conflict of the lease is settled by a fresh look", "[node]") { Run(SettlesLeaseConflicts); }

}  // namespace burstlet::provider
