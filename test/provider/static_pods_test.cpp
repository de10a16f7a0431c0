// Static pods: what a file becomes, files as they come and go, workers and mirrors.
#include "provider/static_pods.h"

#include <catch2/catch.hpp>

#include <filesystem>
#include <fstream>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "kube/json.h"
#include "provider/preemption.h"
#include "provider/static_pod.h"
#include "provider/static_pod_files.h"
#include "provider/static_pod_url.h"
#include "test/kube/fakes/scripted_client.h"
#include "test/provider/fakes/fake_agent.h"

namespace burstlet::provider {
namespace {

namespace fs = std::filesystem;
using kube::test::ScriptedClient;
using kube::test::ScriptedRequest;
using test::World;

std::string Manifest(const std::string& name, const std::string& more = "", const std::string& spec = "") {
  return absl::StrCat("apiVersion: v1\nkind: Pod\nmetadata:\n  name: ", name, "\n", more,
                      "spec:\n  containers:\n  - name: a\n    image: app:1\n", spec);
}

absl::StatusOr<kube::Pod> Parse(const std::string& text) { return ParseStaticPod("/m/web.yaml", text, "node-1", 1); }

std::string Refused(const std::string& text) { return std::string(Parse(text).status().message()); }

/// A directory of manifests that is watched.
struct Directory {
  explicit Directory(std::chrono::milliseconds frequency = std::chrono::hours(1)) {
    char place[] = "/tmp/burstlet-manifests-XXXXXX";
    REQUIRE(mkdtemp(place) != nullptr);
    path = place;
    files = NewStaticPodFiles(loop, pool, tasks, path + "/", "n1", frequency);
    files->OnChange([this](StaticPodList pods) {
      names.clear();
      for (const auto& pod : pods) names.push_back(pod->metadata.name);
      ++told;
    });
  }
  ~Directory() {
    files->Stop();
    fs::remove_all(path);
  }
  bool Until(const std::vector<std::string>& wanted) {
    return kube::test::RunTask(loop, kube::test::Until(loop, [&] { return told > 0 && names == wanted; }));
  }
  void Write(const std::string& name, const std::string& text) const { std::ofstream(path + "/" + name) << text; }

  kube::Loop loop;
  kube::WorkerPool pool{1};
  kube::TaskGroup tasks{loop};
  std::string path;
  std::unique_ptr<StaticPodSource> files;
  std::vector<std::string> names;
  int told = 0;
};

/// An API server that holds mirrors, and the watch that tells of them.
struct Mirrors {
  Mirrors(World& w, test::FakeAgent& a)
      : world(w), agent(a), client(a.loop, [this](const ScriptedRequest& request) { return Serve(request); }) {
    pods = std::make_unique<StaticPods>(client, agent.loop, tasks, sink, "n1",
                                        [this] { return std::string(registered ? "node-uid" : ""); });
    pods->Use(*agent.workers, *agent.statuses);
    agent.SendStatusesTo(*pods);
    agent.workers->OnDone([this] { pods->WorkerDone(); });
  }

  absl::StatusOr<kube::Response> Serve(const ScriptedRequest& request) {
    if (down) return absl::UnavailableError("no connection");
    if (request.method == "POST") {
      auto pod = kube::Decode<kube::Pod>(request.body);
      REQUIRE(pod.ok());
      const std::string name = kube::ObjectName(pod->metadata);
      if (stored.contains(name)) return absl::AlreadyExistsError("pods already exists");
      pod->metadata.uid = absl::StrCat("mirror-", ++made);
      pod->metadata.resourceVersion = std::to_string(++version);
      pod->status.phase = "Pending";
      stored[name] = *pod;
      Tell(*pod);
      return kube::Response{201, kube::Encode(*pod)};
    }
    REQUIRE(request.method == "DELETE");
    const std::string prefix = "/api/v1/namespaces/default/pods/";
    Drop("default/" + request.path.substr(prefix.size(), request.path.find('?') - prefix.size()));
    return kube::Response{200, "{}"};
  }
  std::string Phase(const std::string& name) const {
    const auto found = stored.find(name);
    return found == stored.end() ? "" : found->second.status.phase;
  }
  void Drop(const std::string& name) {
    const auto found = stored.find(name);
    if (found == stored.end()) return;
    ++deleted;
    const kube::ObjectMeta meta = found->second.metadata;
    stored.erase(found);
    agent.Later([this, meta] { pods->MirrorDeleted(meta); });
  }
  void Tell(const kube::Pod& pod) {
    auto shared = std::make_shared<const kube::Pod>(pod);
    agent.Later([this, shared] { pods->MirrorChanged(shared); });
  }

