#include "provider/volumes/volume_manager.h"

#include <catch2/catch.hpp>
#include <fstream>

#include "absl/strings/str_cat.h"
#include "metrics/status.h"
#include "test/provider/loop_runner.h"
#include "test/provider/volumes/volume_dir.h"

namespace burstlet::provider {
namespace {

using test::ReadText;
using test::VolumeDir;

namespace fs = std::filesystem;

/// Objects as the test sets them; can hold every answer back until a number of questions is open at once.
class FakeObjects : public ObjectSource {
 public:
  explicit FakeObjects(kube::Loop& loop) : loop_(loop), token_asked_(loop) {}

  kube::Task<absl::StatusOr<std::shared_ptr<const kube::ConfigMap>>> GetConfigMap(std::string,
                                                                                  std::string name) override {
    co_await Gate();
    auto found = config_maps.find(name);
    if (found == config_maps.end()) co_return absl::NotFoundError(absl::StrCat("configmap \"", name, "\" not found"));
    auto object = std::make_shared<kube::ConfigMap>();
    object->data = found->second;
    co_return std::shared_ptr<const kube::ConfigMap>(object);
  }

  kube::Task<absl::StatusOr<std::shared_ptr<const kube::Secret>>> GetSecret(std::string, std::string name) override {
    co_await Gate();
    auto found = secrets.find(name);
    if (found == secrets.end()) co_return absl::NotFoundError(absl::StrCat("secret \"", name, "\" not found"));
    auto object = std::make_shared<kube::Secret>();
    for (const auto& [key, value] : found->second) object->data[key].data = value;
    co_return std::shared_ptr<const kube::Secret>(object);
  }

  kube::Task<absl::StatusOr<kube::TokenRequestStatus>> CreateToken(std::shared_ptr<const kube::Pod>, std::string,
                                                                   std::int64_t) override {
    co_await Gate();
    ++tokens_asked;
    token_asked_.Set();
    if (!token_error.ok()) co_return token_error;
    kube::TokenRequestStatus status;
    status.token = absl::StrCat("token-", tokens_asked);
    status.expirationTimestamp.unix_nanos = std::chrono::duration_cast<std::chrono::nanoseconds>(
                                                (std::chrono::system_clock::now() + token_life).time_since_epoch())
                                                .count();
    co_return status;
  }

  kube::Task<void> TokenAsked() { return token_asked_.Wait(); }

  std::map<std::string, std::map<std::string, std::string>> config_maps;
  std::map<std::string, std::map<std::string, std::string>> secrets;
  int tokens_asked = 0;
  absl::Status token_error;
  std::chrono::milliseconds token_life{3600 * 1000};
  std::size_t answer_when_open = 0;

 private:
  kube::Task<void> Gate() {
    if (answer_when_open == 0) co_return;
    auto turn = std::make_shared<kube::SignalEvent>(loop_);
    open_.push_back(turn);
    if (open_.size() == answer_when_open) {
      for (const auto& one : open_) one->Set();
      open_.clear();
    }
    co_await turn->Wait();
  }

  kube::Loop& loop_;
  kube::SignalEvent token_asked_;
  std::vector<std::shared_ptr<kube::SignalEvent>> open_;
};

struct Fixture {
  VolumeDir dir;
  kube::Loop loop;
  kube::WorkerPool pool{2};
  kube::TaskGroup tasks{loop};
  FakeObjects objects{loop};
  NodeInfo node;
  std::unique_ptr<VolumeManager> manager;

