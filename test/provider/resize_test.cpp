// In-place resize: which cgroups are written in which order, who gets what becomes free, and what the world is told.
#include "provider/resize.h"

#include <catch2/catch.hpp>

#include "kube/json_codec.h"
#include "provider/allocation.h"
#include "provider/translate/resources.h"
#include "test/provider/fakes/fake_agent.h"

namespace burstlet::provider {
namespace {

using test::NewContainer;
using test::NewPod;
using test::World;

kube::ResourceList List(const std::string& cpu, const std::string& memory) {
  kube::ResourceList list;
  if (!cpu.empty()) list["cpu"] = kube::Quantity{cpu};
  if (!memory.empty()) list["memory"] = kube::Quantity{memory};
  return list;
}

/// Requests that are also the limits.
kube::Container Sized(const std::string& name, const std::string& cpu, const std::string& memory) {
  kube::Container container = NewContainer(name);
  container.resources = {List(cpu, memory), List(cpu, memory), {}};
  return container;
}

struct Running {
  kube::Pod pod;
  PodRuntimeView view;
  NodeInfo node;
};

/// The pod as it runs with its own resources.
Running Start(kube::Pod pod) {
  Running running{std::move(pod), {}, {}};
  running.view.sandbox_ready = true;
  running.view.applied = AppliedTo(running.pod, running.node);
  for (const auto* list : {&running.pod.spec.initContainers, &running.pod.spec.containers}) {
    for (const kube::Container& container : *list) {
      ContainerInstance run;
      run.id = "id-" + container.name;
      run.resources = AppliedRequirements(running.pod, container);
      ContainerView& view = running.view.containers[container.name];
      view.kind = list == &running.pod.spec.containers ? ContainerKind::kApp : ContainerKind::kInit;
      view.instances.push_back(run);
    }
  }
  return running;
}

ResizePlan Plan(const Running& running, const std::set<std::string>& stopping = {}) {
  return PlanResize(running.pod, running.view, running.node, stopping);
}

/// "memory a 64, memory pod 96, cpu a 100/10000": one step a word.
std::vector<std::string> Steps(const Running& running) {
  std::vector<std::string> text;
  for (const ResizeStep& step : ResizeSteps(Plan(running), running.pod, running.view, running.node)) {
    const std::string who = step.id.empty() ? "pod" : step.container;
    const sandbox::Resources& r = step.resources;
    if (step.kind == ResizeStep::Kind::kMemory) {
      text.push_back(absl::StrCat("memory ", who, " ", r.memory_limit_bytes.value_or(-1) >> 20));
    } else {
      text.push_back(absl::StrCat("cpu ", who, " ", r.cpu_shares ? absl::StrCat(*r.cpu_shares) : "-", " ",
                                  r.cpu_quota_us ? absl::StrCat(*r.cpu_quota_us) : "-"));
    }
  }
  return text;
}

using Texts = std::vector<std::string>;

}  // namespace

TEST_CASE("a pod that runs as allocated has nothing to resize", "[resize]") {
  Running running = Start(NewPod("u1", {Sized("a", "100m", "64Mi"), NewContainer("b")}));
  CHECK(Plan(running).empty());
  CHECK_FALSE(ResizeInProgress(running.pod, running.view));
  // Other words for the same amount.
  running.pod.spec.containers[0].resources.limits["cpu"] = kube::Quantity{"0.1"};
  CHECK(Plan(running).empty());
}

TEST_CASE("a pod grows before its containers and shrinks after them", "[resize]") {
  Running running = Start(NewPod("u1", {Sized("a", "100m", "64Mi"), Sized("b", "200m", "64Mi")}));
  running.pod.spec.containers[0] = Sized("a", "300m", "128Mi");
  CHECK(ResizeInProgress(running.pod, running.view));
  CHECK(Steps(running) ==
        Texts{"memory pod 192", "memory a 128", "cpu pod - 50000", "cpu pod 512 -", "cpu a 307 30000"});
  running.pod.spec.containers[0] = Sized("a", "50m", "32Mi");
  CHECK(Steps(running) == Texts{"memory a 32", "memory pod 96", "cpu a 51 5000", "cpu pod 256 -", "cpu pod - 25000"});
}

TEST_CASE("what shrinks makes room for what grows", "[resize]") {
  Running running = Start(NewPod("u1", {Sized("a", "100m", "64Mi"), Sized("b", "200m", "64Mi")}));
  running.pod.spec.containers[0] = Sized("a", "200m", "96Mi");
  running.pod.spec.containers[1] = Sized("b", "100m", "32Mi");
  CHECK(Steps(running) == Texts{"memory b 32", "memory a 96", "cpu b 102 10000", "cpu a 204 20000"});
}

TEST_CASE("a limit that appears is set on the pod after its containers have theirs", "[resize]") {
  kube::Container open = NewContainer("a");
  open.resources.requests = List("100m", "32Mi");
  Running running = Start(NewPod("u1", {open}));
  REQUIRE(running.view.applied.memoryLimit == 0);
  running.pod.spec.containers[0].resources.limits = List("200m", "64Mi");
  CHECK(Steps(running) == Texts{"memory a 64", "memory pod 64", "cpu a 102 20000", "cpu pod - 20000"});
}

TEST_CASE("a container whose policy asks for it is restarted, and nothing else of it is touched", "[resize]") {
  kube::Container container = Sized("a", "100m", "64Mi");
  container.resizePolicy = {{"cpu", "NotRequired"}, {"memory", "RestartContainer"}};
  Running running = Start(NewPod("u1", {container}));
  running.pod.spec.containers[0].resources.limits["cpu"] = kube::Quantity{"200m"};
  CHECK(Plan(running).restart.empty());
  running.pod.spec.containers[0].resources.limits["memory"] = kube::Quantity{"128Mi"};
  const ResizePlan plan = Plan(running);
  CHECK(plan.restart == Texts{"a"});
  CHECK(plan.memory.empty());
  CHECK(plan.cpu.empty());
  CHECK(plan.pod);
  // On its way down already: only the pod is left.
  CHECK(Plan(running, {"id-a"}).restart.empty());
}

TEST_CASE("resources of the pod itself reach containers that have none of their own", "[resize]") {
  kube::Pod pod = NewPod("u1", {NewContainer("a"), Sized("b", "100m", "32Mi")});
  pod.spec.resources = kube::ResourceRequirements{List("400m", "128Mi"), List("200m", "64Mi"), {}};
  Running running = Start(std::move(pod));
  running.pod.spec.resources->limits = List("800m", "256Mi");
  CHECK(ResizeInProgress(running.pod, running.view));
  CHECK(Steps(running) == Texts{"memory pod 256", "memory a 256", "cpu pod - 80000", "cpu a 819 80000"});
}

TEST_CASE("a sidecar is resized once it has started, an init container while it runs", "[resize]") {
  kube::Pod pod = NewPod("u1", {Sized("a", "100m", "64Mi")});
  kube::Container sidecar = Sized("s", "100m", "64Mi");
  sidecar.restartPolicy = "Always";
  sidecar.startupProbe = kube::Probe{};
  pod.spec.initContainers = {sidecar, Sized("i", "100m", "64Mi")};
  Running running = Start(std::move(pod));
  running.pod.spec.initContainers[0].resources.limits["memory"] = kube::Quantity{"80Mi"};
  CHECK(Plan(running).memory.empty());
  running.view.containers["s"].startup_passed = true;
  REQUIRE(Plan(running).memory.size() == 1);
  running.pod.spec.initContainers[1].resources.limits["memory"] = kube::Quantity{"80Mi"};
  CHECK(Plan(running).memory.size() == 2);
}

TEST_CASE("a memory limit below what is in use is refused before anything is written", "[resize]") {
  Running running = Start(NewPod("u1", {Sized("a", "100m", "64Mi")}));
  running.pod.spec.containers[0] = Sized("a", "100m", "1Mi");
  const ResizePlan plan = Plan(running);
  REQUIRE(LowersMemory(plan, running.view));
  sandbox::SandboxStats stats;
  stats.pod.memory_usage_bytes = 3000000;
  sandbox::ContainerStats container;
  container.id = "id-a";
  container.usage.memory_usage_bytes = 2000000;
  stats.containers = {container};
  CHECK(CheckMemoryInUse(plan, running.view, stats).message() ==
        "cannot decrease memory limits: [attempting to set pod memory limit (1048576) below current usage (3000000), "
        "attempting to set container \"a\" memory limit (1048576) below current usage (2000000)]");
  stats.pod.memory_usage_bytes = 1000;
  stats.containers[0].usage.memory_usage_bytes = 1000;
  CHECK(CheckMemoryInUse(plan, running.view, stats).ok());
  running.pod.spec.containers[0] = Sized("a", "100m", "128Mi");
  CHECK_FALSE(LowersMemory(Plan(running), running.view));
}

TEST_CASE("an allocation stands in for what is wanted", "[resize]") {
  auto desired = std::make_shared<const kube::Pod>(NewPod("u1", {Sized("a", "200m", "64Mi")}));
  const kube::Pod allocated = NewPod("u1", {Sized("a", "100m", "64Mi")});
  CHECK(WithAllocation(desired, *desired) == desired);
  const auto both = WithAllocation(desired, allocated);
  CHECK(both->spec.containers[0].resources.requests.at("cpu").text == "100m");
  CHECK(IncreasesRequests(allocated, *desired));
  CHECK_FALSE(IncreasesRequests(*desired, allocated));
  CHECK(ResizeMessage("Pod resize OutOfcpu", allocated, 2, "no \"cpu\"") ==
        R"(Pod resize OutOfcpu: {"containers":[{"name":"a","resources":{"limits":{"cpu":"100m","memory":"64Mi"},)"
        R"("requests":{"cpu":"100m","memory":"64Mi"}}}],"generation":2,"error":"no \"cpu\""})");
}