  /// Statuses of mirrors, as PATCHes would leave them.
  struct Sink : StatusSink {
    explicit Sink(Mirrors& m) : mirrors(m) {}
    kube::Task<absl::StatusOr<kube::Pod>> Write(std::shared_ptr<const kube::Pod> pod, kube::PodStatus,
                                                kube::PodStatus next) override {
      const auto found = mirrors.stored.find(kube::ObjectName(pod->metadata));
      if (found == mirrors.stored.end() || found->second.metadata.uid != pod->metadata.uid) {
        co_return absl::NotFoundError("no such pod");
      }
      found->second.status = std::move(next);
      found->second.metadata.resourceVersion = std::to_string(++mirrors.version);
      mirrors.Tell(found->second);
      co_return found->second;
    }
    kube::Task<absl::Status> Delete(std::shared_ptr<const kube::Pod>) override { co_return absl::OkStatus(); }
    Mirrors& mirrors;
  };

  void Desire(StaticPodList wanted, StaticOrigin::Kind origin = StaticOrigin::Kind::kFile) {
    agent.Later([this, wanted, origin] { pods->Desire(origin, wanted); });
  }
  void Connect() {
    agent.Later([this] {
      registered = true;
      pods->ReplaceMirrors({});
      pods->NodeRegistered();
    });
  }

