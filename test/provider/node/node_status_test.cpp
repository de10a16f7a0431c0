#include "provider/node_status.h"

#include <unistd.h>

#include <catch2/catch.hpp>
#include <filesystem>
#include <fstream>
#include <string>

#include "kube/api/quantity.h"

namespace burstlet::provider {
namespace {

namespace fs = std::filesystem;

/// /proc, /sys and /etc of a made-up host.
class FakeHost {
 public:
  FakeHost() : root_(fs::temp_directory_path() / ("burstlet-node-" + std::to_string(getpid()))) {
    fs::remove_all(root_);
    Write("proc/meminfo", "MemTotal:        4194304 kB\nMemAvailable:    2097152 kB\nSwapTotal:             0 kB\n");
    Write("proc/loadavg", "0.1 0.2 0.3 1/900 4242\n");
    Write("proc/sys/kernel/pid_max", "1000\n");
    Write("proc/sys/kernel/threads-max", "5000\n");
    Write("proc/sys/kernel/random/boot_id", "boot-1\n");
    Write("etc/machine-id", "0123456789abcdef\n");
    Write("etc/os-release", "NAME=Test\nPRETTY_NAME=\"Test Linux 12 (bookworm)\"\n");
    Write("sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages", "4\n");
    config.name = "node-1";
    config.addresses = {"192.0.2.1"};
    config.host_root = root_.string();
    config.root_dir = (root_ / "not" / "made" / "yet").string();
  }
  ~FakeHost() { fs::remove_all(root_); }
  FakeHost(const FakeHost&) = delete;
  FakeHost& operator=(const FakeHost&) = delete;

  void Write(const std::string& path, const std::string& text) const {
    fs::create_directories((root_ / path).parent_path());
    std::ofstream(root_ / path) << text;
  }

  NodeStatusConfig config;

