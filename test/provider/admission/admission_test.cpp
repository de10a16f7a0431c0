#include "provider/admission.h"

#include <catch2/catch.hpp>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "provider/admission_checks.h"

namespace burstlet::provider {
namespace {

struct Fixture {
  Fixture() {
    node.name = "node-1";
    node.allocatable = {{"cpu", {"400m"}}, {"memory", {"1Gi"}}, {"pods", {"3"}}, {"ephemeral-storage", {"10Gi"}}};
    labels = {{"zone", "a"}, {"cores", "8"}, {"kubernetes.io/os", "linux"}};
    pod.metadata.name = "web";
    pod.spec.nodeName = "node-1";
    pod.spec.containers.resize(1);
    pod.spec.containers[0].name = "web";
  }

  std::optional<Refusal> Try() const {
    AdmissionContext context{node, labels, taints, active, handlers, sysctls};
    return Admit(pod, context);
  }
  std::string Reason() const {
    const auto refusal = Try();
    return refusal ? refusal->reason : "";
  }
  std::string Message() const {
    const auto refusal = Try();
    return refusal ? refusal->message : "";
  }
  void AddActive(const kube::Pod& other) { active.push_back(std::make_shared<const kube::Pod>(other)); }
  void Affinity(const std::string& terms) {
    pod.spec.affinity =
        kube::RawJson{R"({"nodeAffinity":{"requiredDuringSchedulingIgnoredDuringExecution":{"nodeSelectorTerms":[)" +
                      terms + R"(]},"preferredDuringSchedulingIgnoredDuringExecution":[]},"podAffinity":{}})"};
  }

