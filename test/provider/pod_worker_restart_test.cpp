// Containers that the node ends itself and runs anew: a changed image, a failed probe, RestartAllContainers.
#include <catch2/catch.hpp>

#include "provider/status/conditions.h"
#include "test/provider/fakes/fake_agent.h"

namespace burstlet::provider {
namespace {

using test::NewContainer;
using test::NewPod;
using test::World;

const kube::ContainerStatus* StatusOf(const World& world, const std::string& name) {
  const auto pod = world.api.pods.find("u1");
  if (pod == world.api.pods.end()) return nullptr;
  for (const auto* list : {&pod->second.status.initContainerStatuses, &pod->second.status.containerStatuses}) {
    for (const kube::ContainerStatus& status : *list) {
      if (status.name == name) return &status;
    }
  }
  return nullptr;
}

bool RunsAgain(const World& world, const std::string& name, int restarts) {
  const kube::ContainerStatus* status = StatusOf(world, name);
  return status != nullptr && status->state.running && status->restartCount == restarts;
}

void SetImage(World& world, const std::string& image) {
  world.Change("u1", [&](kube::Pod& pod) { pod.spec.containers[0].image = image; });
}

kube::Container Restarter(const std::string& name, int code) {
  kube::Container container = NewContainer(name);
  container.restartPolicy = "Never";
  kube::ContainerRestartRule rule;
  rule.action = "RestartAllContainers";
  rule.exitCodes.emplace();
  rule.exitCodes->operator_ = "In";
  rule.exitCodes->values = {code};
  container.restartPolicyRules = {rule};
  return container;
}

/// What the condition AllContainersRestarting was, repetitions left out.
std::vector<std::string> RestartingHistory(const World& world) {
  std::vector<std::string> history;
  for (const kube::PodStatus& status : world.api.statuses) {
    const kube::PodCondition* condition = FindCondition(status.conditions, "AllContainersRestarting");
    const std::string shown = condition == nullptr ? "none" : condition->status;
    if (history.empty() || history.back() != shown) history.push_back(shown);
  }
  return history;
}

}  // namespace

TEST_CASE("a container whose image changes is ended with its grace and runs the new one, whatever the policy",
          "[pod_worker][restart]") {
  World world;
  auto& agent = world.Boot();
  world.host.stop_code = GENERATE(0, 143);
  world.Create(NewPod("u1", {NewContainer("a"), NewContainer("b")}, GENERATE("Never", "OnFailure", "Always")));
  REQUIRE(world.UntilRunning("u1"));
  SetImage(world, "other:1");
  REQUIRE(agent.Until([&] { return RunsAgain(world, "a", 1); }));
  CHECK(StatusOf(world, "a")->image == "other:1");
  CHECK(StatusOf(world, "a")->lastState.terminated->exitCode == world.host.stop_code);
  CHECK(world.host.Count("signal a 15") == 1);
  CHECK(world.host.Starts("a") == 2);
  CHECK(world.host.Starts("b") == 1);
  CHECK(agent.events.Says("Container a definition changed, will be restarted"));
  CHECK(world.api.refused == 0);
  for (const std::string& phase : world.api.phases) CHECK(phase == "Running");
}

TEST_CASE("a changed image that cannot be had leaves the pod waiting for it", "[pod_worker][restart]") {
  World world;
  auto& agent = world.Boot();
  world.Create(NewPod("u1", {NewContainer("a")}, "Never"));
  REQUIRE(world.UntilRunning("u1"));
  SetImage(world, "missing:1");
  REQUIRE(agent.Until([&] {
    const kube::ContainerStatus* status = StatusOf(world, "a");
    return status->state.waiting && status->state.waiting->reason == "ErrImagePull";
  }));
  SetImage(world, "good:1");
  REQUIRE(agent.Until([&] { return RunsAgain(world, "a", 1); }));
  CHECK(world.api.refused == 0);
  for (const std::string& phase : world.api.phases) CHECK(phase == "Running");
}

TEST_CASE("a changed image of what is done changes nothing", "[pod_worker][restart]") {
  World world;
  auto& agent = world.Boot();
  world.host.short_runs["i"] = {0};
  world.host.short_runs["b"] = {0};
  kube::Pod pod = NewPod("u1", {NewContainer("a"), NewContainer("b")}, "Never");
  pod.spec.initContainers = {NewContainer("i")};
  world.Create(pod);
  REQUIRE(agent.Until([&] { return world.host.Running("a") && world.host.Starts("b") == 1; }));
  world.Change("u1", [](kube::Pod& changed) {
    changed.spec.initContainers[0].image = "other:1";
    changed.spec.containers[1].image = "other:1";
  });
  REQUIRE(agent.Until([&] { return world.api.Status("u1").observedGeneration == 2; }));
  CHECK(world.host.Starts("i") == 1);
  CHECK(world.host.Starts("b") == 1);
}

TEST_CASE("a sidecar whose image changes is run anew", "[pod_worker][restart]") {
  World world;
  auto& agent = world.Boot();
  kube::Pod pod = NewPod("u1", {NewContainer("a")});
  pod.spec.initContainers = {NewContainer("s")};
  pod.spec.initContainers[0].restartPolicy = "Always";
  world.Create(pod);
  REQUIRE(world.UntilRunning("u1"));
  world.Change("u1", [](kube::Pod& changed) { changed.spec.initContainers[0].image = "other:1"; });
  REQUIRE(agent.Until([&] { return RunsAgain(world, "s", 1); }));
  CHECK(agent.events.Says("Init container s definition changed"));
  CHECK(world.host.Starts("a") == 1);
}

TEST_CASE("an image that changed while no agent ran is seen by the next", "[pod_worker][restart]") {
  World world;
  world.Boot();
  world.Create(NewPod("u1", {NewContainer("a")}, "Never"));
  REQUIRE(world.UntilRunning("u1"));
  world.Crash();
  SetImage(world, "other:1");
  world.Boot();
  REQUIRE(world.agent->Until([&] { return RunsAgain(world, "a", 1); }));
  CHECK(StatusOf(world, "a")->image == "other:1");
}

TEST_CASE("a rule that restarts all takes the pod back to its first init container", "[pod_worker][restart]") {
  World world;
  world.max_restart_delay = std::chrono::seconds(300);  // none of it is held back
  auto& agent = world.Boot();
  kube::Pod pod = NewPod("u1", {Restarter("a", 42), NewContainer("b")}, GENERATE("Never", "Always"));
  pod.spec.initContainers = {NewContainer("i"), NewContainer("s")};
  pod.spec.initContainers[1].restartPolicy = "Always";
  world.host.short_runs["i"] = {0, 0};
  world.host.stubborn = {"b"};
  world.Create(pod);
  REQUIRE(world.UntilRunning("u1"));
  world.host.Exit("a", 42);
  REQUIRE(
      agent.Until([&] { return RunsAgain(world, "a", 1) && RunsAgain(world, "b", 1) && RunsAgain(world, "s", 1); }));
  CHECK(world.host.Starts("i") == 2);
  CHECK(StatusOf(world, "i")->restartCount == 1);
  for (const char* name : {"a", "b", "s", "i"}) {
    INFO(name);
    REQUIRE(StatusOf(world, name)->lastState.terminated);
    CHECK(StatusOf(world, name)->lastState.terminated->reason == "RestartingAllContainers");
    CHECK(world.host.Count(std::string("remove container ") + name) == 1);
  }
  CHECK(RestartingHistory(world) == std::vector<std::string>{"False", "True", "False"});
  CHECK(world.host.Count("create sandbox") == 1);
  for (const std::string& phase : world.api.phases) CHECK(phase == "Running");
  // And another code is judged by the container's policy.
  world.host.Exit("a", 1);
  REQUIRE(agent.Until([&] { return StatusOf(world, "a")->state.terminated.has_value(); }));
  CHECK(world.host.Starts("b") == 2);
}

TEST_CASE("a pod that is deleted while it restarts all ends", "[pod_worker][restart]") {
  World world;
  auto& agent = world.Boot();
  world.host.stubborn = {"b"};
  world.Create(NewPod("u1", {Restarter("a", 42), NewContainer("b")}, "Never"));
  REQUIRE(world.UntilRunning("u1"));
  world.host.Exit("a", 42);
  REQUIRE(agent.Until([&] { return world.host.Reached("signal b 15"); }));
  world.Delete("u1", 1);
  REQUIRE(world.UntilGone());
  CHECK(world.host.Starts("a") == 1);
  CHECK(world.Leftovers().empty());
}

TEST_CASE("the name of a pod is that of the one that is there, not of its predecessor", "[pod_worker]") {
  World world;
  auto& agent = world.Boot();
  world.host.stubborn = {"a"};
  world.Create(NewPod("u1", {NewContainer("a")}));
  REQUIRE(world.UntilRunning("u1"));
  world.ForceDelete("u1");
  kube::Pod next = NewPod("u2", {NewContainer("b")});
  next.metadata.creationTimestamp.unix_nanos = 1;  // a clock that went back
  world.Create(next);
  REQUIRE(agent.Until([&] { return agent.workers->FindByUid("u2") != nullptr; }));
  REQUIRE(agent.workers->FindByUid("u1") != nullptr);
  CHECK(agent.workers->FindByName("default", "web") == agent.workers->FindByUid("u2"));
  world.host.Exit("a", 0);
}

}  // namespace burstlet::provider
