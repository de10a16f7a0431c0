// Golden cases: testdata/status/<case>/{pod,runtime,previous,want}.json. UPDATE_GOLDEN=1 writes want.json anew.
#include "provider/status/generate.h"

#include "provider/translate/resources.h"

#include <algorithm>
#include <catch2/catch.hpp>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>
#include <vector>

#include "kube/json.h"
#include "provider/status/merge.h"
#include "test/provider/status/runtime_json.h"

namespace burstlet::provider {
namespace {

namespace fs = std::filesystem;

std::string ReadFile(const fs::path& path) {
  std::ifstream in(path, std::ios::binary);
  std::ostringstream out;
  out << in.rdbuf();
  return out.str();
}

/// One field a line, so that a golden file reads and differs well. Input is valid compact JSON.
std::string Pretty(const std::string& json) {
  std::string out;
  std::string indent = "\n";
  bool in_string = false;
  for (std::size_t i = 0; i < json.size(); ++i) {
    const char c = json[i];
    if (in_string) {
      out += c;
      if (c == '\\') out += json[++i];
      if (c == '"') in_string = false;
      continue;
    }
    const bool empty = i + 1 < json.size() && ((c == '{' && json[i + 1] == '}') || (c == '[' && json[i + 1] == ']'));
    if (empty) {
      out += c;
      out += json[++i];
    } else if (c == '{' || c == '[') {
      indent += "  ";
      out += c + indent;
    } else if (c == '}' || c == ']') {
      indent.resize(indent.size() - 2);
      out += indent + c;
    } else if (c == ',') {
      out += c + indent;
    } else if (c == ':') {
      out += ": ";
    } else {
      out += c;
      in_string = c == '"';
    }
  }
  return out + "\n";
}

std::vector<fs::path> Cases() {
  std::vector<fs::path> cases;
  for (const auto& entry : fs::directory_iterator(fs::path(BURSTLET_SOURCE_DIR) / "test/testdata/status")) {
    if (entry.is_directory()) cases.push_back(entry.path());
  }
  std::sort(cases.begin(), cases.end());
  return cases;
}

kube::PodStatus Generate(const fs::path& dir) {
  std::vector<std::string> unknown;
  absl::StatusOr<kube::Pod> pod = kube::Decode<kube::Pod>(ReadFile(dir / "pod.json"), &unknown);
  INFO(pod.status().ToString());
  REQUIRE(pod.ok());
  REQUIRE(unknown.empty());
  absl::StatusOr<kube::PodStatus> previous = kube::Decode<kube::PodStatus>(ReadFile(dir / "previous.json"), &unknown);
  REQUIRE(previous.ok());
  REQUIRE(unknown.empty());
  const RuntimeJson runtime = DecodeRuntime(ReadFile(dir / "runtime.json"));
  pod->status = *previous;
  return GeneratePodStatus(*pod, ToView(runtime), *previous, HostAddresses{runtime.hostIPs}, runtime.now);
}

}  // namespace

TEST_CASE("statuses are generated as in the golden files", "[status]") {
  const bool update = std::getenv("UPDATE_GOLDEN") != nullptr;
  const std::vector<fs::path> cases = Cases();
  CHECK(cases.size() >= 30);
  for (const fs::path& dir : cases) {
    INFO(dir.filename().string());
    const std::string got = Pretty(kube::Encode(Generate(dir)));
    if (update) {
      std::ofstream(dir / "want.json", std::ios::binary) << got;
    } else {
      CHECK(got == ReadFile(dir / "want.json"));
    }
  }
}

TEST_CASE("generating again from what was generated changes nothing", "[status]") {
  for (const fs::path& dir : Cases()) {
    INFO(dir.filename().string());
    const kube::PodStatus first = Generate(dir);
    absl::StatusOr<kube::Pod> pod = kube::Decode<kube::Pod>(ReadFile(dir / "pod.json"));
    REQUIRE(pod.ok());
    RuntimeJson runtime = DecodeRuntime(ReadFile(dir / "runtime.json"));
    runtime.now.unix_nanos += 60'000'000'000;
    pod->status = first;
    const kube::PodStatus second =
        GeneratePodStatus(*pod, ToView(runtime), first, HostAddresses{runtime.hostIPs}, runtime.now);
    CHECK(Pretty(kube::Encode(second)) == Pretty(kube::Encode(first)));
  }
}

TEST_CASE("fingerprints see what a node owns and nothing else", "[status]") {
  kube::PodStatus a;
  a.phase = "Running";
  a.conditions.push_back({"Ready", 1, "True", {}, kube::Time{1'000'000'000}, "", ""});
  a.conditions.push_back({"Initialized", 1, "True", {}, kube::Time{1'000'000'000}, "", ""});
  a.allocatedResources["memory"] = kube::Quantity{"1024Mi"};
  kube::PodStatus b = a;
  std::swap(b.conditions[0], b.conditions[1]);
  b.conditions.push_back({"example.com/gate", 0, "False", {}, {}, "", ""});
  b.conditions[0].lastTransitionTime.unix_nanos += 999'999'999;
  b.allocatedResources["memory"] = kube::Quantity{"1Gi"};
  b.nominatedNodeName = "other";
  CHECK(StatusFingerprint(a) == StatusFingerprint(b));
  b.conditions[1].status = "False";
  CHECK(StatusFingerprint(a) != StatusFingerprint(b));
}

TEST_CASE("termination messages share 12 KiB and stay valid UTF-8", "[status]") {
  kube::Pod pod;
  pod.spec.containers.resize(3);
  kube::PodStatus status;
  status.containerStatuses.resize(1);
  kube::ContainerStateTerminated ended;
  for (int i = 0; i < 3000; ++i) ended.message += "\xc3\xa4";
  ended.message.insert(0, "x");
  status.containerStatuses[0].state.terminated = ended;
  NormalizeStatus(pod, status);
  CHECK(status.containerStatuses[0].state.terminated->message.size() == 4095);
}

TEST_CASE("the QoS class follows the containers, or the pod's own resources", "[status]") {
  kube::Pod pod;
  pod.spec.containers.resize(2);
  CHECK(PodQosClass(pod) == "BestEffort");
  pod.spec.containers[0].resources.limits = {{"cpu", {"1"}}, {"memory", {"1Gi"}}};
  pod.spec.containers[0].resources.requests = {{"cpu", {"1000m"}}, {"memory", {"1024Mi"}}};
  CHECK(PodQosClass(pod) == "Burstable");
  pod.spec.containers[1].resources = pod.spec.containers[0].resources;
  CHECK(PodQosClass(pod) == "Guaranteed");
  pod.spec.initContainers.resize(1);
  CHECK(PodQosClass(pod) == "Burstable");
  pod.spec.resources = pod.spec.containers[0].resources;
  CHECK(PodQosClass(pod) == "Guaranteed");
  pod.spec.resources->limits.erase("cpu");
  CHECK(PodQosClass(pod) == "Burstable");
}

TEST_CASE("restart policies: the pod's, the container's, and its rules", "[status]") {
  kube::Pod pod;
  pod.spec.restartPolicy = "OnFailure";
  pod.spec.containers.resize(1);
  pod.spec.containers[0].name = "app";
  pod.spec.initContainers.resize(2);
  pod.spec.initContainers[0].name = "prepare";
  pod.spec.initContainers[1].name = "proxy";
  pod.spec.initContainers[1].restartPolicy = "Always";
  CHECK_FALSE(ShouldRestart(pod, "app", ContainerKind::kApp, 0));
  CHECK(ShouldRestart(pod, "app", ContainerKind::kApp, 1));
  CHECK_FALSE(ShouldRestart(pod, "prepare", ContainerKind::kInit, 0));
  CHECK(ShouldRestart(pod, "prepare", ContainerKind::kInit, 1));
  CHECK(ShouldRestart(pod, "proxy", ContainerKind::kInit, 0));
  CHECK_FALSE(ShouldRestart(pod, "debug", ContainerKind::kEphemeral, 1));

  pod.spec.restartPolicy = "Always";
  CHECK(ShouldRestart(pod, "app", ContainerKind::kApp, 0));
  CHECK_FALSE(ShouldRestart(pod, "prepare", ContainerKind::kInit, 0));

  kube::Container& app = pod.spec.containers[0];
  app.restartPolicy = "Never";
  CHECK_FALSE(ShouldRestart(pod, "app", ContainerKind::kApp, 1));
  kube::ContainerRestartRule rule;
  rule.action = "Restart";
  rule.exitCodes = kube::ContainerRestartRuleOnExitCodes{"In", {42, 43}};
  app.restartPolicyRules = {rule};
  CHECK(ShouldRestart(pod, "app", ContainerKind::kApp, 42));
  CHECK_FALSE(ShouldRestart(pod, "app", ContainerKind::kApp, 41));
  app.restartPolicyRules[0].exitCodes->operator_ = "NotIn";
  CHECK(ShouldRestart(pod, "app", ContainerKind::kApp, 41));
  CHECK_FALSE(ShouldRestart(pod, "app", ContainerKind::kApp, 42));
}

}  // namespace burstlet::provider
