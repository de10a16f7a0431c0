// One agent's pod workers over fakes, and the host and API server that outlive it.
//
// `World` is the machine: `Boot` makes an agent (after the former one is gone), `Crash` takes it away as kill -9 does.
#pragma once

#include <catch2/catch.hpp>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "metrics/catalog.h"
#include "provider/pod_recovery.h"
#include "provider/pod_workers.h"
#include "test/kube/fakes/loop_runner.h"
#include "test/provider/fakes/fake_sources.h"

namespace burstlet::provider::test {

inline kube::Container NewContainer(const std::string& name, const std::string& image = "app:1") {
  kube::Container container;
  container.name = name;
  container.image = image;
  container.imagePullPolicy = "IfNotPresent";
  return container;
}

inline kube::Pod NewPod(const std::string& uid, std::vector<kube::Container> containers,
                        const std::string& policy = "Always") {
  kube::Pod pod;
  pod.metadata.name = "web";
  pod.metadata.namespace_ = "default";
  pod.metadata.uid = uid;
  pod.metadata.generation = 1;
  pod.metadata.creationTimestamp = kube::Time{WallNow()};
  pod.spec.restartPolicy = policy;
  pod.spec.dnsPolicy = "Default";
  pod.spec.terminationGracePeriodSeconds = 30;
  pod.spec.containers = std::move(containers);
  pod.status.phase = "Pending";
  return pod;
}

/// One run of the agent.
class FakeAgent {
 public:
  FakeAgent(FakeHost& host, FakeApi& api, std::set<std::string>& volumes_on_disk, const std::string& root,
            std::chrono::seconds max_restart_delay, unsigned parallel_pulls)
      : volumes(host, loop, volumes_on_disk),
        host_(host),
        api_(api),
        pool_(std::make_unique<kube::WorkerPool>(4)),
        tasks_(loop),
        driver_(host),
        images(host),
        sink_(host, api),
        image_manager_(loop, images, objects, events, metrics_, parallel_pulls),
        statuses(NewStatusManager(loop, tasks_, sink_)),
        paths{root, root + "/logs"} {
    node_.name = "node";
    node_.addresses = {"192.0.2.1"};
    node_.host_resolv_conf = "/dev/null";
    PodWorkerContext context{.loop = loop,
                             .pool = *pool_,
                             .tasks = tasks_,
                             .driver = driver_,
                             .images = image_manager_,
                             .volumes = volumes,
                             .objects = objects,
                             .statuses = *statuses,
                             .events = events,
                             .node = node_,
                             .paths = paths,
                             .metrics = metrics_,
                             .translate = {},
                             .max_restart_delay = max_restart_delay,
                             .services = {},
                             .started = {},
                             .done = {}};
    workers.emplace(std::move(context), [this](const kube::Pod& pod, std::vector<PodPtr> active) {
      admitted_beside.push_back(active.size());
      if (admit) return admit(pod, active);
      return refuse ? std::optional<Refusal>(refuse(pod)) : std::nullopt;
    });
    sink_.changed = [this](PodPtr pod) { Later([this, pod] { workers->Changed({pod, {}}); }); };
    sink_.deleted = [this](const std::string& uid) { Later([this, uid] { workers->Deleted(uid); }); };
  }
  ~FakeAgent() {
    host_.Kill();  // whatever is stalled comes back without effect
    pool_.reset();
  }

  /// What the first LIST does, after what was found on the host.
  void Sync() {
    auto recovered = GatherRecovered(driver_, paths);
    REQUIRE(recovered.ok());
    workers->Recover(*std::move(recovered));
    std::vector<SourcePod> pods;
    for (const auto& [uid, pod] : api_.pods) pods.push_back({std::make_shared<const kube::Pod>(pod), {}});
    loop.Post([this, pods] { workers->Replace(pods); });
  }
  /// Runs the loop until the condition holds.
  [[nodiscard]] bool Until(std::function<bool()> condition) {
    return kube::test::RunTask(loop, kube::test::Until(loop, std::move(condition)));
  }
  void Later(std::function<void()> fn) {
    loop.Post([this, fn = std::move(fn)] {
      if (!host_.agent_dead()) fn();
    });
  }