TEST_CASE("resizes get what becomes free by need, priority, class and age", "[resize]") {
  std::vector<PendingResize> pending = {{"new", true, 0, false, {}},
                                        {"old", true, 0, false, kube::Time{1}},
                                        {"older", true, 0, false, kube::Time{0}},
                                        {"guaranteed", true, 0, true, kube::Time{5}},
                                        {"important", true, 10, false, kube::Time{9}},
                                        {"less", false, 0, false, kube::Time{9}}};
  SortPending(pending);
  Texts order;
  for (const PendingResize& one : pending) order.push_back(one.uid);
  CHECK(order == Texts{"less", "important", "guaranteed", "older", "old", "new"});
}

TEST_CASE("a pod holds what it is to give back until its status tells that it has", "[resize]") {
  kube::Pod pod = NewPod("u1", {Sized("a", "100m", "64Mi")});
  CHECK(MilliValueOf(PodRequestsInUse(pod), "cpu") == 100);
  kube::ContainerStatus status;
  status.name = "a";
  status.allocatedResources = List("100m", "64Mi");
  status.resources = kube::ResourceRequirements{{}, List("300m", "96Mi"), {}};
  pod.status.containerStatuses = {status};
  CHECK(MilliValueOf(PodRequestsInUse(pod), "cpu") == 300);
  CHECK(ValueOf(PodRequestsInUse(pod), "memory") == 96 << 20);
  // The pod's own figures, once there are some, are the whole sum.
  pod.status.allocatedResources = List("100m", "64Mi");
  pod.status.resources = kube::ResourceRequirements{{}, List("200m", "64Mi"), {}};
  CHECK(MilliValueOf(PodRequestsInUse(pod), "cpu") == 200);
}

