#include "provider/translate/environment.h"

#include <catch2/catch.hpp>

#include "metrics/status.h"

namespace burstlet::provider {
namespace {

kube::Pod MakePod() {
  kube::Pod pod;
  pod.metadata.name = "web";
  pod.metadata.namespace_ = "shop";
  pod.metadata.labels = {{"b", "2\\"}, {"a", "\x01\x7f\xc3\xa4\xff\xe2\x80\x8b"}};
  pod.spec.containers.resize(1);
  pod.spec.containers[0].name = "app";
  return pod;
}

kube::EnvVar FromConfigMap(const std::string& variable, const std::string& name, const std::string& key,
                           std::optional<bool> optional) {
  kube::EnvVar env;
  env.name = variable;
  env.valueFrom.emplace();
  env.valueFrom->configMapKeyRef = kube::ConfigMapKeySelector{name, key, optional};
  return env;
}

}  // namespace

TEST_CASE("maps of the downward API are quoted as Go quotes", "[translate]") {
  auto value = FieldValue(MakePod(), "metadata.labels", {}, {});
  REQUIRE(value.ok());
  CHECK(*value == "a=\"\\x01\\x7f\xc3\xa4\\xff\\u200b\"\nb=\"2\\\\\"");
}

TEST_CASE("field paths with a key in brackets", "[translate]") {
  const kube::Pod pod = MakePod();
  CHECK(FieldValue(pod, "metadata.labels['b']", {}, {}).value() == "2\\");
  CHECK(FieldValue(pod, "metadata.annotations['none']", {}, {}).value().empty());
  CHECK_FALSE(FieldValue(pod, "metadata.name['x']", {}, {}).ok());
  CHECK_FALSE(FieldValue(pod, "['x']", {}, {}).ok());
  CHECK_FALSE(FieldValue(pod, "']", {}, {}).ok());
  CHECK(FieldValue(pod, "status.podIP", {}, {}).value().empty());
  CHECK_FALSE(FieldValue(pod, "status.hostIP", {}, {}).ok());
}

TEST_CASE("resource fields are divided and rounded up", "[translate]") {
  kube::Pod pod = MakePod();
  auto& resources = pod.spec.containers[0].resources;
  resources.limits = {{"memory", {"100M"}}, {"hugepages-2Mi", {"4Mi"}}};
  resources.requests = {{"cpu", {"1001m"}}};
  NodeInfo node;
  node.allocatable = {{"cpu", {"3500m"}}, {"memory", {"8Gi"}}};
  struct Row {
    const char* resource;
    const char* divisor;
    const char* want;
  };
  const Row rows[] = {
      {"requests.cpu", "", "2"},       {"requests.cpu", "1m", "1001"},       {"requests.cpu", "0", "2"},
      {"limits.cpu", "1", "4"},        {"limits.memory", "1Mi", "96"},       {"limits.memory", "", "100000000"},
      {"requests.memory", "1Mi", "0"}, {"limits.hugepages-2Mi", "1Mi", "4"}, {"limits.ephemeral-storage", "", "0"}};
  for (const Row& row : rows) {
    kube::ResourceFieldSelector selector;
    selector.resource = row.resource;
    selector.divisor.text = row.divisor;
    INFO(row.resource << " / " << row.divisor);
    CHECK(ResourceFieldValue(pod, "app", selector, node).value() == row.want);
  }
  kube::ResourceFieldSelector selector;
  selector.resource = "limits.cpu";
  CHECK(ResourceFieldValue(pod, "nobody", selector, node).status().message() == "container nobody not found");
  pod.spec.resources.emplace();
  pod.spec.resources->limits = {{"cpu", {"2"}}};
  CHECK(ResourceFieldValue(pod, "app", selector, node).value() == "2");
}

TEST_CASE("a missing object is an error unless the reference is optional", "[translate]") {
  kube::Pod pod = MakePod();
  EnvSources sources;
  NodeInfo node;
  auto& container = pod.spec.containers[0];
  container.env = {FromConfigMap("X", "gone", "k", true)};
  CHECK(MakeEnvironment(pod, container, sources, node).value().empty());
  container.env = {FromConfigMap("X", "gone", "k", std::nullopt)};
  auto env = MakeEnvironment(pod, container, sources, node);
  CHECK(ReasonOf(env.status()) == "CreateContainerConfigError");
  CHECK(env.status().message() == "configmap \"gone\" not found");
  // Optional excuses absence, not an API server that does not answer.
  sources.config_maps.emplace("gone", absl::UnavailableError("connection refused"));
  container.env = {FromConfigMap("X", "gone", "k", true)};
  CHECK(MakeEnvironment(pod, container, sources, node).status().message() == "connection refused");
}

TEST_CASE("a value with a NUL byte never reaches a container", "[translate]") {
  kube::Pod pod = MakePod();
  EnvSources sources;
  auto secret = std::make_shared<kube::Secret>();
  secret->data["k"].data = std::string("a\0b", 3);
  sources.secrets.emplace("s", std::shared_ptr<const kube::Secret>(secret));
  kube::EnvFromSource from;
  from.secretRef.emplace();
  from.secretRef->name = "s";
  pod.spec.containers[0].envFrom = {from};
  CHECK_FALSE(MakeEnvironment(pod, pod.spec.containers[0], sources, {}).ok());
}

TEST_CASE("the objects of a pod's environment and volumes are listed", "[translate]") {
  kube::Pod pod = MakePod();
  pod.spec.containers[0].env = {FromConfigMap("X", "env-map", "k", true)};
  pod.spec.ephemeralContainers.resize(1);
  kube::EnvFromSource from;
  from.secretRef.emplace();
  from.secretRef->name = "debug-secret";
  pod.spec.ephemeralContainers[0].envFrom = {from};
  pod.spec.volumes.resize(2);
  pod.spec.volumes[0].secret.emplace();
  pod.spec.volumes[0].secret->secretName = "volume-secret";
  pod.spec.volumes[1].projected.emplace();
  pod.spec.volumes[1].projected->sources.resize(1);
  pod.spec.volumes[1].projected->sources[0].configMap.emplace();
  pod.spec.volumes[1].projected->sources[0].configMap->name = "volume-map";
  CHECK(EnvironmentObjects(pod).config_maps == std::set<std::string>{"env-map"});
  CHECK(EnvironmentObjects(pod).secrets == std::set<std::string>{"debug-secret"});
  CHECK(VolumeObjects(pod).config_maps == std::set<std::string>{"volume-map"});
  CHECK(VolumeObjects(pod).secrets == std::set<std::string>{"volume-secret"});
}

}  // namespace burstlet::provider