  kube::TaskGroup& tasks() { return tasks_; }
  /// Statuses go there from now on.
  void SendStatusesTo(StatusSink& other) { sink_.other = &other; }

  kube::Loop loop;
  FakeObjectSource objects;
  FakeEvents events;
  FakeVolumes volumes;

 private:
  FakeHost& host_;
  FakeApi& api_;
  Metrics metrics_;
  NodeInfo node_;
  std::unique_ptr<kube::WorkerPool> pool_;
  kube::TaskGroup tasks_;
  FakeSandboxDriver driver_;

 public:
  FakeImages images;

 private:
  FakeStatusSink sink_;
  ImageManager image_manager_;

 public:
  std::unique_ptr<StatusManager> statuses;
  const AgentPaths paths;
  std::function<Refusal(const kube::Pod& pod)> refuse;
  std::function<std::optional<Refusal>(const kube::Pod& pod, const std::vector<PodPtr>& active)> admit;
  std::vector<std::size_t> admitted_beside;
  std::optional<PodWorkers> workers;
};

class World {
 public:
  World() {
    char path[] = "/tmp/burstlet-worker-XXXXXX";
    REQUIRE(mkdtemp(path) != nullptr);
    root = path;
    std::filesystem::create_directories(root + "/pods");
    std::filesystem::create_directories(root + "/logs");
  }
  ~World() {
    agent.reset();
    std::filesystem::remove_all(root);
  }

  FakeAgent& Boot() {
    REQUIRE(agent == nullptr);
    host.Revive();
    agent = std::make_unique<FakeAgent>(host, api, volumes_on_disk, root, max_restart_delay, parallel_pulls);
    agent->Sync();
    return *agent;
  }
  void Crash() {
    host.Kill();
    agent.reset();
  }
  /// kubectl apply.
  void Create(kube::Pod pod) {
    auto created = api.Put(std::move(pod));
    agent->Later([this, created] { agent->workers->Changed({created, {}}); });
  }
  /// kubectl patch.
  void Change(const std::string& uid, const std::function<void(kube::Pod& pod)>& change) {
    kube::Pod pod = api.pods.at(uid);
    change(pod);
    ++pod.metadata.generation;
    auto changed = api.Put(std::move(pod));
    if (agent != nullptr) agent->Later([this, changed] { agent->workers->Changed({changed, {}}); });
  }
  /// kubectl delete: the object stays until the node says that it is done.
  void Delete(const std::string& uid, std::int64_t grace = 30) {
    kube::Pod pod = api.pods.at(uid);
    pod.metadata.deletionTimestamp = kube::Time{WallNow() + grace * 1'000'000'000};
    pod.metadata.deletionGracePeriodSeconds = grace;
    auto changed = api.Put(std::move(pod));
    if (agent != nullptr) agent->Later([this, changed] { agent->workers->Changed({changed, {}}); });
  }
  /// kubectl delete --force: it is gone from the API server at once.
  void ForceDelete(const std::string& uid) {
    api.pods.erase(uid);
    if (agent != nullptr) agent->Later([this, uid] { agent->workers->Deleted(uid); });
  }
  [[nodiscard]] bool UntilRunning(const std::string& uid) {
    return agent->Until([this, uid] { return api.Phase(uid) == "Running"; });
  }
  [[nodiscard]] bool UntilGone() {
    return agent->Until([this] { return agent->workers->empty(); });
  }
  /// Files of pods that are left below the root.
  std::vector<std::string> Leftovers() const {
    std::vector<std::string> left;
    for (const char* directory : {"/pods", "/logs"}) {
      for (const auto& entry : std::filesystem::directory_iterator(root + directory)) {
        left.push_back(entry.path().string());
      }
    }
    for (const std::string& uid : volumes_on_disk) left.push_back("volumes of " + uid);
    if (host.sandboxes() > 0) left.push_back("a sandbox");
    return left;
  }

  std::string root;
  FakeHost host;
  FakeApi api;
  std::set<std::string> volumes_on_disk;
  std::chrono::seconds max_restart_delay{0};
  unsigned parallel_pulls = 4;
  std::unique_ptr<FakeAgent> agent;
};

}  // namespace burstlet::provider::test
