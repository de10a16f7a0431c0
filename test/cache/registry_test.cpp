// Pulls from a real docker-registry: plain HTTP, TLS with a login, both media type families, restart.
#include <sys/stat.h>
#include <sys/xattr.h>
#include <catch2/catch.hpp>
#include <cstdlib>

#include "cache/image_store.h"
#include "metrics/status.h"
#include "test/cache/docker_registry.h"
#include "test/cache/image_builder.h"
#include "test/cache/temp_dir.h"

/// A skip that says its reason.
#define NEEDS_DOCKER_REGISTRY()                        \
  if (!HaveDockerRegistry()) {                         \
    WARN("skipped: docker-registry is not installed"); \
    return;                                            \
  }

namespace burstlet::cache {
namespace {

using namespace burstlet::cache::test;

std::unique_ptr<ImageStore> OpenStore(const std::string& root, const RegistryConfig& config = {}) {
  auto store = ImageStore::Open(root, config);
  INFO(store.status().ToString());
  REQUIRE(store.ok());
  return *std::move(store);
}

PullResult PullOk(ImageStore& store, const PullRequest& request) {
  auto result = store.Pull(request);
  INFO(result.status().ToString());
  REQUIRE(result.ok());
  REQUIRE(result->image != nullptr);
  return *result;
}

TestImage SmallImage() {
  TarBuilder bottom;
  bottom.Dir("bin/").File("bin/app", "#!/bin/sh\n", {0755, 0, 0, 1'500'000'000, {}}).File("etc/gone", "old");
  TarBuilder top;
  top.Dir("etc/").File("etc/.wh.gone").File("etc/new", "new");
  return MakeImage(
      {GzipLayer(bottom.Finish()), ZstdLayer(top.Finish()), PlainLayer(TarBuilder().File("srv/x", "x").Finish())});
}

}  // namespace

TEST_CASE("an image is pulled over plain HTTP from loopback and found again after a restart", "[registry]") {
  NEEDS_DOCKER_REGISTRY();
  DockerRegistry registry;
  const TestImage image = SmallImage();
  registry.Push("team/app", "v1", image);
  TempDir dir;
  const std::string reference = registry.host() + "/team/app:v1";
  {
    auto store = OpenStore(dir / "images");
    CHECK(store->Find(reference) == nullptr);
    const PullResult result = PullOk(*store, {reference, {}, nullptr});
    CHECK_FALSE(result.already_present);
    CHECK(result.downloaded_bytes > image.manifest.size());
    CHECK(result.image->id == image.ConfigDigest());
    CHECK(result.image->manifest_digest == image.ManifestDigest());
    CHECK(result.image->repo_digest == registry.host() + "/team/app@" + image.ManifestDigest());
    CHECK(result.image->repo_tags == std::vector<std::string>{reference});
    CHECK(result.image->config.cmd == std::vector<std::string>{"/bin/app"});
    CHECK(result.image->config.user == "1234:5678");
    CHECK(result.image->config.stop_signal == "SIGQUIT");
    REQUIRE(result.image->layer_dirs.size() == 3);
    CHECK(ReadFile(result.image->layer_dirs[2] + "/bin/app") == "#!/bin/sh\n");
    CHECK(ReadFile(result.image->layer_dirs[0] + "/srv/x") == "x");
    struct stat st = {};
    REQUIRE(lstat((result.image->layer_dirs[1] + "/etc/gone").c_str(), &st) == 0);
    CHECK(S_ISCHR(st.st_mode));
    CHECK(st.st_rdev == 0);

    const PullResult again = PullOk(*store, {reference, {}, nullptr});
    CHECK(again.already_present);
    CHECK(again.image->id == result.image->id);
  }
  auto store = OpenStore(dir / "images");
  for (const std::string& name : {reference, registry.host() + "/team/app@" + image.ManifestDigest(),
                                  reference + "@" + image.ManifestDigest(), image.ConfigDigest()}) {
    const auto found = store->Find(name);
    INFO(name);
    REQUIRE(found != nullptr);
    CHECK(found->layer_dirs.size() == 3);
  }
  CHECK(store->Find(registry.host() + "/team/other:v1") == nullptr);
}

TEST_CASE("indexes of both families lead to linux/amd64 and are reported by their own digest", "[registry]") {
  NEEDS_DOCKER_REGISTRY();
  const bool oci = GENERATE(false, true);
  DockerRegistry registry;
  TestImage image = MakeImage(
      {oci ? ZstdLayer(TarBuilder().File("a", "a").Finish()) : GzipLayer(TarBuilder().File("a", "a").Finish())}, oci);
  registry.Push("multi", "amd64", image);
  TestImage decoy = image;
  decoy.manifest += " ";
  registry.Push("multi", "arm64", decoy);
  const std::string index = MakeIndex(image, oci);
  registry.PushManifest(
      "multi", "latest",
      oci ? "application/vnd.oci.image.index.v1+json" : "application/vnd.docker.distribution.manifest.list.v2+json",
      index);
  TempDir dir;
  auto store = OpenStore(dir / "images");
  const PullResult result = PullOk(*store, {registry.host() + "/multi", {}, nullptr});
  CHECK(result.image->manifest_digest == DigestOf(index).text());
  CHECK(result.image->id == image.ConfigDigest());
  const PullResult by_digest =
      PullOk(*store, {registry.host() + "/multi:whatever@" + image.ManifestDigest(), {}, nullptr});
  CHECK(by_digest.image->manifest_digest == image.ManifestDigest());
  CHECK(store->Find(registry.host() + "/multi:whatever") == nullptr);
}

TEST_CASE("a registry with TLS and a login on loopback works with the CA and the right password only", "[registry]") {
  NEEDS_DOCKER_REGISTRY();
  TempDir storage;
  const TestImage image = SmallImage();
  {
    DockerRegistry plain({storage.path(), false});
    plain.Push("private/app", "v1", image);
  }
  const DockerRegistry::Options options{storage.path(), true};
  DockerRegistry registry(options);
  TempDir dir;
  RegistryConfig config;
  config.ca_file = registry.ca_file();
  auto store = OpenStore(dir / "images", config);
  for (const std::string& host : {registry.host(), "localhost:" + std::to_string(registry.port())}) {
    const std::string reference = host + "/private/app:v1";
    INFO(reference);
    auto anonymous = store->Pull({reference, {}, nullptr});
    REQUIRE_FALSE(anonymous.ok());
    CHECK(ReasonOf(anonymous.status()) == "ErrImagePull");
    INFO(anonymous.status().ToString());
    CHECK(anonymous.status().code() == absl::StatusCode::kUnauthenticated);
    auto wrong = store->Pull({reference, {Credentials{"alice", "no", "", ""}}, nullptr});
    REQUIRE_FALSE(wrong.ok());
    INFO(wrong.status().ToString());
    CHECK(std::string(wrong.status().message()).find("no") != std::string::npos);
    PullOk(*store, {reference, {Credentials{"alice", "no", "", ""}, Credentials{kUser, kPassword, "", ""}}, nullptr});
  }
  TempDir other;
  auto untrusting = OpenStore(other / "images");
  auto refused =
      untrusting->Pull({registry.host() + "/private/app:v1", {Credentials{kUser, kPassword, "", ""}}, nullptr});
  REQUIRE_FALSE(refused.ok());
  INFO(refused.status().ToString());
  CHECK(ReasonOf(refused.status()) == "RegistryUnavailable");
}

TEST_CASE("what the registry does not have is said in its own words", "[registry]") {
  NEEDS_DOCKER_REGISTRY();
  DockerRegistry registry;
  TempDir dir;
  auto store = OpenStore(dir / "images");
  auto result = store->Pull({registry.host() + "/no/such:tag", {}, nullptr});
  REQUIRE_FALSE(result.ok());
  const std::string text(result.status().message());
  INFO(text);
  CHECK(text.find("failed to pull and unpack image \"" + registry.host() + "/no/such:tag\"") == 0);
  CHECK(text.find(": not found") != std::string::npos);
  CHECK(text.find("MANIFEST_UNKNOWN") != std::string::npos);
  CHECK(ReasonOf(result.status()) == "ErrImagePull");
}

TEST_CASE("an image of 120 layers has 120 short directories", "[registry]") {
  NEEDS_DOCKER_REGISTRY();
  DockerRegistry registry;
  std::vector<TestLayer> layers;
  for (int i = 0; i < 120; ++i) layers.push_back(GzipLayer(TarBuilder().File("f" + std::to_string(i), "x").Finish()));
  layers.push_back(layers[0]);  // the same layer twice: overlayfs would refuse one directory twice
  registry.Push("deep", "v1", MakeImage(layers));
  TempDir dir;
  auto store = OpenStore(dir / "images");
  const PullResult result = PullOk(*store, {registry.host() + "/deep:v1", {}, nullptr});
  CHECK(result.image->layer_dirs.size() == 120);
  CHECK(ReadFile(result.image->layer_dirs[0] + "/f0") == "x");
  CHECK(ReadFile(result.image->layer_dirs[1] + "/f119") == "x");
}

}  // namespace burstlet::cache