  World& world;
  test::FakeAgent& agent;
  ScriptedClient client;
  Sink sink{*this};
  kube::TaskGroup tasks{agent.loop};
  std::unique_ptr<StaticPods> pods;
  std::map<std::string, kube::Pod> stored;
  bool registered = false;
  bool down = false;
  int made = 0;
  int deleted = 0;
  int version = 1000;
};

StaticPodList One(const std::string& text) {
  auto pod = ParseStaticPod("/m/web.yaml", text, "n1", test::WallNow());
  REQUIRE(pod.ok());
  return {std::make_shared<const kube::Pod>(*std::move(pod))};
}

}  // namespace

TEST_CASE("a file's pod becomes this node's", "[static]") {
  const auto pod = Parse(Manifest("web", "  annotations: {mine: x, kubernetes.io/config.mirror: fake}\n"));
  REQUIRE(pod.ok());
  CHECK(pod->metadata.name == "web-node-1");
  CHECK(pod->metadata.namespace_ == "default");
  CHECK(pod->metadata.uid.size() == 32);
  CHECK(pod->metadata.annotations.at("kubernetes.io/config.hash") == pod->metadata.uid);
  CHECK(pod->metadata.annotations.at("kubernetes.io/config.source") == "file");
  CHECK(pod->metadata.annotations.contains("kubernetes.io/config.seen"));
  CHECK(pod->metadata.annotations.at("mine") == "x");
  CHECK(pod->spec.nodeName == "node-1");
  REQUIRE(pod->spec.tolerations.size() == 1);
  CHECK(pod->spec.tolerations[0].operator_ == "Exists");
  CHECK(pod->spec.tolerations[0].effect == "NoExecute");
  CHECK(IsStaticPod(*pod));
  CHECK_FALSE(IsMirrorPod(*pod));
  CHECK(IsCriticalPod(*pod));
  // The same content is the same pod, whenever it is read; other content or another file is not.
  CHECK(Parse(Manifest("web"))->metadata.uid ==
        ParseStaticPod("/m/web.yaml", Manifest("web"), "node-1", 9)->metadata.uid);
  CHECK(Parse(Manifest("web"))->metadata.uid != pod->metadata.uid);
  CHECK(Parse(Manifest("web"))->metadata.uid !=
        ParseStaticPod("/m/b.yaml", Manifest("web"), "node-1", 1)->metadata.uid);
}

TEST_CASE("a file that is no static pod says why", "[static]") {
  CHECK_THAT(Refused("apiVersion: v1\nkind: Pod\nmetadata: {}\nspec: {containers: []}\n"),
             Catch::Contains("metadata.name"));
  CHECK_THAT(Refused("apiVersion: apps/v1\nkind: Deployment\n"), Catch::Contains("kind Pod"));
  CHECK_THAT(Refused(Manifest("a") + "---\n" + Manifest("b")), Catch::Contains("2 documents"));
  CHECK_THAT(Refused(Manifest("a", "", "  sped: 1\n")), Catch::Contains("spec.sped"));
  CHECK_THAT(Refused(Manifest("UPPER")), Catch::Contains("metadata.name"));
  CHECK_THAT(Refused(Manifest("a", "  uid: ../x\n")), Catch::Contains("metadata.uid"));
  const std::string no = "static pods may not reference ";
  CHECK(Refused(Manifest("a", "", "  serviceAccountName: x\n")) == no + "serviceaccounts");
  CHECK(Refused(Manifest("a", "", "  imagePullSecrets: [{name: x}]\n")) == no + "secrets");
  CHECK(Refused(Manifest("a", "", "    envFrom: [{configMapRef: {name: x}}]\n")) == no + "configmaps");
  CHECK(Refused(Manifest("a", "", "  volumes: [{name: v, configMap: {name: x}}]\n")) ==
        no + "configmaps (via configmap volumes)");
  CHECK(Refused(Manifest("a", "", "  volumes: [{name: v, secret: {secretName: x}}]\n")) ==
        no + "secrets (via secret volumes)");
  CHECK(Refused(Manifest("a", "", "  volumes: [{name: v, persistentVolumeClaim: {claimName: x}}]\n")) ==
        no + "persistentvolumeclaims");
  CHECK(Refused(Manifest("a", "", "  volumes: [{name: v, projected: {sources: [{secret: {name: x}}]}}]\n")) ==
        no + "secrets (via projected volumes)");
}

TEST_CASE("a mirror is the pod, owned by its node", "[static]") {
  const auto pod = Parse(Manifest("web"));
  const kube::Pod mirror = MakeMirrorPod(*pod, "node-1", "node-uid");
  CHECK(mirror.metadata.uid.empty());
  CHECK(mirror.metadata.annotations.at("kubernetes.io/config.mirror") == pod->metadata.uid);
  REQUIRE(mirror.metadata.ownerReferences.size() == 1);
  CHECK(mirror.metadata.ownerReferences[0].kind == "Node");
  CHECK(mirror.metadata.ownerReferences[0].uid == "node-uid");
  CHECK(mirror.metadata.ownerReferences[0].controller == true);
  CHECK(IsMirrorOf(mirror, *pod));
  CHECK(IsMirrorPod(mirror));
  CHECK_FALSE(IsMirrorOf(mirror, *Parse(Manifest("web", "  labels: {a: b}\n"))));
}

TEST_CASE("files come, change and go, and only whole ones count", "[static]") {
  Directory directory;
  directory.Write("a.yaml", Manifest("a"));
  directory.files->Start();
  REQUIRE(directory.Until({"a-n1"}));
  directory.Write("b.yaml", Manifest("b"));
  REQUIRE(directory.Until({"a-n1", "b-n1"}));
  // Renamed into place, as careful writers do it; what begins with a dot does not count.
  directory.Write(".c.tmp", Manifest("c"));
  fs::rename(directory.path + "/.c.tmp", directory.path + "/c.yaml");
  REQUIRE(directory.Until({"a-n1", "b-n1", "c-n1"}));
  directory.Write("b.yaml", Manifest("bee"));
  REQUIRE(directory.Until({"a-n1", "bee-n1", "c-n1"}));
  // One that is broken does not harm the others.
  directory.Write("d.yaml", "kind: [");
  directory.Write("e.yaml", Manifest("e"));
  fs::create_directory(directory.path + "/folder");
  REQUIRE(directory.Until({"a-n1", "bee-n1", "c-n1", "e-n1"}));
  fs::remove(directory.path + "/a.yaml");
  fs::rename(directory.path + "/c.yaml", directory.path + "/.c");
  REQUIRE(directory.Until({"bee-n1", "e-n1"}));
  // Two of one name: the last one counts.
  directory.Write("f.yaml", Manifest("e"));
  fs::remove(directory.path + "/b.yaml");
  REQUIRE(directory.Until({"e-n1"}));
}

TEST_CASE("a file that is being written is not taken", "[static]") {
  Directory directory;
  directory.files->Start();
  REQUIRE(directory.Until({}));
  std::ofstream writer(directory.path + "/a.yaml");
  writer << Manifest("half") << std::flush;
  // Another file's event makes it look while the first is still open.
  directory.Write("b.yaml", Manifest("b"));
  REQUIRE(directory.Until({"b-n1"}));
  writer.seekp(0);
  writer << Manifest("whole");
  writer.close();
  REQUIRE(directory.Until({"b-n1", "whole-n1"}));
}

TEST_CASE("the first word waits for files that have just been written", "[static]") {
  Directory directory;
  directory.Write("a.yaml", Manifest("a"));
  directory.files->Start();
  REQUIRE(kube::test::RunTask(directory.loop, kube::test::Until(directory.loop, [&] { return directory.told > 0; })));
  CHECK(directory.told == 1);
  CHECK(directory.names == std::vector<std::string>{"a-n1"});
}

TEST_CASE("a directory that is not there yet is seen when it comes", "[static]") {
  Directory directory(std::chrono::milliseconds(20));
  fs::remove(directory.path);
  directory.files->Start();
  REQUIRE(directory.Until({}));
  fs::create_directory(directory.path);
  directory.Write("a.yaml", Manifest("a"));
  REQUIRE(directory.Until({"a-n1"}));
}

TEST_CASE("a static pod runs without an API server and its mirror follows", "[static]") {
  World world;
  auto& agent = world.Boot();
  Mirrors mirrors(world, agent);
  const auto pods = One(Manifest("web"));
  mirrors.Desire(pods);
  REQUIRE(agent.Until([&] { return world.host.Running("a"); }));
  CHECK(mirrors.stored.empty());
  mirrors.Connect();
  REQUIRE(agent.Until([&] { return mirrors.Phase("default/web-n1") == "Running"; }));
  // Deleted by somebody: it comes back, the pod runs on.
  mirrors.Drop("default/web-n1");
  REQUIRE(agent.Until([&] { return mirrors.made == 2 && mirrors.Phase("default/web-n1") == "Running"; }));
  kube::Pod dying = mirrors.stored.at("default/web-n1");
  dying.metadata.deletionTimestamp = kube::Time{1};
  dying.metadata.resourceVersion = std::to_string(++mirrors.version);
  mirrors.Tell(dying);
  REQUIRE(agent.Until([&] { return mirrors.made == 3 && mirrors.Phase("default/web-n1") == "Running"; }));
  CHECK(world.host.Starts("a") == 1);
  CHECK_FALSE(world.host.Reached("signal a 15"));
  // The file goes.
  mirrors.Desire({});
  REQUIRE(agent.Until([&] { return agent.workers->empty() && mirrors.stored.empty(); }));
  CHECK(world.host.Reached("signal a 15"));
  CHECK(world.Leftovers().empty());
}

TEST_CASE("a changed file ends the pod before its successor starts", "[static]") {
  World world;
  auto& agent = world.Boot();
  Mirrors mirrors(world, agent);
  const auto before = One(Manifest("web"));
  const auto after = One(Manifest("web", "  labels: {version: two}\n"));
  mirrors.Desire(before);
  mirrors.Connect();
  REQUIRE(agent.Until([&] { return mirrors.Phase("default/web-n1") == "Running"; }));
  mirrors.Desire(after);
  REQUIRE(agent.Until([&] {
    return mirrors.Phase("default/web-n1") == "Running" &&
           mirrors.stored.at("default/web-n1").metadata.labels.contains("version");
  }));
  CHECK(world.host.Starts("a") == 2);
  CHECK(agent.workers->FindByUid(before[0]->metadata.uid) == nullptr);
  // Taken away and put back at once: the same pod ends and starts anew.
  mirrors.Desire({});
  mirrors.Desire(after);
  REQUIRE(agent.Until([&] { return world.host.Starts("a") == 3 && world.host.Running("a"); }));
  mirrors.Desire({});
  REQUIRE(agent.Until([&] { return agent.workers->empty(); }));
}

TEST_CASE("static pods outlive the agent and the API server's silence", "[static]") {
  World world;
  const auto pods = One(Manifest("web"));
  {
    auto& agent = world.Boot();
    Mirrors mirrors(world, agent);
    mirrors.Desire(pods);
    REQUIRE(agent.Until([&] { return world.host.Running("a"); }));
  }
  world.Crash();
  auto& agent =
      world.Boot();  // the API server's first word is that it has no pods: static ones are none of its business
  Mirrors mirrors(world, agent);
  mirrors.Desire(pods);
  mirrors.Connect();
  REQUIRE(agent.Until([&] { return mirrors.Phase("default/web-n1") == "Running"; }));
  CHECK(world.host.Starts("a") == 1);
  mirrors.Desire({});
  REQUIRE(agent.Until([&] { return agent.workers->empty(); }));
}

TEST_CASE("what runs of a URL runs on until the URL has spoken, and keeps its mirror", "[static]") {
  World world;
  // Containers have the names of their pods.
  const auto text = [](const std::string& name) {
    return absl::StrCat("apiVersion: v1\nkind: Pod\nmetadata: {name: ", name,
                        "}\nspec:\n  containers:\n  - {name: ", name, ", image: 'app:1'}\n");
  };
  const auto file = One(text("web"));
  const auto far = [&text](const std::string& name) {
    auto pods = ParseStaticPods("http://h/", text(name), "n1", test::WallNow());
    REQUIRE(pods.ok());
    return *std::move(pods);
  };
  kube::Pod mirror;
  {
    auto& agent = world.Boot();
    Mirrors mirrors(world, agent);
    mirrors.Desire(far("far"), StaticOrigin::Kind::kUrl);
    mirrors.Connect();
    REQUIRE(agent.Until([&] { return mirrors.Phase("default/far-n1") == "Running"; }));
    mirror = mirrors.stored.at("default/far-n1");
  }
  world.Crash();
  auto& agent = world.Boot();
  Mirrors mirrors(world, agent);
  mirrors.stored["default/far-n1"] = mirror;
  mirrors.Desire(file);
  agent.Later([&] {
    mirrors.registered = true;
    mirrors.pods->ReplaceMirrors({std::make_shared<const kube::Pod>(mirror)});
    mirrors.pods->NodeRegistered();
  });
  REQUIRE(agent.Until([&] { return mirrors.Phase("default/web-n1") == "Running"; }));
  CHECK(mirrors.Phase("default/far-n1") == "Running");
  CHECK_FALSE(world.host.Reached("signal far 15"));
  // It wants another one now; the file's pod is none of its business.
  mirrors.Desire(far("near"), StaticOrigin::Kind::kUrl);
  REQUIRE(agent.Until(
      [&] { return mirrors.Phase("default/near-n1") == "Running" && !mirrors.stored.contains("default/far-n1"); }));
  CHECK(mirrors.Phase("default/web-n1") == "Running");
  for (const char* name : {"far", "web", "near"}) CHECK(world.host.Starts(name) == 1);
  CHECK(world.host.Reached("signal far 15"));
  CHECK_FALSE(world.host.Reached("signal web 15"));
  // The same name from both: the file's counts.
  mirrors.Desire(far("web"), StaticOrigin::Kind::kUrl);
  REQUIRE(agent.Until([&] { return !mirrors.stored.contains("default/near-n1"); }));
  CHECK(agent.workers->FindByUid(file[0]->metadata.uid) != nullptr);
  mirrors.Desire({});
  mirrors.Desire({}, StaticOrigin::Kind::kUrl);
  REQUIRE(agent.Until([&] { return agent.workers->empty(); }));
}

TEST_CASE("a mirror without its pod is deleted", "[static]") {
  World world;
  auto& agent = world.Boot();
  Mirrors mirrors(world, agent);
  kube::Pod orphan = MakeMirrorPod(*One(Manifest("gone"))[0], "n1", "node-uid");
  orphan.metadata.uid = "orphan";
  mirrors.stored["default/gone-n1"] = orphan;
  mirrors.Desire({});
  agent.Later([&] {
    mirrors.registered = true;
    mirrors.pods->ReplaceMirrors({std::make_shared<const kube::Pod>(orphan)});
    mirrors.pods->NodeRegistered();
  });
  REQUIRE(agent.Until([&] { return mirrors.stored.empty(); }));
}

TEST_CASE("a static pod is given room by pods that are less critical", "[static]") {
  World world;
  auto& agent = world.Boot();
  // Room for two pods.
  agent.admit = [](const kube::Pod&, const std::vector<test::PodPtr>& active) -> std::optional<Refusal> {
    if (active.size() < 2) return std::nullopt;
    return Refusal{"OutOfpods", "Node didn't have enough resource: pods"};
  };
  Mirrors mirrors(world, agent);
  kube::Pod system = test::NewPod("u1", {test::NewContainer("s")});
  system.metadata.name = "system";
  system.spec.priority = 2'000'000'000;
  kube::Pod ordinary = test::NewPod("u2", {test::NewContainer("o")});
  const auto add = [&](const kube::Pod& pod) {
    agent.Later([&agent, pod] { agent.workers->Changed({std::make_shared<const kube::Pod>(pod), {}}); });
  };
  add(system);
  add(ordinary);
  REQUIRE(agent.Until([&] { return world.host.Running("s") && world.host.Running("o"); }));
  mirrors.Connect();
  mirrors.Desire(One(Manifest("web")));
  REQUIRE(agent.Until([&] { return world.host.Running("a"); }));
  CHECK_FALSE(world.host.Running("o"));
  CHECK(world.host.Running("s"));
  CHECK(agent.events.Has("Preempting"));
  CHECK(agent.Until([&] { return mirrors.Phase("default/web-n1") == "Running"; }));
  const PodWorker* ended = agent.workers->FindByUid("u2");
  REQUIRE(ended != nullptr);
  REQUIRE(ended->view().failure);
  CHECK(ended->view().failure->reason == "Preempting");
}

TEST_CASE("as few pods as possible make room, the least guaranteed first", "[static]") {
  const auto pod = [](const std::string& uid, const char* request, const char* limit) {
    auto made = std::make_shared<kube::Pod>(test::NewPod(uid, {test::NewContainer("a")}));
    auto& resources = made->spec.containers[0].resources;
    if (request != nullptr) resources.requests["memory"] = resources.requests["cpu"] = {request};
    if (limit != nullptr) resources.limits["memory"] = resources.limits["cpu"] = {limit};
    return std::shared_ptr<const kube::Pod>(made);
  };
  const PodList active{pod("guaranteed", "1", "1"), pod("effort", nullptr, nullptr), pod("burst-1", "1", nullptr),
                       pod("burst-2", "1", nullptr)};
  const auto critical = One(Manifest("web"))[0];
  const auto chosen = [&](std::size_t room) {
    std::vector<std::string> uids;
    for (const auto& ended : ChoosePreempted(*critical, active, [&](const PodList& others) {
           std::size_t used = 0;
           for (const auto& other : others) used += other->metadata.uid == "effort" ? 0u : 1u;
           return used <= room;
         })) {
      uids.push_back(ended->metadata.uid);
    }
    return uids;
  };
  CHECK(chosen(2) == std::vector<std::string>{"burst-2"});
  CHECK(chosen(1) == std::vector<std::string>{"burst-1", "burst-2"});
  CHECK(chosen(0) == std::vector<std::string>{"guaranteed", "burst-1", "burst-2"});
  CHECK(ChoosePreempted(*critical, active, [](const PodList&) { return false; }).empty());
  CHECK(ChoosePreempted(*active[0], active, [](const PodList& others) { return others.empty(); }).empty());
}

}  // namespace burstlet::provider
