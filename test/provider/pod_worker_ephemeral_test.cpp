// Ephemeral containers: they join a running pod, once, and end with it.
#include <catch2/catch.hpp>

#include "metrics/status.h"
#include "test/provider/fakes/fake_agent.h"

namespace burstlet::provider {
namespace {

using test::NewContainer;
using test::NewPod;
using test::World;

void Debug(World& world, const std::string& name, const std::string& target = "", const std::string& image = "app:1") {
  world.Change("u1", [&](kube::Pod& pod) {
    kube::EphemeralContainer container;
    container.name = name;
    container.image = image;
    container.imagePullPolicy = "IfNotPresent";
    container.targetContainerName = target;
    pod.spec.ephemeralContainers.push_back(container);
  });
}

const kube::ContainerStatus* StatusOf(const World& world, const std::string& name) {
  for (const kube::ContainerStatus& status : world.api.Status("u1").ephemeralContainerStatuses) {
    if (status.name == name) return &status;
  }
  return nullptr;
}

std::string Waits(const World& world, const std::string& name) {
  const kube::ContainerStatus* status = StatusOf(world, name);
  return status != nullptr && status->state.waiting ? status->state.waiting->reason : "";
}

bool Runs(const World& world, const std::string& name) {
  const kube::ContainerStatus* status = StatusOf(world, name);
  return status != nullptr && status->state.running.has_value();
}

}  // namespace

TEST_CASE("an ephemeral container joins a running pod and its target's processes, and ends with the pod",
          "[pod_worker][ephemeral]") {
  World world;
  auto& agent = world.Boot();
  world.Create(NewPod("u1", {NewContainer("a")}));
  REQUIRE(world.UntilRunning("u1"));
  Debug(world, "plain");
  Debug(world, "aimed", "a");
  REQUIRE(agent.Until([&] { return Runs(world, "plain") && Runs(world, "aimed"); }));
  CHECK(world.host.PidTarget("plain").empty());
  CHECK(world.host.PidTarget("aimed") == "a");
  CHECK_FALSE(StatusOf(world, "plain")->started.has_value());
  PodWorker* worker = agent.workers->FindByUid("u1");
  CHECK(worker->RunningContainer("plain").ok());
  CHECK(worker->LogPath("plain", false).ok());
  world.Delete("u1");
  REQUIRE(world.UntilGone());
  CHECK(world.host.Reached("signal plain 15"));
  CHECK(world.host.Reached("signal aimed 15"));
  CHECK(world.Leftovers().empty());
}

TEST_CASE("an ephemeral container is never restarted, whatever its end and the pod's policy",
          "[pod_worker][ephemeral]") {
  World world;
  auto& agent = world.Boot();
  world.Create(NewPod("u1", {NewContainer("a")}));
  REQUIRE(world.UntilRunning("u1"));
  SECTION("its program ended") { world.host.short_runs["dbg"] = {3}; }
  SECTION("its program does not exist") {
    world.host.start_errors["dbg"] = {ReasonError(absl::StatusCode::kNotFound, "StartError", "no such file")};
  }
  Debug(world, "dbg");
  REQUIRE(agent.Until([&] { return StatusOf(world, "dbg") != nullptr && StatusOf(world, "dbg")->state.terminated; }));
  // Another one starts after it: the worker has looked at the first again by then.
  Debug(world, "next");
  REQUIRE(agent.Until([&] { return Runs(world, "next"); }));
  CHECK(world.host.Starts("dbg") <= 1);
  CHECK(StatusOf(world, "dbg")->state.terminated->exitCode != 0);
  CHECK(StatusOf(world, "dbg")->restartCount == 0);
  CHECK(world.api.Phase("u1") == "Running");
}

TEST_CASE("a pod whose containers are done does not stay for its ephemeral containers", "[pod_worker][ephemeral]") {
  World world;
  auto& agent = world.Boot();
  world.Create(NewPod("u1", {NewContainer("a")}, "Never"));
  REQUIRE(world.UntilRunning("u1"));
  Debug(world, "dbg");
  REQUIRE(agent.Until([&] { return Runs(world, "dbg"); }));
  world.host.Exit("a", 0);
  REQUIRE(agent.Until([&] { return world.api.Phase("u1") == "Succeeded"; }));
  CHECK(world.host.Reached("signal dbg 15"));
  REQUIRE(StatusOf(world, "dbg")->state.terminated);
}

TEST_CASE("an ephemeral container that cannot start says why and harms nobody", "[pod_worker][ephemeral]") {
  World world;
  auto& agent = world.Boot();
  world.Create(NewPod("u1", {NewContainer("a")}));
  REQUIRE(world.UntilRunning("u1"));
  SECTION("its image is missing") {
    Debug(world, "dbg", "", "missing:1");
    REQUIRE(agent.Until([&] { return Waits(world, "dbg") == "ErrImagePull"; }));
  }
  SECTION("its target does not exist") {
    Debug(world, "dbg", "nobody");
    REQUIRE(agent.Until([&] { return Waits(world, "dbg") == "CreateContainerConfigError"; }));
    CHECK(StatusOf(world, "dbg")->state.waiting->message == "unable to find target container nobody");
  }
  SECTION("it says what this node cannot do") {
    world.Change("u1", [&](kube::Pod& pod) {
      kube::EphemeralContainer container;
      container.name = "dbg";
      container.image = "app:1";
      container.imagePullPolicy = "IfNotPresent";
      container.securityContext.emplace();
      container.securityContext->windowsOptions.emplace();
      pod.spec.ephemeralContainers.push_back(container);
    });
    REQUIRE(agent.Until([&] { return Waits(world, "dbg") == "CreateContainerConfigError"; }));
    CHECK(StatusOf(world, "dbg")->state.waiting->message.find("spec.ephemeralContainers[0].securityContext") == 0);
  }
  CHECK(world.host.Starts("dbg") == 0);
  CHECK(world.host.Starts("a") == 1);
  CHECK(world.api.Phase("u1") == "Running");
}

TEST_CASE("an ephemeral container starts while an init container runs", "[pod_worker][ephemeral]") {
  World world;
  auto& agent = world.Boot();
  kube::Pod pod = NewPod("u1", {NewContainer("a")});
  pod.spec.initContainers = {NewContainer("i")};
  world.Create(pod);
  REQUIRE(agent.Until([&] { return world.host.Running("i"); }));
  Debug(world, "dbg", "i");
  REQUIRE(agent.Until([&] { return Runs(world, "dbg"); }));
  CHECK(world.host.PidTarget("dbg") == "i");
  CHECK(world.host.Starts("a") == 0);
  world.host.Exit("i", 0);
  REQUIRE(world.UntilRunning("u1"));
}

TEST_CASE("an ephemeral container outlives its agent and is not started again", "[pod_worker][ephemeral]") {
  World world;
  auto& agent = world.Boot();
  world.Create(NewPod("u1", {NewContainer("a")}));
  REQUIRE(world.UntilRunning("u1"));
  Debug(world, "dbg", "a");
  REQUIRE(agent.Until([&] { return Runs(world, "dbg"); }));
  world.Crash();
  const bool ended = GENERATE(false, true);
  if (ended) world.host.Exit("dbg", 4);
  world.Boot();
  REQUIRE(world.agent->Until([&] {
    const kube::ContainerStatus* status = StatusOf(world, "dbg");
    return status != nullptr && (ended ? status->state.terminated.has_value() : status->state.running.has_value());
  }));
  world.Delete("u1");
  REQUIRE(world.UntilGone());
  CHECK(world.host.Starts("dbg") == 1);
  CHECK(world.Leftovers().empty());
}

}  // namespace burstlet::provider
