// kill -9 of the agent at every step of a pod's life: the next agent goes on, starts nothing twice, loses no exit code.
#include <catch2/catch.hpp>

#include "test/provider/fakes/fake_agent.h"

namespace burstlet::provider {
namespace {

using test::FakeAgent;
using test::NewContainer;
using test::NewPod;
using test::World;

/// Runs until the goal is met; an agent that dies on the way is followed by another.
bool Reach(World& world, const std::function<bool()>& goal) {
  for (int agents = 0; agents < 3; ++agents) {
    FakeAgent& agent = *world.agent;
    const bool ended = agent.Until([&] { return goal() || world.host.agent_dead(); });
    if (!ended) return false;
    if (!world.host.agent_dead()) return true;
    world.Crash();
    world.Boot();
  }
  return false;
}

kube::Pod JobPod() {
  kube::Pod pod = NewPod("u1", {NewContainer("a", "slow:1")}, "Never");
  pod.spec.initContainers = {NewContainer("i")};
  return pod;
}

/// Init container, pull, run, exit with 3, deletion. Returns how many steps the first agent took.
std::size_t LiveOnce(World& world) {
  world.host.short_runs["i"] = {0};
  world.Create(JobPod());
  REQUIRE(Reach(world, [&] { return world.host.Running("a") && world.api.Phase("u1") == "Running"; }));
  world.host.Exit("a", 3);
  REQUIRE(Reach(world, [&] { return world.api.Phase("u1") == "Failed"; }));
  const kube::PodStatus ended = world.api.Status("u1");
  REQUIRE(ended.containerStatuses.size() == 1);
  REQUIRE(ended.containerStatuses[0].state.terminated);
  CHECK(ended.containerStatuses[0].state.terminated->exitCode == 3);
  CHECK(ended.containerStatuses[0].restartCount == 0);
  REQUIRE(ended.initContainerStatuses.size() == 1);
  REQUIRE(ended.initContainerStatuses[0].state.terminated);
  CHECK(ended.initContainerStatuses[0].state.terminated->exitCode == 0);
  world.Delete("u1");
  REQUIRE(Reach(world, [&] { return world.api.pods.empty() && world.agent->workers->empty(); }));
  return world.host.steps().size();
}

bool RunsAs(const World& world, const std::string& name, const std::string& image, int restarts) {
  const auto pod = world.api.pods.find("u1");
  if (pod == world.api.pods.end()) return false;
  for (const auto* list : {&pod->second.status.containerStatuses, &pod->second.status.ephemeralContainerStatuses}) {
    for (const kube::ContainerStatus& status : *list) {
      if (status.name == name) return status.state.running && status.image == image && status.restartCount == restarts;
    }
  }
  return false;
}

void End(World& world) {
  world.Delete("u1");
  REQUIRE(Reach(world, [&] { return world.api.pods.empty() && world.agent->workers->empty(); }));
}

/// A debugger joins, then the image changes, of a pod that must not run twice.
std::size_t ChangeOnce(World& world) {
  world.Create(NewPod("u1", {NewContainer("a")}, "Never"));
  REQUIRE(Reach(world, [&] { return world.api.Phase("u1") == "Running"; }));
  world.Change("u1", [](kube::Pod& pod) {
    kube::EphemeralContainer debugger;
    debugger.name = "dbg";
    debugger.image = "app:1";
    debugger.imagePullPolicy = "IfNotPresent";
    debugger.targetContainerName = "a";
    pod.spec.ephemeralContainers = {debugger};
  });
  REQUIRE(Reach(world, [&] { return RunsAs(world, "dbg", "app:1", 0); }));
  world.Change("u1", [](kube::Pod& pod) { pod.spec.containers[0].image = "other:1"; });
  REQUIRE(Reach(world, [&] { return RunsAs(world, "a", "other:1", 1); }));
  CHECK(RunsAs(world, "dbg", "app:1", 0));
  End(world);
  return world.host.steps().size();
}

/// One container's exit restarts all.
std::size_t RestartAllOnce(World& world) {
  kube::Container source = NewContainer("a");
  source.restartPolicy = "Never";
  source.restartPolicyRules.resize(1);
  source.restartPolicyRules[0].action = "RestartAllContainers";
  source.restartPolicyRules[0].exitCodes.emplace();
  source.restartPolicyRules[0].exitCodes->operator_ = "In";
  source.restartPolicyRules[0].exitCodes->values = {42};
  world.Create(NewPod("u1", {source, NewContainer("b")}, "Never"));
  REQUIRE(Reach(world, [&] { return world.host.Running("b") && world.api.Phase("u1") == "Running"; }));
  world.host.Exit("a", 42);
  REQUIRE(Reach(world, [&] { return RunsAs(world, "a", "app:1", 1) && RunsAs(world, "b", "app:1", 1); }));
  End(world);
  return world.host.steps().size();
}

/// Lives `live` once for each of its steps, the agent dying there; `check` looks at each world after its end.
void DieEverywhere(const std::function<std::size_t(World&)>& live, const std::function<void(const World&)>& check) {
  std::size_t steps = 0;
  {
    World world;
    world.Boot();
    steps = live(world);
    REQUIRE(steps > 10);
  }
  for (std::size_t at = 1; at <= steps; ++at) {
    World world;
    world.Boot();
    world.host.DieAt(static_cast<int>(at), {});
    live(world);
    INFO("died at step " << at << ": " << world.host.died_at());
    check(world);
    CHECK(world.Leftovers().empty());
  }
}

}  // namespace

TEST_CASE("an agent killed at any step of a change of the pod starts every run once", "[pod_worker][crash]") {
  DieEverywhere(ChangeOnce, [](const World& world) {
    CHECK(world.host.Starts("a") == 2);
    CHECK(world.host.Starts("dbg") == 1);
  });
}

TEST_CASE("an agent killed at any step of a restart of all restarts each once", "[pod_worker][crash]") {
  DieEverywhere(RestartAllOnce, [](const World& world) {
    CHECK(world.host.Starts("a") == 2);
    CHECK(world.host.Starts("b") == 2);
  });
}

TEST_CASE("an agent killed at any step of a pod's life starts nothing twice and leaves nothing",
          "[pod_worker][crash]") {
  std::size_t steps = 0;
  {
    World world;
    world.Boot();
    steps = LiveOnce(world);
    REQUIRE(steps > 20);
  }
  for (std::size_t at = 1; at <= steps; ++at) {
    World world;
    world.Boot();
    world.host.DieAt(static_cast<int>(at), {});
    LiveOnce(world);
    INFO("died at step " << at << ": " << world.host.died_at());
    CHECK(world.host.Starts("i") == 1);
    CHECK(world.host.Starts("a") == 1);
    CHECK(world.Leftovers().empty());
    for (std::size_t i = 1; i < world.api.phases.size(); ++i) {
      CHECK_FALSE((world.api.phases[i - 1] == "Failed" && world.api.phases[i] != "Failed"));
    }
  }
}

TEST_CASE("an agent that comes back adopts what runs and reports what ended meanwhile", "[pod_worker][crash]") {
  World world;
  world.Boot();
  world.Create(NewPod("u1", {NewContainer("a"), NewContainer("b")}, "Never"));
  REQUIRE(world.UntilRunning("u1"));
  world.Crash();
  SECTION("it ran on") {
    world.Boot();
    REQUIRE(world.UntilRunning("u1"));
    CHECK(world.host.Running("a"));
    world.host.Exit("a", 0);
    world.host.Exit("b", 5);
  }
  SECTION("it ended meanwhile") {
    world.host.Exit("a", 0);
    world.host.Exit("b", 5);
    world.Boot();
  }
  REQUIRE(world.agent->Until([&] { return world.api.Phase("u1") == "Failed"; }));
  CHECK(world.api.Status("u1").containerStatuses[0].state.terminated->exitCode == 0);
  CHECK(world.api.Status("u1").containerStatuses[1].state.terminated->exitCode == 5);
  CHECK(world.host.Starts("a") == 1);
  CHECK(world.host.Starts("b") == 1);
}

TEST_CASE("after a reboot a pod starts anew, unless it had ended or must not run twice", "[pod_worker][crash]") {
  World world;
  world.Boot();
  const std::string policy = GENERATE("Always", "Never");
  world.Create(NewPod("u1", {NewContainer("a")}, policy));
  REQUIRE(world.UntilRunning("u1"));
  world.Crash();
  world.host.Reboot();
  world.Boot();
  if (policy == "Always") {
    REQUIRE(world.agent->Until(
        [&] { return world.host.Running("a") && world.api.Status("u1").containerStatuses[0].restartCount == 1; }));
    CHECK(world.host.Starts("a") == 2);
  } else {
    REQUIRE(world.agent->Until([&] { return world.api.Phase("u1") == "Failed"; }));
    CHECK(world.host.Starts("a") == 1);
    CHECK(world.api.Status("u1").containerStatuses[0].state.terminated->reason == "ContainerStatusUnknown");
  }
}

TEST_CASE("a finished Job does not run again, whatever the API server knows of its end", "[pod_worker][crash]") {
  World world;
  auto& agent = world.Boot();
  world.host.short_runs["a"] = {0};
  const bool outage = GENERATE(false, true);
  world.api.refuse_writes = outage;
  world.Create(NewPod("u1", {NewContainer("a")}, "OnFailure"));
  REQUIRE(agent.Until([&] { return world.host.Reached("unmounted"); }));
  world.Crash();
  world.api.refuse_writes = false;
  world.Boot();
  REQUIRE(world.agent->Until([&] { return world.api.Phase("u1") == "Succeeded"; }));
  CHECK(world.host.Starts("a") == 1);
}

TEST_CASE("a pod deleted while no agent ran is ended by the next one", "[pod_worker][crash]") {
  World world;
  world.Boot();
  world.Create(NewPod("u1", {NewContainer("a")}));
  REQUIRE(world.UntilRunning("u1"));
  world.Crash();
  world.api.pods.clear();
  world.Boot();
  REQUIRE(world.agent->Until([&] { return world.host.sandboxes() == 0 && world.agent->workers->empty(); }));
  CHECK(world.host.Reached("signal a 15"));
  CHECK(world.Leftovers().empty());
}

TEST_CASE("volumes of a pod that was deleted before it had a record are removed", "[pod_worker][crash]") {
  World world;
  world.Boot();
  world.host.DieAt(2, {});  // "mounted"
  world.Create(NewPod("u1", {NewContainer("a")}));
  REQUIRE(world.agent->Until([&] { return world.host.agent_dead(); }));
  CHECK(world.host.died_at() == "mounted");
  world.Crash();
  world.api.pods.clear();
  world.Boot();
  REQUIRE(world.agent->Until([&] { return world.Leftovers().empty(); }));
}

}  // namespace burstlet::provider
