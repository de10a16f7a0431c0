// What a container's start takes from elsewhere, over fakes: image volumes and environment files.
#include <catch2/catch.hpp>

#include <sys/stat.h>

#include <filesystem>
#include <fstream>

#include "test/provider/fakes/fake_agent.h"

namespace burstlet::provider {
namespace {

using test::NewContainer;
using test::NewPod;
using test::World;

kube::Volume ImageVolume(const std::string& name, const std::string& reference) {
  kube::Volume volume;
  volume.name = name;
  volume.image = kube::ImageVolumeSource{reference, "IfNotPresent"};
  return volume;
}

kube::Container Mounting(const std::string& name, const std::string& volume) {
  kube::Container container = NewContainer(name);
  kube::VolumeMount mount;
  mount.name = volume;
  mount.mountPath = "/data";
  mount.subPath = "sub";
  container.volumeMounts.push_back(mount);
  return container;
}

const kube::ContainerStatus* StatusOf(const World& world, const std::string& name) {
  const auto pod = world.api.pods.find("u1");
  if (pod == world.api.pods.end()) return nullptr;
  for (const kube::ContainerStatus& status : pod->second.status.containerStatuses) {
    if (status.name == name) return &status;
  }
  return nullptr;
}

std::string WaitingReason(const World& world, const std::string& name) {
  const kube::ContainerStatus* status = StatusOf(world, name);
  return status != nullptr && status->state.waiting ? status->state.waiting->reason : "";
}

kube::Container ReadingFile(const std::string& path, bool optional) {
  kube::Container container = NewContainer("a");
  kube::EnvVar variable;
  variable.name = "FROM_FILE";
  variable.valueFrom.emplace();
  variable.valueFrom->fileKeyRef = kube::FileKeySelector{"files", path, "KEY", optional};
  container.env.push_back(variable);
  return container;
}

}  // namespace

TEST_CASE("an image volume is pulled and its layers are mounted", "[pod_worker]") {
  World world;
  world.Boot();
  kube::Pod pod = NewPod("u1", {Mounting("a", "model")});
  pod.spec.volumes.push_back(ImageVolume("model", "model:1"));
  world.Create(pod);
  REQUIRE(world.UntilRunning("u1"));
  CHECK(world.host.Reached("pull model:1"));
  REQUIRE(world.host.specs["a"].mounts.size() >= 1);
  const sandbox::MountSpec* found = nullptr;
  for (const sandbox::MountSpec& mount : world.host.specs["a"].mounts) {
    if (mount.destination == "/data") found = &mount;
  }
  REQUIRE(found != nullptr);
  CHECK(found->image_layers == std::vector<std::string>{"/layer"});
  CHECK(found->volume.empty());
  CHECK(found->sub_path == "sub");
  CHECK(found->read_only);
}

TEST_CASE("an image volume that can't be had holds up only the containers that mount it", "[pod_worker]") {
  World world;
  auto& agent = world.Boot();
  kube::Pod pod = NewPod("u1", {Mounting("a", "model"), NewContainer("b")});
  pod.spec.volumes.push_back(ImageVolume("model", "missing:1"));
  pod.spec.volumes.push_back(ImageVolume("unused", "missing:1"));
  world.Create(pod);
  REQUIRE(agent.Until([&] { return WaitingReason(world, "a") == "ErrImagePull" && world.host.Running("b"); }));
  CHECK_THAT(StatusOf(world, "a")->state.waiting->message, Catch::Contains("failed to pull image \"missing:1\""));
  CHECK(agent.events.Has("Failed"));
  REQUIRE(agent.Until([&] { return WaitingReason(world, "a") == "ImagePullBackOff"; }));
  CHECK_FALSE(world.host.Running("a"));
}

TEST_CASE("an image volume with the policy Never must be there", "[pod_worker]") {
  World world;
  auto& agent = world.Boot();
  kube::Pod pod = NewPod("u1", {Mounting("a", "model")});
  pod.spec.volumes.push_back(ImageVolume("model", "model:1"));
  pod.spec.volumes[0].image->pullPolicy = "Never";
  world.Create(pod);
  REQUIRE(agent.Until([&] { return WaitingReason(world, "a") == "ErrImageNeverPull"; }));
  CHECK_FALSE(world.host.Reached("pull model:1"));
}

TEST_CASE("a variable comes out of a file that a container wrote into a volume", "[pod_worker]") {
  World world;
  const std::string directory = world.root + "/files";
  std::filesystem::create_directories(directory + "/sub");
  std::ofstream(directory + "/sub/env") << "KEY='from the file'\n";
  std::filesystem::create_symlink("/sub/env", directory + "/link");  // a link is as in the volume's own root
  world.host.volume_directories["files"] = directory;
  world.Boot();
  world.Create(NewPod("u1", {ReadingFile("link", false)}));
  REQUIRE(world.UntilRunning("u1"));
  const auto& env = world.host.specs["a"].env;
  CHECK(std::find(env.begin(), env.end(), "FROM_FILE=from the file") != env.end());
}

TEST_CASE("an environment file that can't be used keeps the container waiting", "[pod_worker]") {
  const std::string wanted =
      GENERATE(as<std::string>{}, "missing", "fifo", "directory", "large", "out", "no-key", "malformed", "no-volume");
  World world;
  const std::string directory = world.root + "/files";
  std::filesystem::create_directories(directory + "/directory");
  std::ofstream(world.root + "/outside") << "KEY='secret'\n";
  REQUIRE(mkfifo((directory + "/fifo").c_str(), 0600) == 0);
  std::ofstream(directory + "/large") << std::string(2 << 20, '\n');
  std::ofstream(directory + "/no-key") << "OTHER='1'\n";
  std::ofstream(directory + "/malformed") << "KEY=1\n";
  std::filesystem::create_symlink("../outside", directory + "/out");
  if (wanted != "no-volume") world.host.volume_directories["files"] = directory;
  auto& agent = world.Boot();
  world.Create(NewPod("u1", {ReadingFile(wanted, false)}));
  REQUIRE(agent.Until([&] { return WaitingReason(world, "a") == "CreateContainerConfigError"; }));
  const std::string message = StatusOf(world, "a")->state.waiting->message;
  INFO(wanted);
  CHECK(message == (wanted == "no-key"
                        ? "environment variable key \"KEY\" not found in file \"no-key\" of volume \"files\""
                        : "couldn't parse env file"));
  CHECK_FALSE(world.host.Running("a"));
}

TEST_CASE("an optional key that a file lacks leaves the variable out", "[pod_worker]") {
  World world;
  std::filesystem::create_directories(world.root + "/files");
  std::ofstream(world.root + "/files/env") << "OTHER='1'\n";
  world.host.volume_directories["files"] = world.root + "/files";
  world.Boot();
  world.Create(NewPod("u1", {ReadingFile("env", true)}));
  REQUIRE(world.UntilRunning("u1"));
  for (const std::string& variable : world.host.specs["a"].env) CHECK(variable.rfind("FROM_FILE", 0) != 0);
}

}  // namespace burstlet::provider
