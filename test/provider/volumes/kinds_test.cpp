// hostPath, emptyDir, payloads and token times, each by itself.
#include <sys/socket.h>
#include <sys/un.h>

#include <catch2/catch.hpp>

#include "provider/volumes/empty_dir.h"
#include "provider/volumes/host_path.h"
#include "provider/volumes/payload.h"
#include "provider/volumes/token_schedule.h"
#include "test/provider/volumes/volume_dir.h"

namespace burstlet::provider {
namespace {

using test::VolumeDir;

namespace fs = std::filesystem;

std::string HostPathError(const std::string& path, const std::string& type) {
  kube::HostPathVolumeSource source;
  source.path = path;
  source.type = type;
  return std::string(CheckHostPath(source).message());
}

std::shared_ptr<const kube::ConfigMap> MakeConfigMap(std::map<std::string, std::string> data) {
  auto object = std::make_shared<kube::ConfigMap>();
  object->data = std::move(data);
  object->binaryData["raw"].data = std::string("\0\1", 2);
  return object;
}

kube::Pod PodWithUser(std::optional<std::int64_t> user, std::optional<std::int64_t> fs_group) {
  kube::Pod pod;
  pod.metadata.labels = {{"a", "b"}};
  pod.spec.containers.resize(1);
  pod.spec.securityContext.emplace();
  pod.spec.securityContext->runAsUser = user;
  pod.spec.securityContext->fsGroup = fs_group;
  return pod;
}

}  // namespace

TEST_CASE("hostPath types are checked with the kubelet's words", "[volumes]") {
  VolumeDir dir;
  fs::create_directory(dir / "d");
  test::WriteText(dir / "f", "x");
  const int socket = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  (dir / "s").copy(address.sun_path, sizeof(address.sun_path) - 1);
  REQUIRE(::bind(socket, reinterpret_cast<sockaddr*>(&address), sizeof(address)) == 0);
  ::close(socket);

  CHECK(HostPathError(dir / "d", "Directory").empty());
  CHECK(HostPathError(dir / "f", "File").empty());
  CHECK(HostPathError(dir / "s", "Socket").empty());
  CHECK(HostPathError("/dev/null", "CharDevice").empty());
  CHECK(HostPathError(dir / "f", "Directory") ==
        "hostPath type check failed: " + (dir / "f") + " is not a directory, it's a File");
  CHECK(HostPathError(dir / "none", "File") == "hostPath type check failed, " + (dir / "none") +
                                                   " is not a file, unable to determine its type: path \"" +
                                                   (dir / "none") + "\" does not exist");
  CHECK(HostPathError("/dev/null", "BlockDevice") ==
        "hostPath type check failed: /dev/null is not a block device, it's a CharDevice");
  CHECK(HostPathError(dir / "d", "Pipe") == "Pipe is an invalid volume type");
  CHECK(HostPathError("/tmp/../etc", "") == "invalid HostPath `/tmp/../etc`: must not contain '..'");
  CHECK(HostPathError("etc", "") == "invalid HostPath `etc`: must be an absolute path");

  CHECK(HostPathError(dir / "made/dir", "DirectoryOrCreate").empty());
  CHECK(fs::is_directory(dir / "made/dir"));
  CHECK(HostPathError(dir / "made/file", "FileOrCreate").empty());
  CHECK(fs::is_regular_file(dir / "made/file"));
  CHECK_FALSE(HostPathError(dir / "made/dir", "FileOrCreate").empty());
  CHECK(HostPathError(dir / "unset", "").empty());
  CHECK(fs::is_directory(dir / "unset"));
}

TEST_CASE("an emptyDir is for everybody, and keeps what containers made of it", "[volumes]") {
  VolumeDir dir;
  kube::Pod pod = PodWithUser(std::nullopt, std::nullopt);
  REQUIRE(SetUpEmptyDir(dir.fd(), "data", pod, {}).ok());
  const std::string path = dir / "volumes/kubernetes.io~empty-dir/data";
  CHECK(test::ModeOf(path) == 0777);
  CHECK(test::ModeOf(dir / "volumes") == 0700);
  test::WriteText(path + "/file", "x");
  fs::permissions(path, fs::perms::owner_all);
  REQUIRE(SetUpEmptyDir(dir.fd(), "data", pod, {}).ok());
  CHECK(test::ModeOf(path) == 0700);
  CHECK(test::ReadText(path + "/file") == "x");

  kube::EmptyDirVolumeSource source;
  source.mode = 01750;
  REQUIRE(SetUpEmptyDir(dir.fd(), "own-mode", pod, source).ok());
  CHECK(test::ModeOf(dir / "volumes/kubernetes.io~empty-dir/own-mode") == 01750);
  source.medium = "HugePages";
  CHECK(SetUpEmptyDir(dir.fd(), "huge", pod, source).message() == "emptyDir.medium \"HugePages\" is not supported");
  // A link in its place is not taken for the directory.
  fs::create_symlink("/tmp", dir / "volumes/kubernetes.io~empty-dir/link");
  CHECK_FALSE(SetUpEmptyDir(dir.fd(), "link", pod, {}).ok());
}

TEST_CASE("an emptyDir belongs to fsGroup", "[volumes][root]") {
  NEEDS_ROOT();
  VolumeDir dir;
  REQUIRE(SetUpEmptyDir(dir.fd(), "data", PodWithUser(1, 2000), {}).ok());
  CHECK(test::ModeOf(dir / "volumes/kubernetes.io~empty-dir/data") == 02777);
  CHECK(test::GroupOf(dir / "volumes/kubernetes.io~empty-dir/data") == 2000);
}

TEST_CASE("a memory volume is as small as its own, the pod's or the node's limit", "[volumes]") {
  kube::Pod pod = PodWithUser(std::nullopt, std::nullopt);
  NodeInfo node;
  node.allocatable["memory"].text = "1Gi";
  kube::EmptyDirVolumeSource source;
  source.medium = "Memory";
  CHECK(MemoryVolumeSize(pod, source, node) == 1 << 30);
  pod.spec.containers[0].resources.limits = {{"memory", {"100Mi"}}};
  CHECK(MemoryVolumeSize(pod, source, node) == 100 << 20);
  source.sizeLimit = kube::Quantity{"64Mi"};
  CHECK(MemoryVolumeSize(pod, source, node) == 64 << 20);
  source.sizeLimit = kube::Quantity{"500Mi"};
  CHECK(MemoryVolumeSize(pod, source, node) == 100 << 20);
  pod.spec.securityContext->fsGroup = 9;
  const auto volume = MemoryVolume(pod, source, node);
  CHECK(volume.kind == sandbox::VolumeSource::Kind::kTmpfs);
  CHECK(volume.mode == 03777);
  CHECK(volume.gid == 9u);
}

TEST_CASE("keys become files, under their own or given paths", "[volumes]") {
  kube::Pod pod;
  kube::Volume volume;
  volume.name = "v";
  volume.configMap.emplace();
  volume.configMap->name = "map";
  volume.configMap->defaultMode = 0600;
  VolumeObjectsSnapshot objects;
  objects.config_maps.emplace("map", MakeConfigMap({{"k", "text"}}));
  auto payload = VolumePayload(pod, volume, objects, {}, {});
  REQUIRE(payload.ok());
  CHECK(payload->size() == 2);
  CHECK(payload->at("k").data == "text");
  CHECK(payload->at("k").mode == 0600);
  CHECK(payload->at("raw").data == std::string("\0\1", 2));

  volume.configMap->items = {{"k", "sub/name", 0444, std::nullopt}, {"absent", "x", std::nullopt, std::nullopt}};
  CHECK(VolumePayload(pod, volume, objects, {}, {}).status().message() ==
        "configmap references non-existent config key: absent");
  volume.configMap->optional = true;
  payload = VolumePayload(pod, volume, objects, {}, {});
  REQUIRE(payload.ok());
  CHECK(payload->size() == 1);
  CHECK(payload->at("sub/name").mode == 0444);

  volume.configMap->name = "gone";
  CHECK(VolumePayload(pod, volume, objects, {}, {})->empty());
  volume.configMap->optional.reset();
  CHECK(VolumePayload(pod, volume, objects, {}, {}).status().message() == "configmap \"gone\" not found");
}

TEST_CASE("a secret's missing key and a missing secret are named", "[volumes]") {
  kube::Pod pod;
  kube::Volume volume;
  volume.secret.emplace();
  volume.secret->secretName = "s";
  VolumeObjectsSnapshot objects;
  CHECK(VolumePayload(pod, volume, objects, {}, {}).status().message() == "secret \"s\" not found");
  objects.secrets.emplace("s", std::make_shared<const kube::Secret>());
  volume.secret->items = {{"k", "k", std::nullopt, std::nullopt}};
  CHECK(VolumePayload(pod, volume, objects, {}, {}).status().message() == "references non-existent secret key: k");
}

TEST_CASE("a projected volume joins its sources, and tells all that is wrong", "[volumes]") {
  kube::Pod pod = PodWithUser(std::nullopt, std::nullopt);
  kube::Volume volume;
  volume.projected.emplace();
  auto& sources = volume.projected->sources;
  sources.resize(3);
  sources[0].configMap.emplace();
  sources[0].configMap->name = "map";
  sources[1].downwardAPI.emplace();
  sources[1].downwardAPI->items.resize(1);
  sources[1].downwardAPI->items[0].path = "labels";
  sources[1].downwardAPI->items[0].fieldRef.emplace();
  sources[1].downwardAPI->items[0].fieldRef->fieldPath = "metadata.labels";
  sources[2].serviceAccountToken.emplace();
  sources[2].serviceAccountToken->path = "token";
  VolumeObjectsSnapshot objects;
  CHECK(VolumePayload(pod, volume, objects, {}, {}).status().message() ==
        "[configmap \"map\" not found, failed to fetch token: none was asked for]");
  objects.config_maps.emplace("map", MakeConfigMap({{"labels", "overwritten"}}));
  objects.tokens.emplace(TokenKey{"", 3600}, "secret");
  pod.spec.volumes = {volume};
  CHECK(PodTokens(pod) == std::vector<TokenKey>{{"", 3600}});
  auto payload = VolumePayload(pod, volume, objects, {}, {});
  REQUIRE(payload.ok());
  CHECK(payload->at("labels").data == "a=\"b\"");
  CHECK(payload->at("token").data == "secret");
  CHECK(payload->at("token").mode == 0644);
  CHECK_FALSE(payload->at("token").uid.has_value());

  // Private as soon as there is one user, or a group that gets its own bit.
  auto token = [&](const kube::Pod& one) { return VolumePayload(one, volume, objects, {}, {})->at("token"); };
  CHECK(token(PodWithUser(7, std::nullopt)).mode == 0600);
  CHECK(token(PodWithUser(7, std::nullopt)).uid == 7);
  CHECK(token(PodWithUser(std::nullopt, 8)).mode == 0600);
  kube::Pod two = PodWithUser(7, std::nullopt);
  two.spec.containers.resize(2);
  two.spec.containers[1].securityContext.emplace();
  two.spec.containers[1].securityContext->runAsUser = 9;
  CHECK(token(two).mode == 0644);
}

TEST_CASE("mount points inside a volume are foreseen", "[volumes]") {
  kube::Pod pod;
  pod.spec.containers.resize(1);
  auto& mounts = pod.spec.containers[0].volumeMounts;
  for (auto [name, path] :
       {std::pair{"v", "/etc/v"}, {"a", "/etc/v/x/y"}, {"b", "/etc/v/x/y/z"}, {"c", "/etc/vv"}, {"d", "/etc/v/w/"}}) {
    mounts.emplace_back();
    mounts.back().name = name;
    mounts.back().mountPath = path;
  }
  CHECK(NestedMountPoints(pod, "v") == std::vector<std::string>{"w", "x/y"});
  CHECK(NestedMountPoints(pod, "a") == std::vector<std::string>{"z"});
  CHECK(NestedMountPoints(pod, "c").empty());
}

TEST_CASE("a token is renewed at 80 % of its life, after a day at the latest", "[volumes]") {
  using std::chrono::hours;
  using std::chrono::seconds;
  const WallTime now = std::chrono::system_clock::now();
  auto schedule = [&](std::int64_t asked, std::int64_t given, double jitter) {
    kube::TokenRequestStatus status;
    status.token = "t";
    status.expirationTimestamp.unix_nanos =
        std::chrono::duration_cast<std::chrono::nanoseconds>((now + seconds(given)).time_since_epoch()).count();
    return std::chrono::duration_cast<seconds>(ScheduleToken(status, asked, now, jitter).refresh_at - now).count();
  };
  CHECK(schedule(3600, 3600, 0) == 2880);
  CHECK(schedule(3600, 3600, 0.5) == 2875);
  CHECK(schedule(3600, 600, 0) == 480);          // the server gave less
  CHECK(schedule(3600, 4000, 0) == 400 + 2880);  // clocks apart: counted back from the end
  CHECK(schedule(100000, 100000, 0) == 80000);
  CHECK(schedule(200000, 200000, 0) == 86400);
  CHECK(schedule(10, 10, 0.999) >= 7);  // the spread stays small beside a short life
  CHECK(schedule(3600, -5, 0) == 10);
  CHECK(ScheduleToken({"t", {}}, 100, now, 0).expires == now + seconds(100));
}

}  // namespace burstlet::provider