 private:
  fs::path root_;
};

kube::NodeCondition Condition(const kube::NodeStatus& status, const std::string& type) {
  for (const kube::NodeCondition& condition : status.conditions) {
    if (condition.type == type) return condition;
  }
  return {};
}

std::int64_t Value(const kube::ResourceList& list, const std::string& name) {
  return kube::QuantityValue(list.at(name));
}

constexpr std::int64_t kMiB = 1024 * 1024;

}  // namespace

TEST_CASE("a node measures what it has", "[node]") {
  FakeHost host;
  host.config.max_pods = 42;
  host.config.labels["zone"] = "a";
  const absl::StatusOr<NodeInfo> info = MeasureNode(host.config);
  REQUIRE(info.ok());
  CHECK(Value(info->capacity, "memory") == 4096 * kMiB);
  CHECK(info->capacity.at("memory").text == "4Gi");
  CHECK(Value(info->capacity, "cpu") >= 1);
  CHECK(Value(info->capacity, "pods") == 42);
  CHECK(Value(info->capacity, "hugepages-2Mi") == 8 * kMiB);
  CHECK(Value(info->capacity, "ephemeral-storage") > 0);
  CHECK(info->system.bootID == "boot-1");
  CHECK(info->system.machineID == "0123456789abcdef");
  CHECK(info->system.osImage == "Test Linux 12 (bookworm)");
  CHECK(info->system.kubeletVersion.rfind("v1.37.2", 0) == 0);
  CHECK(info->system.containerRuntimeVersion.rfind("burstlet://", 0) == 0);
  CHECK_FALSE(info->system.kernelVersion.empty());
  CHECK_FALSE(info->system.swap.has_value());
  CHECK(info->labels.at("kubernetes.io/os") == "linux");
  CHECK(info->labels.at("zone") == "a");
}

TEST_CASE("allocatable is capacity without reservations, eviction threshold and huge pages", "[node]") {
  FakeHost host;
  host.config.system_reserved = {{"memory", "96Mi"}, {"cpu", "100m"}};
  host.config.kube_reserved = {{"memory", "192Mi"}};
  const absl::StatusOr<NodeInfo> info = MeasureNode(host.config);
  REQUIRE(info.ok());
  CHECK(Value(info->allocatable, "memory") == (4096 - 96 - 192 - 100 - 8) * kMiB);
  CHECK(kube::QuantityMilliValue(info->allocatable.at("cpu")) ==
        kube::QuantityMilliValue(info->capacity.at("cpu")) - 100);
  CHECK(Value(info->allocatable, "ephemeral-storage") < Value(info->capacity, "ephemeral-storage"));
  CHECK(info->allocatable.at("pods") == info->capacity.at("pods"));

  host.config.kube_reserved["memory"] = "8Gi";
  CHECK(Value(MeasureNode(host.config)->allocatable, "memory") == 0);
  host.config.kube_reserved["memory"] = "lots";
  const absl::Status wrong = MeasureNode(host.config).status();
  CHECK(wrong.code() == absl::StatusCode::kInvalidArgument);
  CHECK(std::string(wrong.message()).find("kubeReserved[memory]") == 0);
}

TEST_CASE("pressure is what falls below a threshold", "[node]") {
  FakeHost host;
  host.config.eviction_hard = {{"memory.available", "100Mi"}, {"pid.available", "5%"}};
  CHECK_FALSE(MeasurePressure(host.config)->memory);
  CHECK_FALSE(MeasurePressure(host.config)->disk);
  CHECK_FALSE(MeasurePressure(host.config)->pid);
  host.config.eviction_hard = {{"memory.available", "60%"}, {"pid.available", "11%"}, {"nodefs.available", "100%"}};
  CHECK(MeasurePressure(host.config)->memory);
  CHECK(MeasurePressure(host.config)->disk);
  CHECK(MeasurePressure(host.config)->pid);
  host.config.eviction_hard = {{"nodefs.available", "much%"}};
  CHECK(MeasurePressure(host.config).status().code() == absl::StatusCode::kInvalidArgument);
}

TEST_CASE("pressure is held for a while after it was seen last", "[node]") {
  PressureHold hold(std::chrono::minutes(5));
  const PressureHold::Clock::time_point start{std::chrono::hours(1)};
  NodePressure seen;
  CHECK_FALSE(hold.Update(seen, start).disk);
  seen.disk = true;
  CHECK(hold.Update(seen, start).disk);
  seen.disk = false;
  CHECK(hold.Update(seen, start + std::chrono::minutes(4)).disk);
  CHECK_FALSE(hold.Update(seen, start + std::chrono::minutes(4)).memory);
  CHECK_FALSE(hold.Update(seen, start + std::chrono::minutes(6)).disk);
}

TEST_CASE("a node's status keeps what is not its own", "[node]") {
  FakeHost host;
  const NodeInfo info = *MeasureNode(host.config);
  kube::NodeStatus previous;
  previous.conditions.push_back({"NetworkUnavailable", "False", {}, kube::Time{1'000'000'000}, "RouteCreated", ""});
  previous.conditions.push_back({"Ready", "True", {}, kube::Time{2'000'000'000}, "KubeletReady", ""});
  previous.capacity["example.com/gpu"] = {"2"};
  previous.volumesInUse = {"csi/x"};
  NodeConditionsInput input;
  input.pressure.memory = true;
  input.runtime_handlers = {"runc", "crun"};
  const kube::NodeStatus status = BuildNodeStatus(info, input, previous, kube::Time{5'500'000'000});
  CHECK(Condition(status, "NetworkUnavailable").reason == "RouteCreated");
  CHECK(Condition(status, "Ready").lastTransitionTime.unix_nanos == 2'000'000'000);
  CHECK(Condition(status, "Ready").lastHeartbeatTime.unix_nanos == 5'000'000'000);
  CHECK(Condition(status, "MemoryPressure").reason == "KubeletHasInsufficientMemory");
  CHECK(Condition(status, "DiskPressure").status == "False");
  CHECK(status.capacity.at("example.com/gpu").text == "2");
  CHECK(status.volumesInUse.size() == 1);
  REQUIRE(status.runtimeHandlers.size() == 3);
  CHECK(status.runtimeHandlers[1].name == "crun");
  CHECK(status.declaredFeatures ==
        std::vector<std::string>{"ExtendWebSocketsToKubelet", "InPlacePodLevelResourcesVerticalScaling",
                                 "InPlacePodVerticalScalingInitContainers", "RestartAllContainersOnContainerExits"});
  CHECK(status.addresses.front().type == "InternalIP");
  CHECK(status.daemonEndpoints.kubeletEndpoint.Port == 10250);

  kube::NodeStatus later = BuildNodeStatus(info, input, status, kube::Time{65'000'000'000});
  CHECK_FALSE(NodeStatusChanged(status, later));
  input.not_ready = {"network is down"};
  later = BuildNodeStatus(info, input, status, kube::Time{65'000'000'000});
  CHECK(NodeStatusChanged(status, later));
  CHECK(Condition(later, "Ready").message == "network is down");
  CHECK(Condition(later, "Ready").lastTransitionTime.unix_nanos == 65'000'000'000);
}

TEST_CASE("the biggest 50 images are shown", "[node]") {
  NodeConditionsInput input;
  for (int i = 0; i < 60; ++i) {
    input.images.push_back({{"b", "a", "c", "d", "e", "f"}, i});
  }
  const kube::NodeStatus status = BuildNodeStatus(NodeInfo{}, input, kube::NodeStatus{}, kube::Time{1});
  REQUIRE(status.images.size() == 50);
  CHECK(status.images.front().sizeBytes == 59);
  CHECK(status.images.front().names.size() == 5);
}

}  // namespace burstlet::provider
