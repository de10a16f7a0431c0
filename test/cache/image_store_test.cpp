// The store as its users see it: one pull for many callers, cancelling, pins, restart, crash, full disk.
#include <fcntl.h>
#include <sys/mount.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <chrono>
#include <condition_variable>
#include <set>
#include <thread>

#include "cache/local_image_store.h"
#include "metrics/status.h"
#include "test/cache/fake_registry.h"
#include "test/cache/temp_dir.h"

namespace burstlet::cache {
namespace {

using namespace burstlet::cache::test;

TestImage Numbered(int number) {
  return MakeImage({GzipLayer(TarBuilder().File("shared", "shared by all").Finish()),
                    GzipLayer(TarBuilder().File("own", std::to_string(number)).Finish())},
                   true, std::to_string(number));
}

/// A door that requests wait at until the test opens it.
class Gate {
 public:
  void Open() {
    const std::lock_guard<std::mutex> lock(mutex_);
    open_ = true;
    changed_.notify_all();
  }
  void Pass(Connection& connection) {
    std::unique_lock<std::mutex> lock(mutex_);
    ++waiting_;
    changed_.notify_all();
    while (!open_ && !connection.stopping()) changed_.wait_for(lock, std::chrono::milliseconds(20));
  }
  void AwaitArrivals(int count) {
    std::unique_lock<std::mutex> lock(mutex_);
    changed_.wait(lock, [&] { return waiting_ >= count; });
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  bool open_ = false;
  int waiting_ = 0;
};

std::unique_ptr<LocalImageStore> OpenStore(const std::string& root, const LayerOptions& layers = {}) {
  auto store = LocalImageStore::Open(root, {}, layers);
  INFO(store.status().ToString());
  REQUIRE(store.ok());
  return *std::move(store);
}

void CheckEmpty(const std::string& root) {
  for (const char* name : {"layers", "mounts", "images", "refs", "tmp"}) CHECK(CountEntries(root + "/" + name) == 0);
}

}  // namespace

TEST_CASE("twenty callers of one image are one download", "[store]") {
  FakeRegistry registry;
  registry.Add("app", "v1", Numbered(1));
  TempDir dir;
  auto store = OpenStore(dir / "images");
  std::atomic<int> failed{0};
  std::vector<std::thread> callers;
  for (int i = 0; i < 20; ++i) {
    callers.emplace_back([&] {
      const auto result = store->Pull({registry.host() + "/app:v1", {}, nullptr});
      if (!result.ok() || result->image == nullptr) ++failed;
    });
  }
  for (std::thread& caller : callers) caller.join();
  CHECK(failed == 0);
  CHECK(registry.Blobs("app") == 3);
}

TEST_CASE("twenty images that share a layer fetch it once", "[store]") {
  FakeRegistry registry;
  for (int i = 0; i < 20; ++i) registry.Add("app", "v" + std::to_string(i), Numbered(i));
  TempDir dir;
  auto store = OpenStore(dir / "images");
  std::atomic<int> failed{0};
  std::vector<std::thread> callers;
  for (int i = 0; i < 20; ++i) {
    callers.emplace_back([&, i] {
      if (!store->Pull({registry.host() + "/app:v" + std::to_string(i), {}, nullptr}).ok()) ++failed;
    });
  }
  for (std::thread& caller : callers) caller.join();
  CHECK(failed == 0);
  CHECK(registry.Blobs("app") == 20 * 2 + 1);
  CHECK(store->List().size() == 20);
  CHECK(CountEntries(dir / "images/layers") == 21);
}

TEST_CASE("a caller that is cancelled leaves, the pull goes on for the others", "[store]") {
  Gate gate;
  FakeRegistry registry([&](const ServerRequest& request, Connection& c) {
    if (request.target.find("/blobs/") != std::string::npos) gate.Pass(c);
    return false;
  });
  registry.Add("app", "v1", Numbered(1));
  TempDir dir;
  auto store = OpenStore(dir / "images");
  const std::string reference = registry.host() + "/app:v1";
  auto cancelled = std::make_shared<std::atomic<bool>>(false);
  absl::Status left, stayed = absl::UnknownError("");
  std::thread leaver([&] { left = store->Pull({reference, {}, cancelled}).status(); });
  std::thread stayer([&] { stayed = store->Pull({reference, {}, nullptr}).status(); });
  gate.AwaitArrivals(1);
  *cancelled = true;
  leaver.join();
  CHECK(left.code() == absl::StatusCode::kCancelled);
  gate.Open();
  stayer.join();
  INFO(stayed.ToString());
  CHECK(stayed.ok());
  CHECK(registry.Blobs("app") == 3);
}

TEST_CASE("when the last caller is cancelled the pull ends, and the next one starts anew", "[store]") {
  Gate gate;
  FakeRegistry registry([&](const ServerRequest& request, Connection& c) {
    if (request.target.find("/blobs/") != std::string::npos) gate.Pass(c);
    return false;
  });
  registry.Add("app", "v1", Numbered(1));
  TempDir dir;
  auto store = OpenStore(dir / "images");
  auto cancelled = std::make_shared<std::atomic<bool>>(false);
  std::thread caller([&] {
    CHECK(store->Pull({registry.host() + "/app:v1", {}, cancelled}).status().code() == absl::StatusCode::kCancelled);
  });
  gate.AwaitArrivals(1);
  *cancelled = true;
  caller.join();
  gate.Open();
  const auto result = store->Pull({registry.host() + "/app:v1", {}, nullptr});
  INFO(result.status().ToString());
  CHECK(result.ok());
}

TEST_CASE("closing the store ends pulls that hang", "[store]") {
  FakeRegistry registry([](const ServerRequest& request, Connection& c) {
    if (request.target.find("/blobs/") == std::string::npos) return false;
    c.Hang();
    return true;
  });
  registry.Add("app", "v1", Numbered(1));
  TempDir dir;
  auto store = OpenStore(dir / "images");
  auto cancelled = std::make_shared<std::atomic<bool>>(false);
  std::thread caller([&] { CHECK_FALSE(store->Pull({registry.host() + "/app:v1", {}, cancelled}).ok()); });
  while (registry.Blobs("app") == 0) std::this_thread::yield();
  *cancelled = true;
  caller.join();
  store.reset();
  CheckEmpty(dir / "images");
}

TEST_CASE("pods with other credentials do not ride on somebody's pull", "[store]") {
  FakeRegistry registry([](const ServerRequest& request, Connection& c) {
    if (request.target == "/v2/" || request.headers.count("authorization") != 0) return false;
    c.SendResponse(401, "", "WWW-Authenticate: Basic realm=\"x\"\r\n");
    return true;
  });
  registry.Add("app", "v1", Numbered(1));
  TempDir dir;
  auto store = OpenStore(dir / "images");
  CHECK(store->Pull({registry.host() + "/app:v1", {Credentials{"alice", "secret", "", ""}}, nullptr}).ok());
  CHECK(store->Pull({registry.host() + "/app:v1", {}, nullptr}).status().code() == absl::StatusCode::kUnauthenticated);
}

TEST_CASE("a tag that moves leaves the old image to its digest", "[store]") {
  FakeRegistry registry;
  registry.Add("app", "v1", Numbered(1));
  TempDir dir;
  auto store = OpenStore(dir / "images");
  const std::string reference = registry.host() + "/app:v1";
  const auto old = store->Pull({reference, {}, nullptr})->image;
  registry.Add("app", "v1", Numbered(2));
  const auto moved = store->Pull({reference, {}, nullptr});
  REQUIRE(moved.ok());
  CHECK_FALSE(moved->already_present);
  CHECK(moved->image->id != old->id);
  CHECK(store->Find(reference)->id == moved->image->id);
  CHECK(store->Find(old->repo_digest)->id == old->id);
  CHECK(store->Find(old->repo_digest)->repo_tags.empty());
  store.reset();
  store = OpenStore(dir / "images");
  CHECK(store->Find(reference)->id == moved->image->id);
  CHECK(store->List().size() == 2);
}

TEST_CASE("an image in use is not removed; one that is not goes with its layers", "[store]") {
  const LayerOptions layers{.format = GENERATE("auto", "directory")};
  FakeRegistry registry;
  registry.Add("app", "v1", Numbered(1));
  registry.Add("app", "v2", Numbered(2));
  TempDir dir;
  auto store = OpenStore(dir / "images", layers);
  const std::string one = registry.host() + "/app:v1", two = registry.host() + "/app:v2";
  auto pinned = store->Pull({one, {}, nullptr})->image;
  REQUIRE(store->Pull({two, {}, nullptr}).ok());
  CHECK(CountEntries(dir / "images/layers") == 3);
  CHECK(store->Remove(one).code() == absl::StatusCode::kFailedPrecondition);
  // A pin from before the names changed still counts.
  registry.Add("app", "latest", Numbered(1));
  REQUIRE(store->Pull({registry.host() + "/app", {}, nullptr}).ok());
  CHECK(store->Remove(one).code() == absl::StatusCode::kFailedPrecondition);
  for (const StoredImage& image : store->Usage()) CHECK(image.in_use == (image.id == pinned->id));
  CHECK(store->Usage().size() == 2);
  CHECK(store->Remove(two).ok());
  CHECK(store->Find(two) == nullptr);
  CHECK(CountEntries(dir / "images/layers") == 2);
  const std::string id = pinned->id;
  pinned.reset();
  CHECK_FALSE(store->Usage().at(0).in_use);
  CHECK(store->Remove(id).ok());
  CHECK(store->Remove(id).code() == absl::StatusCode::kNotFound);
  CheckEmpty(dir / "images");
}

TEST_CASE("what a crash leaves is swept, what was whole stays", "[store]") {
  const LayerOptions layers{.format = GENERATE("auto", "directory")};
  FakeRegistry registry;
  registry.Add("app", "v1", Numbered(1));
  registry.Add("app", "v2", Numbered(2));
  TempDir dir;
  const std::string root = dir / "images";
  const std::string one = registry.host() + "/app:v1", two = registry.host() + "/app:v2";
  std::set<std::string> first;
  {
    auto store = OpenStore(root, layers);
    REQUIRE(store->Pull({one, {}, nullptr}).ok());
    for (const auto& item : std::filesystem::directory_iterator(root + "/layers")) first.insert(item.path());
    REQUIRE(store->Pull({two, {}, nullptr}).ok());
  }
  // Half a layer in tmp, a whole one that no record names, a torn record, a name without an image, a record whose
  // layer is gone.
  std::filesystem::create_directories(root + "/tmp/layer-7/usr/bin");
  std::ofstream(root + "/tmp/layer-7/usr/bin/x") << "half";
  std::filesystem::create_directories(root + "/layers/abcdefabcdefabcdefabcdefab/etc");
  std::ofstream(root + "/images/torn.json") << "{\"id\":\"sha256:";
  std::ofstream(root + "/refs/torn.json") << std::string(100, '\0');
  std::ofstream(root + "/layers/abcdefabcdefabcdefabcdefab.erofs") << "whole, but nobody's";
  std::filesystem::create_directories(root + "/mounts/abcdefabcdefabcdefabcdefab");
  for (const auto& item : std::filesystem::directory_iterator(root + "/layers")) {
    const std::string name = item.path().filename();
    if (first.count(item.path()) == 0 && name.rfind("abcdef", 0) != 0) std::filesystem::remove_all(item.path());
  }
  auto store = OpenStore(root, layers);
  CHECK(store->Find(one) != nullptr);
  CHECK(store->Find(two) == nullptr);
  CHECK(CountEntries(root + "/tmp") == 0);
  CHECK(CountEntries(root + "/layers") == 2);
  CHECK(CountEntries(root + "/mounts") <= 2);
  CHECK_FALSE(std::filesystem::exists(root + "/mounts/abcdefabcdefabcdefabcdefab"));
  CHECK(CountEntries(root + "/images") == 1);
  CHECK(CountEntries(root + "/refs") == 2);
  const int before = registry.Blobs("app");
  CHECK(store->Pull({two, {}, nullptr}).ok());
  CHECK(registry.Blobs("app") == before + 2);  // the shared layer was there
}

TEST_CASE("a store belongs to one process", "[store]") {
  TempDir dir;
  auto store = OpenStore(dir / "images");
  CHECK(ImageStore::Open(dir / "images", {}).status().code() == absl::StatusCode::kFailedPrecondition);
  struct stat st = {};
  stat((dir / "images").c_str(), &st);
  CHECK((st.st_mode & 07777) == 0700);
}

TEST_CASE("a full disk fails the pull and harms nothing", "[store][root]") {
  const LayerOptions layers{.format = GENERATE("auto", "directory")};
  FakeRegistry registry;
  registry.Add("small", "v1", Numbered(1));
  std::string noise;
  for (unsigned i = 0, seed = 7; i < 3'000'000; ++i)
    noise += static_cast<char>((seed = seed * 1103515245 + 12345) >> 16);
  registry.Add("big", "v1", MakeImage({GzipLayer(TarBuilder().File("big", noise).Finish())}));
  TempDir dir;
  if (mount("tmpfs", dir.path().c_str(), "tmpfs", 0, "size=2m") != 0) {
    WARN("skipped: mounting a tmpfs is not allowed here");
    return;
  }
  {
    auto store = OpenStore(dir / "images", layers);
    REQUIRE(store->Pull({registry.host() + "/small:v1", {}, nullptr}).ok());
    const auto result = store->Pull({registry.host() + "/big:v1", {}, nullptr});
    REQUIRE_FALSE(result.ok());
    INFO(result.status().ToString());
    CHECK(std::string(result.status().message()).find("No space left on device") != std::string::npos);
    CHECK(ReasonOf(result.status()) == "ErrImagePull");
    CHECK(CountEntries(dir / "images/tmp") == 0);
    CHECK(store->Find(registry.host() + "/small:v1") != nullptr);
    CHECK(store->Pull({registry.host() + "/small:v1", {}, nullptr}).ok());
  }
  umount2(dir.path().c_str(), MNT_DETACH);
}

TEST_CASE("a wrong reference is told apart before anything else", "[store]") {
  TempDir dir;
  auto store = OpenStore(dir / "images");
  CHECK(ReasonOf(store->Pull({"Bad Name", {}, nullptr}).status()) == "InvalidImageName");
  CHECK(store->Find("Bad Name") == nullptr);
  CHECK(store->Remove("Bad Name").code() == absl::StatusCode::kNotFound);
}

}  // namespace burstlet::cache
