// Golden cases: testdata/defaults/<case>/{pod.yaml,want.json}. want.json is what a real API server answered to a dry
// run, without what admission adds; test/e2e/dry_run_test.py records it and holds it against a server of every run.
#include "provider/defaults.h"

#include <algorithm>
#include <catch2/catch.hpp>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "kube/json.h"
#include "provider/yaml.h"

namespace burstlet::provider {
namespace {

const std::filesystem::path kCases = std::filesystem::path(BURSTLET_SOURCE_DIR) / "test/testdata/defaults";

YamlNode ReadDocument(const std::filesystem::path& file) {
  std::ifstream in(file);
  std::stringstream text;
  text << in.rdbuf();
  REQUIRE(in);
  auto documents = ParseYaml(text.str());
  INFO(file << ": " << documents.status());
  REQUIRE(documents.ok());
  REQUIRE(documents->size() == 1);
  return documents->front();
}

kube::Pod ReadPod(const YamlNode& document) {
  auto pod = kube::Decode<kube::Pod>(YamlToJson(document));
  INFO(pod.status());
  REQUIRE(pod.ok());
  return *pod;
}

std::vector<std::string> SortedOnce(std::vector<std::string> list) {
  std::sort(list.begin(), list.end());
  list.erase(std::unique(list.begin(), list.end()), list.end());
  return list;
}

std::vector<std::filesystem::path> Cases() {
  std::vector<std::filesystem::path> cases;
  for (const auto& entry : std::filesystem::directory_iterator(kCases)) cases.push_back(entry.path());
  std::sort(cases.begin(), cases.end());
  return cases;
}

kube::Pod SmallPod(const std::string& image = "busybox:1") {
  kube::Pod pod;
  pod.metadata.name = "web";
  pod.metadata.namespace_ = "default";
  pod.spec.containers.emplace_back();
  pod.spec.containers[0].name = "main";
  pod.spec.containers[0].image = image;
  return pod;
}

}  // namespace

TEST_CASE("defaults and complaints are those that a real API server answered", "[defaults]") {
  const std::vector<std::filesystem::path> cases = Cases();
  REQUIRE(cases.size() > 60);
  for (const std::filesystem::path& folder : cases) {
    DYNAMIC_SECTION(folder.filename().string()) {
      kube::Pod pod = ReadPod(ReadDocument(folder / "pod.yaml"));
      if (pod.metadata.namespace_.empty()) pod.metadata.namespace_ = "default";
      ApplyPodDefaults(pod);
      const std::vector<std::string> complaints = SortedOnce(ValidatePod(pod));
      const YamlNode want = ReadDocument(folder / "want.json");
      if (const YamlNode* errors = want.Find("errors"); errors != nullptr) {
        std::vector<std::string> wanted;
        for (const YamlNode& error : errors->items) wanted.push_back(error.scalar);
        CHECK(complaints == SortedOnce(wanted));
        continue;
      }
      CHECK(complaints.empty());
      const kube::Pod wanted = ReadPod(want);
      CHECK(kube::Encode(pod.spec) == kube::Encode(wanted.spec));
      CHECK(kube::Encode(pod.status) == kube::Encode(wanted.status));
    }
  }
}

TEST_CASE("defaults are applied once: a second time changes nothing", "[defaults]") {
  for (const std::filesystem::path& folder : Cases()) {
    kube::Pod pod = ReadPod(ReadDocument(folder / "pod.yaml"));
    ApplyPodDefaults(pod);
    const std::string first = kube::Encode(pod);
    ApplyPodDefaults(pod);
    INFO(folder);
    CHECK(kube::Encode(pod) == first);
  }
}

TEST_CASE("a create takes no status", "[defaults]") {
  kube::Pod pod = SmallPod();
  pod.status.phase = "Running";
  pod.status.podIP = "10.0.0.1";
  ApplyPodDefaults(pod);
  CHECK(pod.status.phase == "Pending");
  CHECK(pod.status.podIP.empty());
  CHECK(pod.status.qosClass == "BestEffort");
}

TEST_CASE("huge and malformed quantities pass through defaulting unharmed", "[defaults]") {
  kube::Pod pod = SmallPod();
  pod.spec.containers[0].resources.limits = {{"memory", {"9E"}}, {"cpu", {"much"}}};
  ApplyPodDefaults(pod);
  CHECK(pod.spec.containers[0].resources.limits["memory"].text == "9E");
  CHECK(pod.spec.containers[0].resources.limits["cpu"].text == "much");
}

TEST_CASE("ephemeral containers get a container's defaults", "[defaults]") {
  kube::Pod pod = SmallPod();
  pod.spec.ephemeralContainers.emplace_back();
  pod.spec.ephemeralContainers[0].image = "debug";
  ApplyPodDefaults(pod);
  CHECK(pod.spec.ephemeralContainers[0].imagePullPolicy == "Always");
  CHECK(pod.spec.ephemeralContainers[0].terminationMessagePath == "/dev/termination-log");
}

TEST_CASE("the AppArmor annotation becomes a field where it says something new", "[defaults]") {
  const std::string key = "container.apparmor.security.beta.kubernetes.io/main";
  kube::Pod pod = SmallPod();
  SECTION("unconfined") {
    pod.metadata.annotations[key] = "unconfined";
    ApplyPodDefaults(pod);
    CHECK(pod.spec.containers[0].securityContext->appArmorProfile->type == "Unconfined");
  }
  SECTION("a word it does not know") {
    pod.metadata.annotations[key] = "localhost/";
    ApplyPodDefaults(pod);
    CHECK_FALSE(pod.spec.containers[0].securityContext);
  }
  SECTION("what the pod has anyway") {
    pod.metadata.annotations[key] = "runtime/default";
    pod.spec.securityContext.emplace().appArmorProfile = kube::AppArmorProfile{"RuntimeDefault", std::nullopt};
    ApplyPodDefaults(pod);
    CHECK_FALSE(pod.spec.containers[0].securityContext);
  }
  SECTION("the field wins") {
    pod.metadata.annotations[key] = "unconfined";
    pod.spec.containers[0].securityContext.emplace().appArmorProfile =
        kube::AppArmorProfile{"RuntimeDefault", std::nullopt};
    ApplyPodDefaults(pod);
    CHECK(pod.spec.containers[0].securityContext->appArmorProfile->type == "RuntimeDefault");
  }
}

}  // namespace burstlet::provider