  Fixture() {
    node.allocatable["memory"].text = "1Gi";
    node.addresses = {"192.0.2.1"};
    Restart();
  }
  void Restart() {
    auto made = NewVolumeManager({dir.path()}, loop, pool, tasks, objects, node);
    REQUIRE(made.ok());
    manager = std::move(*made);
  }
  std::string Content(const std::string& path) const { return ReadText(dir / ("volumes/uid-1/" + path)); }
};

kube::Volume& AddVolume(kube::Pod& pod, const std::string& name) {
  pod.spec.volumes.emplace_back();
  pod.spec.volumes.back().name = name;
  return pod.spec.volumes.back();
}

/// A pod with one volume of each kind.
kube::Pod MakePod() {
  kube::Pod pod;
  pod.metadata.name = "web";
  pod.metadata.namespace_ = "shop";
  pod.metadata.uid = "uid-1";
  pod.metadata.labels = {{"app", "web"}};
  pod.spec.containers.resize(1);
  AddVolume(pod, "map").configMap.emplace().name = "m";
  AddVolume(pod, "secret").secret.emplace().secretName = "s";
  auto& labels = AddVolume(pod, "down").downwardAPI.emplace().items.emplace_back();
  labels.path = "labels";
  labels.fieldRef.emplace().fieldPath = "metadata.labels";
  auto& sources = AddVolume(pod, "access").projected.emplace().sources;
  sources.resize(1);
  sources[0].serviceAccountToken.emplace().path = "token";
  AddVolume(pod, "disk").emptyDir.emplace();
  AddVolume(pod, "memory").emptyDir.emplace().medium = "Memory";
  AddVolume(pod, "host").hostPath.emplace().path = "/dev/null";
  return pod;
}

std::shared_ptr<const kube::Pod> Share(const kube::Pod& pod) { return std::make_shared<const kube::Pod>(pod); }

kube::Task<void> MountInto(Fixture& f, std::shared_ptr<const kube::Pod> pod, absl::StatusOr<ReadyVolumes>& result) {
  result = co_await f.manager->Mount(pod, {"10.0.0.5"});
}

absl::StatusOr<ReadyVolumes> Mount(Fixture& f, const kube::Pod& pod) {
  absl::StatusOr<ReadyVolumes> result;
  RunOnLoop(f.loop, MountInto(f, Share(pod), result));
  return result;
}

kube::Task<void> UnmountInto(Fixture& f, std::string uid, absl::Status& result) {
  result = co_await f.manager->Unmount(uid);
}

absl::Status Unmount(Fixture& f, const std::string& uid) {
  absl::Status result = absl::UnknownError("not run");
  RunOnLoop(f.loop, UnmountInto(f, uid, result));
  return result;
}

/// Returns when what Refresh started is done.
kube::Task<void> RefreshAndWait(Fixture& f, std::shared_ptr<const kube::Pod> pod) {
  f.manager->Refresh(pod);
  co_await f.tasks.Join();
}

void Refresh(Fixture& f, const kube::Pod& pod) { RunOnLoop(f.loop, RefreshAndWait(f, Share(pod))); }

std::size_t MountsAt(const std::string& path) {
  std::ifstream file("/proc/self/mountinfo");
  std::string line;
  std::size_t count = 0;
  while (std::getline(file, line)) count += line.find(" " + path + " ") != std::string::npos ? 1 : 0;
  return count;
}

void FillObjects(Fixture& f) {
  f.objects.config_maps["m"] = {{"key", "value"}};
  f.objects.secrets["s"] = {{"password", "hush"}};
}

}  // namespace

TEST_CASE("all volumes of a pod are made ready", "[volumes][root]") {
  NEEDS_ROOT();
  Fixture f;
  FillObjects(f);
  auto ready = Mount(f, MakePod());
  REQUIRE(ready.ok());
  CHECK(ready->size() == 7);
  CHECK(f.Content("map/key") == "value");
  CHECK(f.Content("secret/password") == "hush");
  CHECK(f.Content("down/labels") == "app=\"web\"");
  CHECK(f.Content("access/token") == "token-1");
  CHECK(ready->at("map").source.path == (f.dir / "volumes/uid-1/map"));
  CHECK(ready->at("map").read_only);
  CHECK(ready->at("disk").source.path == (f.dir / "pods/uid-1/volumes/kubernetes.io~empty-dir/disk"));
  CHECK_FALSE(ready->at("disk").read_only);
  CHECK(fs::is_directory(ready->at("disk").source.path));
  CHECK(ready->at("memory").source.kind == sandbox::VolumeSource::Kind::kTmpfs);
  CHECK(ready->at("memory").source.size_bytes == 1u << 30);
  CHECK(ready->at("host").source.path == "/dev/null");
  // Secrets lie on a tmpfs of their own, closed to others.
  CHECK(MountsAt(f.dir / "volumes") == 1);
  CHECK(test::ModeOf(f.dir / "volumes") == 0700);
  CHECK(test::ModeOf(f.dir / "volumes/uid-1") == 0700);
  CHECK(test::ModeOf(f.dir / "volumes/uid-1/secret") == 0755);
  CHECK(test::ModeOf(f.dir / "pods/uid-1") == 0700);
}

TEST_CASE("a pod's objects and its token are asked for at once", "[volumes][root]") {
  NEEDS_ROOT();
  Fixture f;
  FillObjects(f);
  f.objects.answer_when_open = 3;
  CHECK(Mount(f, MakePod()).ok());
}

TEST_CASE("a volume that can't be made is named with the kubelet's words", "[volumes][root]") {
  NEEDS_ROOT();
  Fixture f;
  auto ready = Mount(f, MakePod());
  REQUIRE_FALSE(ready.ok());
  CHECK(ready.status().message() == "MountVolume.SetUp failed for volume \"map\" : configmap \"m\" not found");
  CHECK(ReasonOf(ready.status()) == "FailedMount");
  FillObjects(f);
  CHECK(Mount(f, MakePod()).ok());
  CHECK(f.objects.tokens_asked == 1);  // the first try's token serves

  kube::Pod pod = MakePod();
  pod.spec.volumes[6].hostPath->type = "Directory";
  CHECK(Mount(f, pod).status().message() ==
        "MountVolume.SetUp failed for volume \"host\" : hostPath type check failed: /dev/null is not a directory, "
        "it's a CharDevice");
  pod.metadata.uid = "../../etc";
  CHECK_FALSE(Mount(f, pod).ok());
  pod = MakePod();
  AddVolume(pod, "pvc").persistentVolumeClaim.emplace();
  CHECK(absl::IsUnimplemented(Mount(f, pod).status()));
}

TEST_CASE("without an API server a token is missing, by name", "[volumes][root]") {
  NEEDS_ROOT();
  Fixture f;
  FillObjects(f);
  f.objects.token_error = absl::UnimplementedError("there is no API server");
  CHECK(Mount(f, MakePod()).status().message() ==
        "MountVolume.SetUp failed for volume \"access\" : failed to fetch token: there is no API server");
}

TEST_CASE("changed objects and labels reach the mounted files", "[volumes][root]") {
  NEEDS_ROOT();
  Fixture f;
  FillObjects(f);
  kube::Pod pod = MakePod();
  REQUIRE(Mount(f, pod).ok());
  const auto untouched = fs::read_symlink(f.dir / "volumes/uid-1/access/..data");
  f.objects.config_maps["m"] = {{"key", "new"}, {"more", "m"}};
  pod.metadata.labels["app"] = "shop";
  Refresh(f, pod);
  CHECK(f.Content("map/key") == "new");
  CHECK(f.Content("map/more") == "m");
  CHECK(f.Content("down/labels") == "app=\"shop\"");
  CHECK(fs::read_symlink(f.dir / "volumes/uid-1/access/..data") == untouched);

  // An object that went away leaves the last content, and other volumes are still updated.
  f.objects.config_maps.clear();
  f.objects.secrets["s"] = {{"password", "other"}};
  Refresh(f, pod);
  CHECK(f.Content("map/key") == "new");
  CHECK(f.Content("secret/password") == "other");

  // Nobody's pod: nothing happens.
  pod.metadata.uid = "uid-2";
  Refresh(f, pod);
  CHECK_FALSE(fs::exists(f.dir / "volumes/uid-2"));
}

namespace {

kube::Task<void> WaitForSecondToken(Fixture& f, std::shared_ptr<const kube::Pod> pod) {
  while (f.objects.tokens_asked < 2) {
    co_await f.objects.TokenAsked();
  }
  // Served after the refresh that asked.
  auto again = co_await f.manager->Mount(pod, {});
  CHECK(again.ok());
}

}  // namespace

TEST_CASE("a token is renewed before it expires", "[volumes][root]") {
  NEEDS_ROOT();
  Fixture f;
  FillObjects(f);
  f.objects.token_life = std::chrono::milliseconds(400);
  REQUIRE(Mount(f, MakePod()).ok());
  CHECK(f.Content("access/token") == "token-1");
  f.objects.token_life = std::chrono::hours(1);
  RunOnLoop(f.loop, WaitForSecondToken(f, Share(MakePod())));
  CHECK(f.Content("access/token") == "token-2");
  CHECK(f.objects.tokens_asked == 2);
}

TEST_CASE("a token that can't be renewed serves on", "[volumes][root]") {
  NEEDS_ROOT();
  Fixture f;
  FillObjects(f);
  f.objects.token_life = std::chrono::milliseconds(400);
  REQUIRE(Mount(f, MakePod()).ok());
  f.objects.token_error = absl::UnavailableError("connection refused");
  RunOnLoop(f.loop, WaitForSecondToken(f, Share(MakePod())));
  CHECK(f.Content("access/token") == "token-1");
}

TEST_CASE("unmounting removes a pod's directories and nothing else", "[volumes][root]") {
  NEEDS_ROOT();
  Fixture f;
  FillObjects(f);
  VolumeDir outside;
  test::WriteText(outside / "keep", "k");
  auto ready = Mount(f, MakePod());
  REQUIRE(ready.ok());
  const std::string disk = ready->at("disk").source.path;
  test::WriteText(disk + "/file", "x");
  fs::create_symlink(outside.path(), disk + "/link");
  test::WriteText(f.dir / "pods/uid-1/record.json", "{}");
  fs::create_directories(f.dir / "pods/other/volumes");
  CHECK(f.manager->KnownPods() == std::vector<std::string>{"other", "uid-1"});
  CHECK(Unmount(f, "uid-1").ok());
  CHECK_FALSE(fs::exists(f.dir / "volumes/uid-1"));
  CHECK_FALSE(fs::exists(f.dir / "pods/uid-1/volumes"));
  CHECK(fs::exists(f.dir / "pods/uid-1/record.json"));
  CHECK(ReadText(outside / "keep") == "k");
  CHECK(f.manager->KnownPods() == std::vector<std::string>{"other"});
  CHECK(Unmount(f, "uid-1").ok());
  CHECK_FALSE(Unmount(f, "../pods").ok());
  // A directory of the pod replaced by a link is not walked into.
  fs::remove_all(f.dir / "pods/other");
  fs::create_symlink(outside.path(), f.dir / "pods/other");
  fs::create_directory(outside / "volumes");
  CHECK_FALSE(Unmount(f, "other").ok());
  CHECK(fs::exists(outside / "volumes"));
}

TEST_CASE("a restarted agent finds the volumes as they were", "[volumes][root]") {
  NEEDS_ROOT();
  Fixture f;
  FillObjects(f);
  auto ready = Mount(f, MakePod());
  REQUIRE(ready.ok());
  const auto data = fs::read_symlink(f.dir / "volumes/uid-1/map/..data");
  test::WriteText(ready->at("disk").source.path + "/file", "x");
  f.Restart();
  CHECK(MountsAt(f.dir / "volumes") == 1);
  CHECK(f.manager->KnownPods() == std::vector<std::string>{"uid-1"});
  auto again = Mount(f, MakePod());
  REQUIRE(again.ok());
  CHECK(fs::read_symlink(f.dir / "volumes/uid-1/map/..data") == data);
  CHECK(ReadText(again->at("disk").source.path + "/file") == "x");
  CHECK(f.Content("access/token") == "token-2");
}

TEST_CASE("an adopted pod's content stays fresh without being mounted again", "[volumes][root]") {
  NEEDS_ROOT();
  Fixture f;
  FillObjects(f);
  REQUIRE(Mount(f, MakePod()).ok());
  f.Restart();
  f.objects.config_maps["m"]["key"] = "new";
  Refresh(f, MakePod());
  CHECK(f.Content("map/key") == "new");
  CHECK(f.Content("access/token") == "token-2");
}

namespace {

kube::Task<void> MountAndUnmountAtOnce(Fixture& f, std::shared_ptr<const kube::Pod> pod) {
  absl::StatusOr<ReadyVolumes> mounted;
  absl::Status unmounted = absl::UnknownError("not run");
  kube::TaskGroup both(f.loop);
  both.Spawn("mount", MountInto(f, pod, mounted));
  both.Spawn("unmount", UnmountInto(f, pod->metadata.uid, unmounted));
  f.manager->Refresh(pod);
  co_await both.Join();
  co_await f.tasks.Join();
  CHECK(unmounted.ok());
}

}  // namespace

TEST_CASE("a pod deleted while its volumes are made leaves nothing", "[volumes][root]") {
  NEEDS_ROOT();
  Fixture f;
  FillObjects(f);
  RunOnLoop(f.loop, MountAndUnmountAtOnce(f, Share(MakePod())));
  CHECK(f.manager->KnownPods().empty());
}

}  // namespace burstlet::provider
