// The life of one pod, over fakes: starts, restarts, ends, and what comes between.
#include "provider/pod_worker.h"

#include <catch2/catch.hpp>

#include "metrics/status.h"
#include "test/provider/fakes/fake_agent.h"

namespace burstlet::provider {
namespace {

using test::NewContainer;
using test::NewPod;
using test::World;

kube::Container Sidecar(const std::string& name) {
  kube::Container container = NewContainer(name);
  container.restartPolicy = "Always";
  return container;
}

const kube::ContainerStatus& StatusOf(const World& world, const std::string& name) {
  const kube::PodStatus& status = world.api.Status("u1");
  for (const auto* list : {&status.initContainerStatuses, &status.containerStatuses}) {
    for (const kube::ContainerStatus& container : *list) {
      if (container.name == name) return container;
    }
  }
  FAIL("no status of " + name);
  return status.containerStatuses.front();
}

std::string WaitingReason(const World& world, const std::string& name) {
  const auto pod = world.api.pods.find("u1");
  if (pod == world.api.pods.end()) return "";
  for (const kube::ContainerStatus& container : pod->second.status.containerStatuses) {
    if (container.name == name && container.state.waiting) return container.state.waiting->reason;
  }
  return "";
}

std::size_t Position(const World& world, const std::string& step) {
  const auto steps = world.host.steps();
  const auto it = std::find(steps.begin(), steps.end(), step);
  INFO(step);
  REQUIRE(it != steps.end());
  return static_cast<std::size_t>(it - steps.begin());
}

}  // namespace

TEST_CASE("a pod starts, runs, and leaves nothing when it is deleted", "[pod_worker]") {
  World world;
  auto& agent = world.Boot();
  world.Create(NewPod("u1", {NewContainer("a"), NewContainer("b")}));
  REQUIRE(world.UntilRunning("u1"));
  CHECK(world.api.Status("u1").podIP == "10.0.0.7");
  CHECK(world.host.Running("a"));
  CHECK(world.host.Running("b"));
  world.Delete("u1");
  REQUIRE(world.UntilGone());
  CHECK(world.host.Reached("signal a 15"));
  CHECK_FALSE(world.host.Reached("kill a"));
  CHECK(world.api.phases == std::vector<std::string>{"Running", "Succeeded"});
  CHECK(world.api.log.back() == "delete");
  CHECK(world.Leftovers().empty());
  CHECK(agent.events.Has("Killing"));
}

TEST_CASE("a failed container is restarted, then held back", "[pod_worker]") {
  World world;
  world.max_restart_delay = std::chrono::seconds(300);
  world.host.short_runs["a"] = {3, 4};
  auto& agent = world.Boot();
  world.Create(NewPod("u1", {NewContainer("a")}));
  REQUIRE(agent.Until([&] { return WaitingReason(world, "a") == "CrashLoopBackOff"; }));
  CHECK(world.host.Starts("a") == 2);
  const kube::ContainerStatus& status = StatusOf(world, "a");
  CHECK(status.restartCount == 1);
  CHECK(status.lastState.terminated->exitCode == 4);
  CHECK(status.state.waiting->message == "back-off 10s restarting failed container=a pod=web_default(u1)");
  world.Delete("u1");
  REQUIRE(world.UntilGone());
  CHECK(world.api.phases.back() == "Failed");
  CHECK(world.Leftovers().empty());
}

TEST_CASE("the previous log of a container in back-off is that of its last run", "[pod_worker]") {
  World world;
  world.max_restart_delay = std::chrono::seconds(300);
  world.host.short_runs["a"] = {3, 4};
  auto& agent = world.Boot();
  world.Create(NewPod("u1", {NewContainer("a")}));
  REQUIRE(agent.Until([&] { return WaitingReason(world, "a") == "CrashLoopBackOff"; }));
  PodWorker* worker = agent.workers->FindByUid("u1");
  CHECK(*worker->LogPath("a", false) == agent.paths.ContainerLog(*worker->pod(), "a", 1));
  CHECK(*worker->LogPath("a", true) == agent.paths.ContainerLog(*worker->pod(), "a", 1));
}

TEST_CASE("restarts without a delay go on with the count", "[pod_worker]") {
  World world;
  world.host.short_runs["a"] = {1, 1, 1};
  auto& agent = world.Boot();
  world.Create(NewPod("u1", {NewContainer("a")}, "OnFailure"));
  REQUIRE(agent.Until([&] { return world.api.Phase("u1") == "Running" && world.host.Starts("a") == 4; }));
  REQUIRE(agent.Until([&] { return StatusOf(world, "a").restartCount == 3; }));
  REQUIRE(agent.Until([&] { return world.host.Count("remove container a") == 2; }));
}

TEST_CASE("a pod deleted during image pull never starts", "[pod_worker]") {
  World world;
  auto& agent = world.Boot();
  world.host.Stall("pull slow:1");
  world.Create(NewPod("u1", {NewContainer("a", "slow:1")}));
  REQUIRE(agent.Until([&] { return world.host.Reached("pull slow:1"); }));
  world.Delete("u1");
  REQUIRE(world.UntilGone());
  CHECK(world.host.Starts("a") == 0);
  CHECK(world.api.phases.back() == "Failed");
  CHECK(world.Leftovers().empty());
  world.host.Release("pull slow:1");
}

TEST_CASE("a pod whose pull waits behind others can be deleted meanwhile", "[pod_worker]") {
  World world;
  world.parallel_pulls = 1;
  auto& agent = world.Boot();
  world.host.Stall("pull slow:1");
  world.Create(NewPod("u2", {NewContainer("a", "slow:1")}));
  REQUIRE(agent.Until([&] { return world.host.Reached("pull slow:1"); }));
  world.Create(NewPod("u1", {NewContainer("b", "other:1")}));
  REQUIRE(agent.Until([&] { return agent.events.reasons.size() >= 2 && WaitingReason(world, "b") != ""; }));
  world.Delete("u1");
  REQUIRE(agent.Until([&] { return agent.workers->FindByUid("u1") == nullptr; }));
  CHECK(world.host.Starts("b") == 0);
}

TEST_CASE("a pod deleted during volume mount never starts", "[pod_worker]") {
  World world;
  auto& agent = world.Boot();
  agent.volumes.hold = true;
  world.Create(NewPod("u1", {NewContainer("a")}));
  REQUIRE(agent.Until([&] { return world.host.Reached("mount"); }));
  world.Delete("u1");
  REQUIRE(agent.Until([&] { return agent.workers->FindByUid("u1")->pod()->metadata.deletionTimestamp.has_value(); }));
  agent.volumes.release.Set();
  REQUIRE(world.UntilGone());
  CHECK_FALSE(world.host.Reached("create sandbox"));
  CHECK(world.Leftovers().empty());
}

TEST_CASE("a pod whose volumes fail says so, tries again, and can be deleted", "[pod_worker]") {
  World world;
  auto& agent = world.Boot();
  agent.volumes.error = absl::NotFoundError("configmap \"c\" not found");
  world.Create(NewPod("u1", {NewContainer("a")}));
  REQUIRE(agent.Until([&] { return agent.events.Has("FailedMount") && WaitingReason(world, "a") != ""; }));
  CHECK(WaitingReason(world, "a") == "ContainerCreating");
  SECTION("it recovers") {
    agent.volumes.error = absl::OkStatus();
    REQUIRE(world.UntilRunning("u1"));
  }
  SECTION("it is deleted") {
    world.Delete("u1");
    REQUIRE(world.UntilGone());
    CHECK(world.Leftovers().empty());
  }
}

TEST_CASE("a pod deleted while its sandbox is made never starts a container", "[pod_worker]") {
  World world;
  auto& agent = world.Boot();
  world.host.Stall("created sandbox");
  world.Create(NewPod("u1", {NewContainer("a")}));
  REQUIRE(agent.Until([&] { return world.host.Reached("created sandbox"); }));
  world.ForceDelete("u1");
  world.host.Release("created sandbox");
  REQUIRE(world.UntilGone());
  CHECK(world.host.Starts("a") == 0);
  CHECK(world.Leftovers().empty());
}

TEST_CASE("a pod removed while a container starts stops that container", "[pod_worker]") {
  World world;
  auto& agent = world.Boot();
  world.host.Stall("started a");
  world.Create(NewPod("u1", {NewContainer("a"), NewContainer("b")}));
  REQUIRE(agent.Until([&] { return world.host.Reached("started a"); }));
  world.ForceDelete("u1");
  bool seen = false;
  agent.Later([&] { seen = true; });
  REQUIRE(agent.Until([&] { return seen; }));
  world.host.Release("started a");
  REQUIRE(world.UntilGone());
  CHECK(world.host.Reached("signal a 15"));
  CHECK(world.host.Starts("b") == 0);
  CHECK(world.Leftovers().empty());
}

TEST_CASE("an exit that overtakes the end of its start keeps its code", "[pod_worker]") {
  World world;
  auto& agent = world.Boot();
  world.host.short_runs["a"] = {7};
  world.host.Stall("started a");
  world.Create(NewPod("u1", {NewContainer("a")}, "Never"));
  REQUIRE(agent.Until([&] { return world.host.Reached("started a"); }));
  bool seen = false;
  agent.Later([&] { seen = true; });
  REQUIRE(agent.Until([&] { return seen; }));
  world.host.Release("started a");
  REQUIRE(agent.Until([&] { return world.api.Phase("u1") == "Failed"; }));
  CHECK(StatusOf(world, "a").state.terminated->exitCode == 7);
  CHECK(world.host.Starts("a") == 1);
}

TEST_CASE("a sandbox that dies is made anew and its containers with it", "[pod_worker]") {
  World world;
  auto& agent = world.Boot();
  world.Create(NewPod("u1", {NewContainer("a")}));
  REQUIRE(world.UntilRunning("u1"));
  world.host.KillSandbox("u1");
  REQUIRE(agent.Until([&] { return world.host.Starts("a") == 2 && StatusOf(world, "a").restartCount == 1; }));
  CHECK(agent.events.Has("SandboxChanged"));
  // Not before the remains of the first are gone: they have the same names.
  CHECK_FALSE(agent.events.Has("FailedCreatePodSandBox"));
  CHECK(StatusOf(world, "a").lastState.terminated->reason == "ContainerStatusUnknown");
  CHECK(StatusOf(world, "a").lastState.terminated->exitCode == 137);
}

TEST_CASE("a new sandbox waits until the dead one is gone", "[pod_worker]") {
  World world;
  auto& agent = world.Boot();
  world.Create(NewPod("u1", {NewContainer("a")}));
  REQUIRE(world.UntilRunning("u1"));
  world.host.Stall("remove sandbox");
  world.host.KillSandbox("u1");
  REQUIRE(agent.Until([&] { return world.host.Reached("remove sandbox"); }));
  bool later = false;
  agent.Later([&] { agent.Later([&] { agent.Later([&] { later = true; }); }); });
  REQUIRE(agent.Until([&] { return later; }));
  world.host.Release("remove sandbox");
  REQUIRE(agent.Until([&] { return world.host.Starts("a") == 2; }));
  CHECK_FALSE(agent.events.Has("FailedCreatePodSandBox"));
}

TEST_CASE("a sandbox that dies while a container starts takes the container with it", "[pod_worker]") {
  World world;
  auto& agent = world.Boot();
  world.host.Stall("started a");
  world.Create(NewPod("u1", {NewContainer("a")}));
  REQUIRE(agent.Until([&] { return world.host.Reached("started a"); }));
  world.host.KillSandbox("u1");
  REQUIRE(agent.Until([&] { return agent.events.Has("SandboxChanged"); }));
  world.host.Release("started a");
  REQUIRE(agent.Until([&] { return world.host.Starts("a") == 2 && world.host.Running("a"); }));
  world.Delete("u1");
  REQUIRE(world.UntilGone());
  CHECK(world.Leftovers().empty());
}

TEST_CASE("a container that ignores its stop signal is killed after its grace", "[pod_worker]") {
  World world;
  auto& agent = world.Boot();
  world.host.stubborn = {"a"};
  world.Create(NewPod("u1", {NewContainer("a")}));
  REQUIRE(world.UntilRunning("u1"));
  world.Delete("u1", 600);
  REQUIRE(agent.Until([&] { return world.host.Reached("signal a 15"); }));
  CHECK_FALSE(world.host.Reached("kill a"));
  world.Delete("u1", 1);  // a second delete shortens it
  REQUIRE(world.UntilGone());
  CHECK(world.host.Reached("kill a"));
  CHECK(world.api.phases.back() == "Failed");
  CHECK(world.Leftovers().empty());
}

TEST_CASE("the final delete waits until the terminal status is stored", "[pod_worker]") {
  World world;
  auto& agent = world.Boot();
  world.Create(NewPod("u1", {NewContainer("a")}));
  REQUIRE(world.UntilRunning("u1"));
  world.api.refuse_writes = true;
  world.Delete("u1");
  REQUIRE(agent.Until([&] { return world.host.Reached("unmounted"); }));
  CHECK_FALSE(world.host.Reached("delete"));
  SECTION("the outage ends") { world.api.refuse_writes = false; }
  SECTION("the agent ends first") {
    world.Crash();
    world.api.refuse_writes = false;
    world.Boot();
  }
  REQUIRE(world.UntilGone());
  CHECK(world.api.log == std::vector<std::string>{"write Running", "write Succeeded", "delete"});
  CHECK(world.Leftovers().empty());
}

TEST_CASE("a refused pod is Failed and nothing of it is made", "[pod_worker]") {
  World world;
  auto& agent = world.Boot();
  agent.refuse = [](const kube::Pod&) { return Refusal{"OutOfcpu", "no room"}; };
  world.Create(NewPod("u1", {NewContainer("a")}));
  REQUIRE(agent.Until([&] { return world.api.Phase("u1") == "Failed"; }));
  CHECK(world.api.Status("u1").reason == "OutOfcpu");
  CHECK_FALSE(world.host.Reached("create sandbox"));
  CHECK(agent.objects.acquired.empty());
  world.Delete("u1");
  REQUIRE(world.UntilGone());
  CHECK(world.Leftovers().empty());
}

TEST_CASE("sidecars start before the others and end after them, last first", "[pod_worker]") {
  World world;
  world.Boot();
  kube::Pod pod = NewPod("u1", {NewContainer("a")});
  pod.spec.initContainers = {Sidecar("s1"), NewContainer("i"), Sidecar("s2")};
  world.host.short_runs["i"] = {0};
  SECTION("plain") {}
  SECTION("with a deadline") { pod.spec.activeDeadlineSeconds = 3600; }
  world.Create(pod);
  REQUIRE(world.UntilRunning("u1"));
  CHECK(Position(world, "start s1") < Position(world, "start i"));
  CHECK(Position(world, "start i") < Position(world, "start s2"));
  CHECK(Position(world, "start s2") < Position(world, "start a"));
  world.Delete("u1");
  REQUIRE(world.UntilGone());
  CHECK(Position(world, "signal a 15") < Position(world, "signal s2 15"));
  CHECK(Position(world, "signal s2 15") < Position(world, "signal s1 15"));
}

TEST_CASE("the order of sidecars at the end survives an update of the pod", "[pod_worker]") {
  World world;
  auto& agent = world.Boot();
  kube::Pod pod = NewPod("u1", {NewContainer("a")});
  pod.spec.initContainers = {Sidecar("s1"), Sidecar("s2")};
  world.host.stubborn = {"s2"};
  world.Create(pod);
  REQUIRE(world.UntilRunning("u1"));
  world.Delete("u1", 600);
  REQUIRE(agent.Until([&] { return world.host.Reached("signal s2 15"); }));
  world.Delete("u1", 1);  // the worker has another object of the pod from here on
  REQUIRE(world.UntilGone());
  CHECK(Position(world, "kill s2") < Position(world, "signal s1 15"));
  CHECK(world.Leftovers().empty());
}

TEST_CASE("a pod past its active deadline fails with that reason", "[pod_worker]") {
  World world;
  auto& agent = world.Boot();
  kube::Pod pod = NewPod("u1", {NewContainer("a")});
  pod.spec.activeDeadlineSeconds = 1;
  world.Create(pod);
  SECTION("at once") {}
  SECTION("and its status is stored by the next agent only") {
    REQUIRE(world.UntilRunning("u1"));
    world.api.refuse_writes = true;
    REQUIRE(agent.Until([&] { return world.host.Reached("unmounted"); }));
    world.Crash();
    world.api.refuse_writes = false;
    world.Boot();
  }
  REQUIRE(world.agent->Until([&] { return world.api.Phase("u1") == "Failed"; }));
  CHECK(world.api.Status("u1").reason == "DeadlineExceeded");
  CHECK(world.host.Starts("a") == 1);
}

TEST_CASE("a pod forced away and created anew under its name are two pods", "[pod_worker]") {
  World world;
  auto& agent = world.Boot();
  world.host.stubborn = {"a"};
  world.Create(NewPod("u1", {NewContainer("a")}));
  REQUIRE(world.UntilRunning("u1"));
  world.Delete("u1", 600);
  REQUIRE(agent.Until([&] { return world.host.Reached("signal a 15"); }));
  world.ForceDelete("u1");
  world.Create(NewPod("u2", {NewContainer("b")}));
  REQUIRE(world.UntilRunning("u2"));
  CHECK(agent.workers->FindByName("default", "web")->pod()->metadata.uid == "u2");
  world.host.Exit("a", 0);
  REQUIRE(agent.Until([&] { return agent.workers->FindByUid("u1") == nullptr; }));
  CHECK(world.host.Running("b"));
  CHECK(world.api.Phase("u2") == "Running");
}

TEST_CASE("a pod that others have ended is stopped with its grace", "[pod_worker]") {
  World world;
  auto& agent = world.Boot();
  world.Create(NewPod("u1", {NewContainer("a")}));
  REQUIRE(world.UntilRunning("u1"));
  kube::Pod evicted = world.api.pods.at("u1");
  evicted.status.phase = "Failed";
  evicted.status.reason = "NodeLost";
  SECTION("while the agent runs") {
    auto changed = world.api.Put(evicted);
    agent.Later([&agent, changed] { agent.workers->Changed({changed, {}}); });
  }
  SECTION("while no agent runs") {
    world.Crash();
    world.api.Put(evicted);
    world.Boot();
  }
  REQUIRE(world.agent->Until([&] { return world.host.sandboxes() == 0; }));
  CHECK(world.host.Reached("signal a 15"));
  CHECK(world.api.Status("u1").reason == "NodeLost");
  CHECK(world.api.Phase("u1") == "Failed");
  CHECK(world.api.phases == std::vector<std::string>{"Running", "Failed"});
  REQUIRE(world.agent->Until([&] { return world.agent->objects.acquired.empty(); }));
}

TEST_CASE("what cannot be executed ends its run, without a second try under Never", "[pod_worker]") {
  World world;
  auto& agent = world.Boot();
  world.host.start_errors["a"] = {ReasonError(absl::StatusCode::kNotFound, "StartError", "no such file")};
  world.Create(NewPod("u1", {NewContainer("a")}, "Never"));
  REQUIRE(agent.Until([&] { return world.api.Phase("u1") == "Failed"; }));
  CHECK(StatusOf(world, "a").state.terminated->reason == "StartError");
  CHECK(StatusOf(world, "a").state.terminated->exitCode == 128);
}

TEST_CASE("a start that fails for the host's reasons is tried again under the same count", "[pod_worker]") {
  World world;
  auto& agent = world.Boot();
  world.host.start_errors["a"] = {ReasonError(absl::StatusCode::kInternal, "CreateContainerError", "no space")};
  world.Create(NewPod("u1", {NewContainer("a")}, "Never"));
  REQUIRE(agent.Until([&] { return WaitingReason(world, "a") == "CreateContainerError"; }));
  REQUIRE(world.UntilRunning("u1"));
  CHECK(StatusOf(world, "a").restartCount == 0);
}

TEST_CASE("an image that cannot be pulled is an error, then a back-off", "[pod_worker]") {
  World world;
  auto& agent = world.Boot();
  world.Create(NewPod("u1", {NewContainer("a", "missing:1"), NewContainer("b")}));
  REQUIRE(agent.Until([&] { return WaitingReason(world, "a") == "ErrImagePull"; }));
  CHECK(world.host.Running("b"));
  REQUIRE(agent.Until([&] { return WaitingReason(world, "a") == "ImagePullBackOff"; }));
  CHECK(world.host.Count("pull missing:1") == 1);
}

TEST_CASE("pods are admitted beside those that the former agent left, oldest first", "[pod_worker]") {
  World world;
  world.Boot();
  world.Create(NewPod("u2", {NewContainer("a")}));
  REQUIRE(world.UntilRunning("u2"));
  world.Crash();
  world.api.Put(NewPod("u1", {NewContainer("b")}));
  auto& agent = world.Boot();
  REQUIRE(world.UntilRunning("u1"));
  CHECK(agent.admitted_beside == std::vector<std::size_t>{1});
}

TEST_CASE("a pod that has ended needs its objects no more", "[pod_worker]") {
  World world;
  auto& agent = world.Boot();
  world.host.short_runs["a"] = {0};
  world.Create(NewPod("u1", {NewContainer("a")}, "Never"));
  REQUIRE(agent.Until([&] { return world.api.Phase("u1") == "Succeeded" && world.host.Reached("unmounted"); }));
  REQUIRE(agent.Until([&] { return agent.objects.acquired.empty(); }));
}

}  // namespace burstlet::provider
