// How a pod's end shows, and in which order it comes: hooks, sidecars, deadlines, failed probes.
#include <catch2/catch.hpp>

#include "test/provider/fakes/fake_agent.h"

namespace burstlet::provider {
namespace {

using test::NewContainer;
using test::NewPod;
using test::World;

/// kubectl delete as an API server does it: the generation grows too.
void DeleteGracefully(World& world, std::int64_t grace) {
  world.Change("u1", [&](kube::Pod& pod) {
    pod.metadata.deletionTimestamp = kube::Time{test::WallNow() + grace * 1'000'000'000};
    pod.metadata.deletionGracePeriodSeconds = grace;
  });
}

kube::Probe Refused() {
  kube::Probe probe;
  probe.tcpSocket.emplace();
  probe.tcpSocket->host = "127.0.0.1";
  probe.tcpSocket->port.text = "1";
  probe.timeoutSeconds = 1;
  probe.periodSeconds = 1;
  probe.successThreshold = 1;
  probe.failureThreshold = 1;
  return probe;
}

}  // namespace

TEST_CASE("an end that takes its time shows at its beginning that the node has seen it", "[pod_worker][end]") {
  World world;
  auto& agent = world.Boot();
  world.host.stubborn = {"a"};
  world.Create(NewPod("u1", {NewContainer("a")}));
  REQUIRE(world.UntilRunning("u1"));
  DeleteGracefully(world, 30);
  REQUIRE(agent.Until([&] { return world.api.Status("u1").observedGeneration == 2; }));
  CHECK(world.api.Phase("u1") == "Running");
  CHECK(world.host.Running("a"));
  world.host.Exit("a", 0);
  REQUIRE(world.UntilGone());
}

TEST_CASE("a quick end is told once", "[pod_worker][end]") {
  World world;
  world.Boot();
  world.Create(NewPod("u1", {NewContainer("a")}));
  REQUIRE(world.UntilRunning("u1"));
  const std::size_t before = world.api.log.size();
  DeleteGracefully(world, 30);
  REQUIRE(world.UntilGone());
  CHECK(world.api.log.size() == before + 2);  // the end and the delete
}

TEST_CASE("a sidecar's hook begins with the pod's end, its signal comes after the others", "[pod_worker][end]") {
  World world;
  auto& agent = world.Boot();
  kube::Pod pod = NewPod("u1", {NewContainer("a")});
  pod.spec.initContainers = {NewContainer("s")};
  pod.spec.initContainers[0].restartPolicy = "Always";
  pod.spec.initContainers[0].lifecycle.emplace();
  pod.spec.initContainers[0].lifecycle->preStop.emplace();
  pod.spec.initContainers[0].lifecycle->preStop->exec.emplace();  // fails at once here, and so shows that it was run
  pod.spec.initContainers[0].lifecycle->preStop->exec->command = {"hook"};
  world.host.stubborn = {"a"};
  world.Create(pod);
  REQUIRE(world.UntilRunning("u1"));
  DeleteGracefully(world, 30);
  REQUIRE(agent.Until([&] { return agent.events.Has("FailedPreStopHook") && world.host.Reached("signal a 15"); }));
  CHECK_FALSE(world.host.Reached("signal s 15"));
  world.host.Exit("a", 0);
  REQUIRE(world.UntilGone());
  CHECK(world.host.Reached("signal s 15"));
}

TEST_CASE("sidecars whose turn does not come before the grace is over end with the others", "[pod_worker][end]") {
  World world;
  auto& agent = world.Boot();
  kube::Pod pod = NewPod("u1", {NewContainer("a")});
  pod.spec.initContainers = {NewContainer("s")};
  pod.spec.initContainers[0].restartPolicy = "Always";
  world.host.stubborn = {"a"};
  world.Create(pod);
  REQUIRE(world.UntilRunning("u1"));
  DeleteGracefully(world, 1);
  REQUIRE(agent.Until([&] { return world.host.Reached("signal s 15"); }));
  CHECK_FALSE(world.host.Reached("kill a"));  // a has two seconds at least, s did not wait for them
  REQUIRE(world.UntilGone());
  CHECK(world.Leftovers().empty());
}

TEST_CASE("a deadline that is set while the pod runs ends it", "[pod_worker][end]") {
  World world;
  auto& agent = world.Boot();
  world.Create(NewPod("u1", {NewContainer("a")}));
  REQUIRE(world.UntilRunning("u1"));
  world.Change("u1", [](kube::Pod& pod) { pod.spec.activeDeadlineSeconds = 1; });
  REQUIRE(agent.Until([&] { return world.api.Phase("u1") == "Failed"; }));
  CHECK(world.api.Status("u1").reason == "DeadlineExceeded");
}

TEST_CASE("a container that a failed probe has ended runs again whatever it exits with", "[pod_worker][end]") {
  World world;
  auto& agent = world.Boot();
  world.host.stop_code = 0;
  kube::Container container = NewContainer("a");
  (GENERATE(true, false) ? container.livenessProbe : container.startupProbe) = Refused();
  world.Create(NewPod("u1", {container}, "OnFailure"));
  REQUIRE(agent.Until([&] { return world.host.Starts("a") >= 2; }));
  CHECK(world.api.Phase("u1") == "Running");
  world.Delete("u1");
  REQUIRE(world.UntilGone());
}

TEST_CASE("a failed probe is the end of what must not run twice", "[pod_worker][end]") {
  World world;
  auto& agent = world.Boot();
  kube::Container container = NewContainer("a");
  container.livenessProbe = Refused();
  container.restartPolicy = GENERATE("Never", "");
  if (container.restartPolicy->empty()) container.restartPolicy.reset();
  world.Create(NewPod("u1", {container}, container.restartPolicy ? "Always" : "Never"));
  REQUIRE(agent.Until([&] { return world.api.Phase("u1") == "Failed" || world.api.Phase("u1") == "Succeeded"; }));
  CHECK(world.host.Starts("a") == 1);
}

}  // namespace burstlet::provider