namespace {

const kube::PodCondition* Condition(const World& world, const std::string& uid, const std::string& type) {
  for (const kube::PodCondition& condition : world.api.Status(uid).conditions) {
    if (condition.type == type) return &condition;
  }
  return nullptr;
}

/// kubectl patch --subresource resize.
void Resize(World& world, const std::string& uid, const kube::Container& container) {
  kube::Pod pod = world.api.pods.at(uid);
  pod.metadata.generation += 1;
  pod.spec.containers[0].resources = container.resources;
  auto changed = world.api.Put(std::move(pod));
  world.agent->Later([&world, changed] { world.agent->workers->Changed({changed, {}}); });
}

std::string ShownCpu(const World& world, const std::string& uid) {
  const auto& statuses = world.api.Status(uid).containerStatuses;
  return statuses.empty() || !statuses[0].resources ? "" : statuses[0].resources->requests.at("cpu").text;
}

}  // namespace

TEST_CASE("a resize is allocated, applied and told", "[resize]") {
  World world;
  auto& agent = world.Boot();
  world.Create(NewPod("u1", {Sized("a", "100m", "64Mi")}));
  REQUIRE(world.UntilRunning("u1"));
  Resize(world, "u1", Sized("a", "200m", "128Mi"));
  REQUIRE(agent.Until([&] { return ShownCpu(world, "u1") == "200m"; }));
  REQUIRE(agent.Until([&] { return Condition(world, "u1", "PodResizeInProgress") == nullptr; }));
  CHECK(world.api.Status("u1").observedGeneration == 2);
  CHECK(world.host.Reached("resize pod memory 134217728"));
  CHECK(world.host.Reached("resize a memory 134217728"));
  CHECK(world.host.Reached("resize a cpu 204"));
  CHECK(agent.events.Has("ResizeStarted"));
  CHECK(agent.events.Has("ResizeCompleted"));
  CHECK(world.host.Starts("a") == 1);
}

