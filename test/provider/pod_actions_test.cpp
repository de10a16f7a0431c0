#include "provider/pod_actions.h"

#include <catch2/catch.hpp>
#include <chrono>
#include <string>
#include <vector>

#include "provider/backoff.h"

namespace burstlet::provider {
namespace {

kube::Container Named(const std::string& name) {
  kube::Container container;
  container.name = name;
  return container;
}

kube::Pod MakePod(std::vector<std::string> init, std::vector<std::string> app, const std::string& policy = "Always") {
  kube::Pod pod;
  pod.spec.restartPolicy = policy;
  for (const std::string& name : init) pod.spec.initContainers.push_back(Named(name));
  for (const std::string& name : app) pod.spec.containers.push_back(Named(name));
  return pod;
}

ContainerInstance Running() { return {}; }

ContainerInstance Exited(int code) {
  ContainerInstance instance;
  instance.phase = ContainerInstance::Phase::kExited;
  instance.exit_code = code;
  return instance;
}

std::vector<std::string> Starts(const PodActions& actions) {
  std::vector<std::string> names;
  for (const StartAction& action : actions.start) names.push_back(action.name + (action.is_restart ? "!" : ""));
  return names;
}

using Names = std::vector<std::string>;

}  // namespace

TEST_CASE("init containers run one after another, then all app containers", "[pod_actions]") {
  const kube::Pod pod = MakePod({"i1", "i2"}, {"a", "b"});
  PodRuntimeView view;
  CHECK(Starts(ComputePodActions(pod, view)) == Names{"i1"});
  view.containers["i1"].instances = {Running()};
  CHECK(Starts(ComputePodActions(pod, view)).empty());
  view.containers["i1"].instances = {Exited(0)};
  CHECK(Starts(ComputePodActions(pod, view)) == Names{"i2"});
  view.containers["i2"].instances = {Exited(0)};
  CHECK(Starts(ComputePodActions(pod, view)) == Names{"a", "b"});
  view.containers["a"].instances = {Running()};
  CHECK(Starts(ComputePodActions(pod, view)) == Names{"b"});
}

TEST_CASE("a failed init container is retried unless the policy is Never", "[pod_actions]") {
  PodRuntimeView view;
  view.containers["i"].instances = {Exited(3)};
  CHECK(Starts(ComputePodActions(MakePod({"i"}, {"a"}), view)) == Names{"i!"});
  CHECK(Starts(ComputePodActions(MakePod({"i"}, {"a"}, "OnFailure"), view)) == Names{"i!"});
  const PodActions never = ComputePodActions(MakePod({"i"}, {"a"}, "Never"), view);
  CHECK(never.finished);
  CHECK(never.start.empty());
}

TEST_CASE("the restart policy decides what an exit means", "[pod_actions]") {
  PodRuntimeView view;
  view.containers["a"].instances = {Exited(0)};
  CHECK(Starts(ComputePodActions(MakePod({}, {"a"}), view)) == Names{"a!"});
  CHECK(ComputePodActions(MakePod({}, {"a"}, "OnFailure"), view).finished);
  CHECK(ComputePodActions(MakePod({}, {"a"}, "Never"), view).finished);
  view.containers["a"].instances = {Exited(1)};
  CHECK(Starts(ComputePodActions(MakePod({}, {"a"}, "OnFailure"), view)) == Names{"a!"});
  CHECK(ComputePodActions(MakePod({}, {"a"}, "Never"), view).finished);
}

TEST_CASE("a pod is finished only when its last container is", "[pod_actions]") {
  PodRuntimeView view;
  view.containers["a"].instances = {Exited(0)};
  view.containers["b"].instances = {Running()};
  const kube::Pod pod = MakePod({}, {"a", "b"}, "Never");
  CHECK_FALSE(ComputePodActions(pod, view).finished);
  view.containers["b"].instances = {Exited(7)};
  CHECK(ComputePodActions(pod, view).finished);
}

TEST_CASE("in a new sandbox init containers run again, but a finished Job does not", "[pod_actions]") {
  PodRuntimeView view;
  ContainerInstance old = Exited(0);
  old.in_current_sandbox = false;
  view.containers["i"].instances = {old};
  ContainerInstance lost = Exited(137);
  lost.in_current_sandbox = false;
  view.containers["a"].instances = {lost};
  CHECK(Starts(ComputePodActions(MakePod({"i"}, {"a"}), view)) == Names{"i!"});
  view.containers["i"].instances = {Exited(0), old};
  CHECK(Starts(ComputePodActions(MakePod({"i"}, {"a"}), view)) == Names{"a!"});
  CHECK(ComputePodActions(MakePod({}, {"a"}, "Never"), view).finished);
}

TEST_CASE("a sidecar that died comes back while the pod runs", "[pod_actions]") {
  kube::Pod pod = MakePod({"s", "i"}, {"a"}, "Never");
  pod.spec.initContainers[0].restartPolicy = "Always";
  PodRuntimeView view;
  CHECK(Starts(ComputePodActions(pod, view)) == Names{"s"});
  view.containers["s"].instances = {Running()};
  CHECK(Starts(ComputePodActions(pod, view)) == Names{"i"});
  view.containers["i"].instances = {Exited(0)};
  view.containers["a"].instances = {Running()};
  view.containers["s"].instances = {Exited(1)};
  CHECK(Starts(ComputePodActions(pod, view)) == Names{"s!"});
  view.containers["a"].instances = {Exited(0)};
  CHECK(ComputePodActions(pod, view).finished);
}

TEST_CASE("nothing is started for a pod that is being torn down", "[pod_actions]") {
  PodRuntimeView view;
  view.terminating = true;
  CHECK(ComputePodActions(MakePod({}, {"a"}), view).start.empty());
}

TEST_CASE("restart back-off doubles to its cap and starts over after a long run", "[backoff]") {
  using std::chrono::seconds;
  Backoff backoff({.initial = seconds(10), .maximum = seconds(300), .reset_after = seconds(600)});
  Backoff::Clock::time_point now{};
  CHECK(backoff.ReadyAt("k", now) == now);  // the first restart is immediate
  std::vector<long> delays;
  for (int i = 0; i < 7; ++i) {
    backoff.Next("k", now);
    delays.push_back(std::chrono::duration_cast<seconds>(backoff.Get("k")).count());
    now += seconds(1);
  }
  CHECK(delays == std::vector<long>{10, 20, 40, 80, 160, 300, 300});
  now += seconds(700);
  CHECK(backoff.ReadyAt("k", now) == now);
  backoff.Next("k", now);
  CHECK(backoff.Get("k") == seconds(10));
}

}  // namespace burstlet::provider
