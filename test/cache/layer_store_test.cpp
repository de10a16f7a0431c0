// Layers as mounted images: shared, found again, freed, checked against bit rot, many of them in one overlay.
#include <fcntl.h>
#include <linux/stat.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <chrono>
#include <thread>

#include "cache/layer_mounts.h"
#include "cache/local_image_store.h"
#include "metrics/status.h"
#include "sandbox/os/mount.h"
#include "test/cache/fake_registry.h"
#include "test/cache/temp_dir.h"

namespace burstlet::cache {
namespace {

using namespace burstlet::cache::test;

std::unique_ptr<LocalImageStore> OpenStore(const std::string& root, const LayerOptions& layers) {
  auto store = LocalImageStore::Open(root, {}, layers);
  INFO(store.status().ToString());
  REQUIRE(store.ok());
  return *std::move(store);
}

std::uint64_t MountId(const std::string& path) {
  struct statx info = {};
  REQUIRE(statx(AT_FDCWD, path.c_str(), 0, STATX_MNT_ID, &info) == 0);
  return info.stx_mnt_id;
}

/// Mounts, and loop devices of files, below a directory.
int Traces(const std::string& directory) {
  int count = 0;
  std::ifstream mounts("/proc/self/mountinfo");
  for (std::string line; std::getline(mounts, line);) count += line.find(directory) != std::string::npos;
  for (const auto& item : std::filesystem::directory_iterator("/sys/block")) {
    const std::string file = item.path().string() + "/loop/backing_file";
    if (std::filesystem::exists(file)) count += ReadFile(file).find(directory) != std::string::npos;
  }
  return count;
}

TestImage TwoLayers() {
  return MakeImage({GzipLayer(TarBuilder().File("etc/below", "below").File("etc/gone", "x").Finish()),
                    ZstdLayer(TarBuilder().File("etc/.wh.gone").File("etc/above", std::string(10'000, 'a')).Finish())});
}

std::string OnlyImageFile(const std::string& root, std::size_t size_above) {
  std::string found;
  for (const auto& item : std::filesystem::directory_iterator(root + "/layers")) {
    if (item.file_size() > size_above) found = item.path();
  }
  REQUIRE_FALSE(found.empty());
  return found;
}

/// This machine's best format; the tests below are about mounted images.
bool MountsImages(const std::string& format) {
  TempDir dir;
  const auto choice = ChooseLayerFormat(dir.path(), format);
  if (choice.ok() && choice->format != LayerFormat::kDirectory) return true;
  WARN("skipped: no EROFS images here: " << choice.status().ToString() << (choice.ok() ? choice->why : ""));
  return false;
}

}  // namespace

TEST_CASE("mounted layers are shared, found by the next store, and gone with the last", "[layers][root]") {
  const std::string format = GENERATE("auto", "erofs-loop");
  if (!MountsImages(format)) return;
  FakeRegistry registry;
  registry.Add("app", "v1", TwoLayers());
  registry.Add("app", "v2", TwoLayers());
  TempDir dir;
  const std::string root = dir / "images", reference = registry.host() + "/app:v1";
  std::uint64_t mount = 0;
  {
    auto store = OpenStore(root, {.format = format, .keep_mounts = true});
    const auto image = store->Pull({reference, {}, nullptr})->image;
    REQUIRE(image->layer_dirs.size() == 2);
    CHECK(ReadFile(image->layer_dirs[1] + "/etc/below") == "below");
    CHECK(ReadFile(image->layer_dirs[0] + "/etc/above") == std::string(10'000, 'a'));
    CHECK(store->Pull({registry.host() + "/app:v2", {}, nullptr})->image->layer_dirs == image->layer_dirs);
    mount = MountId(image->layer_dirs[0]);
  }
  CHECK(Traces(dir.path()) >= 3);
  {
    auto store = OpenStore(root, {.format = format, .keep_mounts = true});
    const auto image = store->Find(reference);
    REQUIRE(image != nullptr);
    CHECK(MountId(image->layer_dirs[0]) == mount);
    CHECK(ReadFile(image->layer_dirs[0] + "/etc/above") == std::string(10'000, 'a'));
  }
  // After a reboot nothing is mounted.
  for (const auto& item : std::filesystem::directory_iterator(root + "/mounts")) {
    REQUIRE(umount2(item.path().c_str(), MNT_DETACH) == 0);
  }
  {
    auto store = OpenStore(root, {.format = format});
    const auto image = store->Find(reference);
    REQUIRE(image != nullptr);
    CHECK(ReadFile(image->layer_dirs[1] + "/etc/below") == "below");
  }
  CHECK(Traces(dir.path()) == 0);
}

TEST_CASE("removing an image takes its mounts and devices away", "[layers][root]") {
  const std::string format = GENERATE("auto", "erofs-loop");
  if (!MountsImages(format)) return;
  FakeRegistry registry;
  registry.Add("app", "v1", TwoLayers());
  TempDir dir;
  auto store = OpenStore(dir / "images", {.format = format});
  const int before = Traces(dir.path());
  REQUIRE(store->Pull({registry.host() + "/app:v1", {}, nullptr}).ok());
  CHECK(Traces(dir.path()) > before);
  REQUIRE(store->Remove(registry.host() + "/app:v1").ok());
  CHECK(Traces(dir.path()) == before);
  CHECK(CountEntries(dir / "images/mounts") == 0);
  CHECK(CountEntries(dir / "images/layers") == 0);
}

TEST_CASE("a flipped bit is found, and the image pulled anew at its next use", "[layers][root]") {
  if (!MountsImages("auto")) return;
  FakeRegistry registry;
  registry.Add("app", "v1", TwoLayers());
  registry.Add("other", "v1", MakeImage({GzipLayer(TarBuilder().File("own", "other").Finish())}));
  TempDir dir;
  const std::string root = dir / "images", reference = registry.host() + "/app:v1";
  const bool by_thread = GENERATE(false, true);
  LayerOptions options;
  if (by_thread) options.scrub_interval = std::chrono::milliseconds(1);
  auto store = OpenStore(root, options);
  REQUIRE(store->Pull({registry.host() + "/other:v1", {}, nullptr}).ok());
  const auto held = store->Pull({reference, {}, nullptr})->image;
  CHECK(store->Scrub() == 0);
  CHECK(store->Find(reference) != nullptr);

  const std::string file = OnlyImageFile(root, 20'000);
  const Fd fd(open(file.c_str(), O_RDWR | O_CLOEXEC));
  REQUIRE(pwrite(fd.get(), "b", 1, 4096 + 5000) == 1);
  if (by_thread) {
    const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(60);
    while (store->Find(reference) != nullptr && std::chrono::steady_clock::now() < end) std::this_thread::yield();
  } else {
    CHECK(store->Scrub() == 1);
  }
  CHECK(store->Find(reference) == nullptr);
  CHECK(store->Find(registry.host() + "/other:v1") != nullptr);

  const int blobs = registry.Blobs("app");
  const auto again = store->Pull({reference, {}, nullptr});
  REQUIRE(again.ok());
  CHECK_FALSE(again->already_present);
  CHECK(registry.Blobs("app") > blobs);
  CHECK(ReadFile(again->image->layer_dirs[0] + "/etc/above") == std::string(10'000, 'a'));
  // It was in use all the time; its holder sees the new one under the same name.
  CHECK(held->layer_dirs == again->image->layer_dirs);
  CHECK(store->Scrub() == 0);
}

TEST_CASE("another format by configuration: images are pulled anew, directories go on", "[layers][root]") {
  if (!MountsImages("auto")) return;
  FakeRegistry registry;
  registry.Add("app", "v1", TwoLayers());
  TempDir dir;
  const std::string root = dir / "images", reference = registry.host() + "/app:v1";
  {
    auto store = OpenStore(root, {.format = "auto", .keep_mounts = true});
    REQUIRE(store->Pull({reference, {}, nullptr}).ok());
  }
  {
    auto store = OpenStore(root, {.format = "directory", .keep_mounts = true});
    CHECK(store->Find(reference) == nullptr);
    CHECK(Traces(dir.path()) == 0);
    CHECK(CountEntries(root + "/layers") == 0);
    REQUIRE(store->Pull({reference, {}, nullptr}).ok());
  }
  auto store = OpenStore(root, {});
  const auto image = store->Find(reference);
  REQUIRE(image != nullptr);
  CHECK(ReadFile(image->layer_dirs[1] + "/etc/below") == "below");
}

TEST_CASE("a format that nobody knows is refused by its name", "[layers]") {
  TempDir dir;
  const auto store = LocalImageStore::Open(dir / "images", {}, {.format = "squash"});
  CHECK(store.status().ToString() == "INVALID_ARGUMENT: no format of image layers \"squash\"");
}

TEST_CASE("an overlay of 150 mounted layers", "[layers][root]") {
  if (!MountsImages("auto")) return;
  std::vector<TestLayer> layers;
  for (int i = 0; i < 150; ++i) {
    layers.push_back(
        PlainLayer(TarBuilder().File("f" + std::to_string(i), "x").File("all", std::to_string(i)).Finish()));
  }
  FakeRegistry registry;
  registry.Add("app", "v1", MakeImage(std::move(layers)));
  TempDir dir;
  auto store = OpenStore(dir / "images", {});
  const auto pulled = store->Pull({registry.host() + "/app:v1", {}, nullptr});
  REQUIRE(pulled.ok());
  REQUIRE(pulled->image->layer_dirs.size() == 150);
  for (const char* name : {"upper", "work"}) std::filesystem::create_directory(dir / name);
  const auto mounted =
      sandbox::MountOverlay({pulled->image->layer_dirs, dir / "upper", dir / "work", dir / "scratch", -1});
  INFO(mounted.status().ToString());
  REQUIRE(mounted.ok());
  const std::string top = "/proc/self/fd/" + std::to_string(mounted->get());
  CHECK(ReadFile(top + "/all") == "149");
  CHECK(CountEntries(top) == 151);
}

}  // namespace burstlet::cache