TEST_CASE("a resize that does not fit waits for another pod's end", "[resize]") {
  World world;
  auto& agent = world.Boot();
  agent.admit = [](const kube::Pod& pod, const std::vector<test::PodPtr>& active) -> std::optional<Refusal> {
    std::int64_t used = MilliValueOf(PodRequests(pod), "cpu");
    for (const auto& other : active) used += MilliValueOf(PodRequestsInUse(*other), "cpu");
    if (used <= 400) return std::nullopt;
    return Refusal{"OutOfcpu", "Node didn't have enough resource: cpu"};
  };
  world.Create(NewPod("u1", {Sized("a", "100m", "64Mi")}));
  kube::Pod other = NewPod("u2", {Sized("b", "200m", "64Mi")});
  other.metadata.name = "other";
  world.Create(other);
  REQUIRE(world.UntilRunning("u1"));
  REQUIRE(world.UntilRunning("u2"));
  Resize(world, "u1", Sized("a", "300m", "64Mi"));
  REQUIRE(agent.Until([&] { return Condition(world, "u1", "PodResizePending") != nullptr; }));
  const kube::PodCondition pending = *Condition(world, "u1", "PodResizePending");
  CHECK(pending.reason == "Deferred");
  CHECK(pending.message == "Node didn't have enough resource: cpu");
  CHECK(pending.observedGeneration == 2);
  CHECK(agent.events.Has("ResizeDeferred"));
  CHECK(ShownCpu(world, "u1") == "100m");

  SECTION("and is done then") {
    world.Delete("u2");
    REQUIRE(agent.Until([&] { return ShownCpu(world, "u1") == "300m"; }));
    CHECK(Condition(world, "u1", "PodResizePending") == nullptr);
  }
  SECTION("also when another pod shrinks") {
    Resize(world, "u2", Sized("b", "100m", "64Mi"));
    REQUIRE(agent.Until([&] { return ShownCpu(world, "u1") == "300m"; }));
  }
  SECTION("or is taken back") {
    Resize(world, "u1", Sized("a", "100m", "64Mi"));
    REQUIRE(agent.Until([&] { return Condition(world, "u1", "PodResizePending") == nullptr; }));
    CHECK_FALSE(agent.events.Has("ResizeStarted"));
  }
  SECTION("and a new agent goes on with it") {
    world.Crash();
    auto& next = world.Boot();
    next.admit = [](const kube::Pod& pod, const auto&) -> std::optional<Refusal> {
      if (MilliValueOf(PodRequests(pod), "cpu") <= 200) return std::nullopt;
      return Refusal{"OutOfcpu", "still no room"};
    };
    REQUIRE(next.Until([&] {
      const auto* now = Condition(world, "u1", "PodResizePending");
      return now != nullptr && now->message == "still no room";
    }));
    CHECK(ShownCpu(world, "u1") == "100m");
    next.admit = {};
    world.Delete("u2");
    REQUIRE(next.Until([&] { return ShownCpu(world, "u1") == "300m"; }));
    CHECK(world.host.Starts("a") == 1);
  }
}

