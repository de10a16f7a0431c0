// Disk usage of pods: what is counted, against which limit, and how a pod above it ends.
#include "provider/local_storage.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <filesystem>
#include <fstream>

#include "kube/json.h"
#include "provider/stats/disk_usage.h"
#include "test/provider/fakes/fake_agent.h"

namespace burstlet::provider {
namespace {

namespace fs = std::filesystem;
using test::NewContainer;
using test::NewPod;

struct Directory {
  Directory() {
    char name[] = "/tmp/burstlet-usage-XXXXXX";
    REQUIRE(mkdtemp(name) != nullptr);
    path = name;
  }
  ~Directory() { fs::remove_all(path); }
  void Write(const std::string& name, std::size_t bytes) const {
    fs::create_directories(fs::path(path + "/" + name).parent_path());
    std::ofstream(path + "/" + name) << std::string(bytes, 'x');
  }
  std::string path;
};

std::int64_t Usage(const std::string& path) {
  // The file system allocates when it writes back.
  sync();
  auto usage = MeasureTree(path);
  if (absl::IsNotFound(usage.status())) return 0;
  REQUIRE(usage.ok());
  return static_cast<std::int64_t>(usage->bytes);
}

kube::Pod Limited(const std::string& container_limit, const std::string& volume_limit) {
  kube::Pod pod = NewPod("u1", {NewContainer("a")});
  if (!container_limit.empty()) {
    pod.spec.containers[0].resources.limits["ephemeral-storage"] = kube::Quantity{container_limit};
  }
  kube::Volume volume;
  volume.name = "data";
  volume.emptyDir = kube::EmptyDirVolumeSource{};
  if (!volume_limit.empty()) volume.emptyDir->sizeLimit = kube::Quantity{volume_limit};
  pod.spec.volumes = {volume};
  return pod;
}

}  // namespace

TEST_CASE("disk usage counts blocks below a directory and nothing outside", "[local_storage]") {
  Directory directory;
  const std::int64_t empty = Usage(directory.path);
  directory.Write("a/b/file", 1 << 20);
  const std::int64_t one = Usage(directory.path);
  CHECK(one >= empty + (1 << 20));
  CHECK(one < empty + (1 << 20) + 64 * 1024);
  // Another name of the same file, and a link to what lies elsewhere, cost nothing.
  REQUIRE(link((directory.path + "/a/b/file").c_str(), (directory.path + "/again").c_str()) == 0);
  REQUIRE(symlink("/usr", (directory.path + "/usr").c_str()) == 0);
  CHECK(Usage(directory.path) < one + 64 * 1024);
  // A file with holes is as large as what is in it.
  const int fd = open((directory.path + "/sparse").c_str(), O_CREAT | O_WRONLY, 0600);
  REQUIRE(ftruncate(fd, 1 << 30) == 0);
  close(fd);
  CHECK(Usage(directory.path) < one + 64 * 1024);
  CHECK(Usage(directory.path + "/missing") == 0);
}

TEST_CASE("nothing hides below a path that is too long to name", "[local_storage]") {
  Directory directory;
  const std::string name(200, 'd');
  int at = open(directory.path.c_str(), O_RDONLY | O_DIRECTORY);
  for (int depth = 0; depth < 150; ++depth) {
    REQUIRE(mkdirat(at, name.c_str(), 0700) == 0);
    const int next = openat(at, name.c_str(), O_RDONLY | O_DIRECTORY);
    REQUIRE(next >= 0);
    close(at);
    at = next;
  }
  const int fd = openat(at, "file", O_CREAT | O_WRONLY, 0600);
  const std::string data(1 << 20, 'x');
  REQUIRE(write(fd, data.data(), data.size()) == static_cast<ssize_t>(data.size()));
  close(fd);
  close(at);
  CHECK(Usage(directory.path) >= 1 << 20);
}

TEST_CASE("limits of emptyDirs, pod and containers are told in the kubelet's words", "[local_storage]") {
  LocalStorageUsage usage;
  usage.containers["a"] = 3 << 20;
  usage.volumes["data"] = 5 << 20;
  usage.total = 8 << 20;
  CHECK_FALSE(HasLocalStorageLimit(Limited("", "")));
  CHECK_FALSE(LocalStorageExcess(Limited("", ""), usage));
  CHECK(HasLocalStorageLimit(Limited("", "4Mi")));
  const auto excess = [&usage](const kube::Pod& pod) {
    const auto found = LocalStorageExcess(pod, usage);
    return found ? std::string(found->signal) + ": " + found->message : "";
  };
  CHECK(excess(Limited("", "4Mi")) ==
        "emptydirfs.limit: Usage of EmptyDir volume \"data\" exceeds the limit \"4Mi\". ");
  CHECK_FALSE(LocalStorageExcess(Limited("", "5Mi"), usage));
  CHECK(excess(Limited("4Mi", "")) ==
        "ephemeralpodfs.limit: Pod ephemeral local storage usage exceeds the total limit of containers 4Mi. ");
  usage.total = 3 << 20;
  kube::Pod two = Limited("2Mi", "");
  two.spec.containers.push_back(NewContainer("b"));
  two.spec.containers[1].resources.limits["ephemeral-storage"] = kube::Quantity{"10Mi"};
  CHECK(excess(two) == "ephemeralcontainerfs.limit: Container a exceeded its local ephemeral storage limit \"2Mi\". ");
  // Memory is not disk.
  kube::Pod memory = Limited("", "4Mi");
  memory.spec.volumes[0].emptyDir->medium = "Memory";
  CHECK_FALSE(HasLocalStorageLimit(memory));
}

TEST_CASE("what belongs to a pod on disk: layers and logs of its runs, volumes, its own files", "[local_storage]") {
  Directory directory;
  const AgentPaths paths{directory.path, directory.path + "/logs"};
  const kube::Pod pod = Limited("1Gi", "1Gi");
  PodRuntimeView view;
  ContainerInstance run;
  run.id = "new";
  view.containers["a"].instances = {run};
  run.id = "old";
  view.containers["a"].instances.push_back(run);
  directory.Write("sandboxes/u1/containers/new/upper/file", 1 << 20);
  directory.Write("sandboxes/u1/containers/old/upper/file", 2 << 20);
  directory.Write("logs/default_web_u1/a/0.log", 1 << 20);
  directory.Write("pods/u1/volumes/kubernetes.io~empty-dir/data/file", 4 << 20);
  directory.Write("pods/u2/other", 8 << 20);
  sync();
  const LocalStorageUsage usage = MeasureLocalStorage(SourcesOf(paths, pod, view));
  CHECK(usage.containers.at("a") >> 20 == 2);
  CHECK(usage.volumes.at("data") >> 20 == 4);
  CHECK(usage.total >> 20 == 8);
}

TEST_CASE("a pod above its limit is evicted, a critical one is not", "[local_storage]") {
  test::World world;
  auto& agent = world.Boot();
  Metrics metrics;
  LocalStorageEviction eviction(agent.loop, agent.tasks(), *agent.workers, agent.paths, metrics,
                                std::chrono::seconds(0));
  kube::Pod critical = Limited("", "1Mi");
  critical.metadata.uid = "u2";
  critical.metadata.name = "critical";
  critical.spec.priority = 2'000'000'000;
  critical.spec.containers = {NewContainer("c")};
  world.Create(critical);
  world.Create(Limited("", "1Mi"));
  const bool running = world.UntilRunning("u1");
  INFO(kube::Encode(world.api.Status("u1")));
  REQUIRE(running);
  REQUIRE(world.UntilRunning("u2"));
  for (const char* uid : {"u2", "u1"}) {
    fs::create_directories(world.root + "/pods/" + uid + "/volumes/kubernetes.io~empty-dir/data");
    std::ofstream(world.root + "/pods/" + uid + "/volumes/kubernetes.io~empty-dir/data/f") << std::string(2 << 20, 'x');
  }
  sync();
  REQUIRE(agent.Until([&] { return world.api.Phase("u1") == "Failed"; }));
  CHECK(world.api.Status("u1").reason == "Evicted");
  CHECK(world.api.Status("u1").message == "Usage of EmptyDir volume \"data\" exceeds the limit \"1Mi\". ");
  CHECK(agent.events.Has("Evicted"));
  CHECK_FALSE(world.host.Running("a"));
  CHECK(world.api.Phase("u2") == "Running");
}

}  // namespace burstlet::provider