  NodeInfo node;
  std::map<std::string, std::string> labels;
  std::vector<kube::Taint> taints;
  std::vector<std::shared_ptr<const kube::Pod>> active;
  std::set<std::string> handlers = {"", "crun"};
  std::set<std::string> sysctls;
  kube::Pod pod;
};

}  // namespace

TEST_CASE("a plain pod is admitted", "[admission]") { CHECK_FALSE(Fixture().Try()); }

TEST_CASE("resources that are not left are named as the kubelet names them", "[admission]") {
  Fixture f;
  auto& requests = f.pod.spec.containers[0].resources.requests;
  requests["cpu"] = {"500m"};
  CHECK(f.Reason() == "OutOfcpu");
  CHECK(f.Message() == "Node didn't have enough resource: cpu, requested: 500, used: 0, capacity: 400");
  requests["cpu"] = {"300m"};
  CHECK(f.Reason().empty());
  f.AddActive(f.pod);
  CHECK(f.Message() == "Node didn't have enough resource: cpu, requested: 300, used: 300, capacity: 400");
  requests = {{"memory", {"2Gi"}}};
  CHECK(f.Reason() == "OutOfmemory");
  CHECK(f.Message() ==
        "Node didn't have enough resource: memory, requested: 2147483648, used: 0, capacity: 1073741824");
  requests = {{"ephemeral-storage", {"11Gi"}}};
  CHECK(f.Reason() == "OutOfephemeral-storage");
  requests = {{"hugepages-2Mi", {"2Mi"}}};
  CHECK(f.Reason() == "OutOfhugepages-2Mi");
}

TEST_CASE("extended resources count only where the node has them", "[admission]") {
  Fixture f;
  f.pod.spec.containers[0].resources.requests["example.com/gpu"] = {"2"};
  CHECK(f.Reason().empty());
  f.node.allocatable["example.com/gpu"] = {"1"};
  CHECK(f.Reason() == "OutOfexample.com/gpu");
}

TEST_CASE("init containers and sidecars count as the scheduler counts them", "[admission]") {
  Fixture f;
  f.pod.spec.containers[0].resources.requests["cpu"] = {"100m"};
  f.pod.spec.initContainers.resize(1);
  f.pod.spec.initContainers[0].resources.requests["cpu"] = {"400m"};
  CHECK(f.Reason().empty());
  f.pod.spec.overhead["cpu"] = {"1m"};
  CHECK(f.Reason() == "OutOfcpu");
}

TEST_CASE("the number of pods is bounded", "[admission]") {
  Fixture f;
  for (int i = 0; i < 3; ++i) f.AddActive(f.pod);
  CHECK(f.Reason() == "OutOfpods");
  CHECK(f.Message() == "Node didn't have enough resource: pods, requested: 1, used: 3, capacity: 3");
}

TEST_CASE("another operating system is refused", "[admission]") {
  Fixture f;
  f.pod.spec.os = kube::PodOS{"windows"};
  CHECK(f.Reason() == "PodOSNotSupported");
  f.pod.metadata.labels["kubernetes.io/os"] = "windows";
  CHECK(f.Reason() == "PodOSSelectorNodeLabelDoesNotMatch");
  f.pod.metadata.labels.clear();
  f.pod.spec.os->name = "linux";
  CHECK(f.Reason().empty());
}

TEST_CASE("node selector and required affinity hold at admission too", "[admission]") {
  Fixture f;
  f.pod.spec.nodeSelector["zone"] = "b";
  CHECK(f.Reason() == "NodeAffinity");
  CHECK(f.Message() == "Predicate NodeAffinity failed: node(s) didn't match Pod's node affinity/selector");
  f.pod.spec.nodeSelector["zone"] = "a";
  CHECK(f.Reason().empty());

  const auto match = [&](const std::string& terms) {
    f.Affinity(terms);
    return f.Reason().empty();
  };
  CHECK(match(R"({"matchExpressions":[{"key":"zone","operator":"In","values":["b","a"]}]})"));
  CHECK_FALSE(match(R"({"matchExpressions":[{"key":"zone","operator":"NotIn","values":["b","a"]}]})"));
  CHECK(match(R"({"matchExpressions":[{"key":"other","operator":"NotIn","values":["b"]}]})"));
  CHECK(match(R"({"matchExpressions":[{"key":"zone","operator":"Exists"},{"key":"x","operator":"DoesNotExist"}]})"));
  CHECK(match(R"({"matchExpressions":[{"key":"cores","operator":"Gt","values":["7"]}]})"));
  CHECK_FALSE(match(R"({"matchExpressions":[{"key":"cores","operator":"Lt","values":["8"]}]})"));
  CHECK_FALSE(match(R"({"matchExpressions":[{"key":"zone","operator":"Gt","values":["1"]}]})"));
  CHECK(match(R"({"matchFields":[{"key":"metadata.name","operator":"In","values":["node-1"]}]})"));
  CHECK_FALSE(match(R"({"matchFields":[{"key":"metadata.name","operator":"In","values":["node-2"]}]})"));
  CHECK_FALSE(match("{}"));
  CHECK(match(
      R"({"matchExpressions":[{"key":"zone","operator":"What"}]},{"matchExpressions":[{"key":"zone","operator":"Exists"}]})"));
}

TEST_CASE("a pod of another node is refused", "[admission]") {
  Fixture f;
  f.pod.spec.nodeName = "node-2";
  CHECK(f.Reason() == "NodeName");
}

TEST_CASE("host ports conflict by protocol, address and number", "[admission]") {
  Fixture f;
  const auto pod_with = [&](const std::string& protocol, const std::string& ip) {
    kube::Pod pod = f.pod;
    pod.spec.containers[0].ports = {{"", 8080, 80, protocol, ip}};
    return pod;
  };
  f.AddActive(pod_with("TCP", "192.0.2.1"));
  const kube::Pod plain = f.pod;
  f.pod = pod_with("TCP", "");
  CHECK(f.Reason() == "NodePorts");
  CHECK(f.Message() == "Predicate NodePorts failed: node(s) didn't have free ports for the requested pod ports");
  f.pod = plain;
  f.pod = pod_with("UDP", "");
  CHECK(f.Reason().empty());
  f.pod = pod_with("TCP", "192.0.2.2");
  CHECK(f.Reason().empty());
}

TEST_CASE("NoExecute taints must be tolerated, others are the scheduler's", "[admission]") {
  Fixture f;
  f.taints = {{"virtual-kubelet.io/provider", "burstlet", "NoSchedule", {}}};
  CHECK(f.Reason().empty());
  f.taints.push_back({"maintenance", "5", "NoExecute", {}});
  CHECK(f.Reason() == "TaintToleration");
  CHECK(f.Message() == "Predicate TaintToleration failed: node(s) had taints that the pod didn't tolerate");
  f.pod.spec.tolerations = {{"maintenance", "Equal", "5", "NoExecute", 30}};
  CHECK(f.Reason().empty());
  f.pod.spec.tolerations[0].value = "6";
  CHECK(f.Reason() == "TaintToleration");
  f.pod.spec.tolerations[0].operator_ = "Lt";
  CHECK(f.Reason().empty());
  f.pod.spec.tolerations = {{"", "Exists", "", "", {}}};
  CHECK(f.Reason().empty());
}

TEST_CASE("sysctls: safe, allowed, forbidden", "[admission]") {
  Fixture f;
  f.pod.spec.securityContext.emplace();
  const auto reason = [&](const std::string& name) {
    f.pod.spec.securityContext->sysctls = {{name, "1"}};
    return f.Message();
  };
  CHECK(reason("net.ipv4.tcp_syncookies").empty());
  CHECK(reason("kernel/shm_rmid_forced").empty());
  CHECK(reason("kernel.msgmax") == "forbidden sysctl: \"kernel.msgmax\" not allowlisted");
  f.sysctls = {"kernel.msg*", "vm.swappiness"};
  CHECK(reason("kernel.msgmax").empty());
  // Not kept per namespace: it would change the host, whatever the configuration says.
  CHECK(reason("vm.swappiness") == "forbidden sysctl: \"vm.swappiness\" not allowlisted");
  f.pod.spec.hostNetwork = true;
  CHECK(reason("net.ipv4.tcp_syncookies") ==
        "forbidden sysctl: \"net.ipv4.tcp_syncookies\" not allowed with host Net enabled");
  CHECK(f.Reason() == "SysctlForbidden");
}

TEST_CASE("a runtime class needs a handler of this node", "[admission]") {
  Fixture f;
  f.pod.spec.runtimeClassName = "crun";
  CHECK(f.Reason().empty());
  f.pod.spec.runtimeClassName = "kata";
  CHECK(f.Reason() == "UnknownRuntimeHandler");
  CHECK(f.Message().find("spec.runtimeClassName") == 0);
}

TEST_CASE("what is not supported is refused by the name of its field", "[admission]") {
  Fixture f;
  f.pod.spec.volumes.resize(2);
  f.pod.spec.volumes[0].name = "a";
  f.pod.spec.volumes[0].emptyDir.emplace();
  f.pod.spec.volumes[1].name = "b";
  f.pod.spec.volumes[1].nfs = kube::NFSVolumeSource{"server", "/", false};
  CHECK(f.Reason() == "UnsupportedField");
  CHECK(f.Message().find("spec.volumes[1].nfs: ") == 0);

  f = Fixture();
  f.pod.spec.containers.resize(2);
  f.pod.spec.containers[1].restartPolicy = "Never";
  f.pod.spec.containers[1].restartPolicyRules.resize(1);
  f.pod.spec.containers[1].restartPolicyRules[0].action = "Restart";
  CHECK(f.Reason().empty());
  f.pod.spec.containers[1].restartPolicyRules[0].action = "RestartAllContainers";
  CHECK(f.Message().empty());
}

TEST_CASE("AppArmor profiles need a kernel that has it", "[admission]") {
  auto admit = [](const Fixture& f, bool enabled) {
    AdmissionContext context{f.node, f.labels, f.taints, f.active, f.handlers, f.sysctls, enabled};
    return Admit(f.pod, context);
  };
  Fixture f;
  f.pod.spec.securityContext.emplace().appArmorProfile = kube::AppArmorProfile{"Unconfined", std::nullopt};
  CHECK_FALSE(admit(f, false));
  f.pod.spec.containers[0].securityContext.emplace().appArmorProfile =
      kube::AppArmorProfile{"RuntimeDefault", std::nullopt};
  auto refusal = admit(f, false);
  REQUIRE(refusal);
  CHECK(refusal->reason == "AppArmor");
  CHECK(refusal->message == "Cannot enforce AppArmor: AppArmor is not enabled on the host");
  CHECK_FALSE(admit(f, true));
  f.pod.spec.containers[0].securityContext->appArmorProfile = kube::AppArmorProfile{"Localhost", " "};
  refusal = admit(f, true);
  REQUIRE(refusal);
  CHECK(refusal->message.find("Cannot enforce AppArmor: invalid empty AppArmor profile name") == 0);
  Fixture old;
  old.pod.metadata.annotations["container.apparmor.security.beta.kubernetes.io/web"] = "localhost/mine";
  CHECK(admit(old, false));
  CHECK_FALSE(admit(old, true));
  old.pod.metadata.annotations["container.apparmor.security.beta.kubernetes.io/web"] = "unconfined";
  CHECK_FALSE(admit(old, false));
}

}  // namespace burstlet::provider