TEST_CASE("a refused write shows as an error of the resize, and going back ends it", "[resize]") {
  World world;
  auto& agent = world.Boot();
  world.Create(NewPod("u1", {Sized("a", "100m", "64Mi")}));
  REQUIRE(world.UntilRunning("u1"));
  world.host.memory_in_use = 32 << 20;
  Resize(world, "u1", Sized("a", "100m", "16Mi"));
  REQUIRE(agent.Until([&] {
    const auto* condition = Condition(world, "u1", "PodResizeInProgress");
    return condition != nullptr && condition->reason == "Error";
  }));
  CHECK(Condition(world, "u1", "PodResizeInProgress")->message.find("below current usage (33554432)") !=
        std::string::npos);
  CHECK(agent.events.Has("ResizeError"));
  CHECK(world.api.Status("u1").containerStatuses[0].resources->limits.at("memory").text == "64Mi");
  CHECK(world.api.Status("u1").containerStatuses[0].allocatedResources.at("memory").text == "16Mi");
  Resize(world, "u1", Sized("a", "100m", "64Mi"));
  REQUIRE(agent.Until([&] { return Condition(world, "u1", "PodResizeInProgress") == nullptr; }));
}

TEST_CASE("a resize by restart runs the container again whatever it exits with", "[resize]") {
  World world;
  world.max_restart_delay = std::chrono::seconds(300);
  auto& agent = world.Boot();
  kube::Container container = Sized("a", "100m", "64Mi");
  container.resizePolicy = {{"memory", "RestartContainer"}};
  world.Create(NewPod("u1", {container, NewContainer("b")}, "OnFailure"));
  REQUIRE(world.UntilRunning("u1"));
  Resize(world, "u1", Sized("a", "100m", "128Mi"));
  REQUIRE(agent.Until([&] { return world.host.Starts("a") == 2; }));
  REQUIRE(agent.Until([&] { return Condition(world, "u1", "PodResizeInProgress") == nullptr; }));
  const kube::ContainerStatus& status = world.api.Status("u1").containerStatuses[0];
  CHECK(status.restartCount == 1);
  CHECK(status.resources->limits.at("memory").text == "128Mi");
  CHECK(world.host.Starts("b") == 1);
  CHECK_FALSE(world.host.Reached("resize a memory 134217728"));
}

TEST_CASE("an agent that dies at any step of a resize leaves it to the next one", "[resize]") {
  for (int step = 1; step < 8; ++step) {
    World world;
    world.Boot();
    world.Create(NewPod("u1", {Sized("a", "100m", "64Mi")}));
    REQUIRE(world.UntilRunning("u1"));
    bool dead = false;
    world.host.DieAt(step, [&] { dead = true; });
    Resize(world, "u1", Sized("a", "200m", "128Mi"));
    // Either the agent dies on the way, or the resize has fewer steps.
    REQUIRE(world.agent->Until([&] { return dead || (ShownCpu(world, "u1") == "200m" && step > 5); }));
    INFO("died at " << world.host.died_at());
    world.Crash();
    auto& next = world.Boot();
    REQUIRE(next.Until(
        [&] { return ShownCpu(world, "u1") == "200m" && Condition(world, "u1", "PodResizeInProgress") == nullptr; }));
    CHECK(world.host.Starts("a") == 1);
    CHECK(world.host.pod_memory == 128 << 20);
  }
}

}  // namespace burstlet::provider
