// Which images go when the disk fills or age asks for it, and that no other does.
#include "provider/image_gc.h"

#include <catch2/catch.hpp>

#include "provider/stats/node_reader.h"
#include "test/provider/fakes/fake_sources.h"
#include "test/provider/loop_runner.h"

namespace burstlet::provider {
namespace {

using std::chrono::hours;
using std::chrono::minutes;
using std::chrono::seconds;
using Ids = std::vector<std::string>;

constexpr std::uint64_t kGb = 1'000'000'000;

FsSpace Disk(std::uint64_t capacity, std::uint64_t available) {
  FsSpace space;
  space.capacity_bytes = capacity;
  space.available_bytes = available;
  return space;
}

/// A store whose images take `size_bytes` each of a disk.
class Store : public cache::ImageStore {
 public:
  std::vector<cache::StoredImage> images;
  std::string broken;  // cannot be removed
  std::uint64_t available = 0;

  std::shared_ptr<const cache::Image> Find(const std::string&) override { return nullptr; }
  absl::StatusOr<cache::PullResult> Pull(const cache::PullRequest&) override { return absl::UnavailableError(""); }
  std::vector<std::shared_ptr<const cache::Image>> List() override { return {}; }
  std::vector<cache::StoredImage> Usage() override { return images; }
  absl::Status Remove(const std::string& id) override {
    if (id == broken) return absl::InternalError("a directory cannot be removed");
    for (auto it = images.begin(); it != images.end(); ++it) {
      if (it->id != id) continue;
      if (it->in_use) return absl::FailedPreconditionError("in use");
      available += it->size_bytes;
      images.erase(it);
      return absl::OkStatus();
    }
    return absl::NotFoundError("no image");
  }
  bool Has(const std::string& id) const {
    return std::any_of(images.begin(), images.end(), [&](const auto& image) { return image.id == id; });
  }
};

struct Fixture {
  explicit Fixture(ImageGcPolicy policy)
      : collector(loop, store, events, metrics, policy, [this] { return Disk(100 * kGb, store.available); }) {}
  absl::Status Collect() {
    absl::Status status;
    RunOnLoop(loop, Once(status));
    return status;
  }
  kube::Task<void> Once(absl::Status& status) { status = co_await collector.Collect(); }

  kube::Loop loop;
  Store store;
  test::FakeEvents events;
  Metrics metrics;
  ImageGarbageCollector collector;
};

ImageGcPolicy Eager() {
  ImageGcPolicy policy;
  policy.minimum_age = seconds(0);
  return policy;
}

}  // namespace

TEST_CASE("bytes are freed from the high mark on, down to the low one", "[image_gc]") {
  ImageGcPolicy policy;
  CHECK(BytesToFree(Disk(100 * kGb, 16 * kGb), policy) == 0);
  CHECK(BytesToFree(Disk(100 * kGb, 15 * kGb), policy) == 5 * kGb);
  CHECK(BytesToFree(Disk(100 * kGb, 0), policy) == 20 * kGb);
  CHECK(BytesToFree(Disk(100 * kGb, 200 * kGb), policy) == 0);
  CHECK(BytesToFree(Disk(0, 0), policy) == 0);
  policy.high_threshold_percent = 100;
  CHECK(BytesToFree(Disk(100 * kGb, 0), policy) == 0);
}

TEST_CASE("images that were unused for the longest time go first, new ones and those in use never", "[image_gc]") {
  const ImageUseHistory::Time begin{hours(100)};
  ImageUseHistory history;
  history.Look({{"old", 1, true}, {"never", 1, false}, {"busy", 1, true}}, begin);
  history.Look({{"old", 1, false}, {"never", 1, false}, {"busy", 1, true}, {"recent", 1, true}}, begin + minutes(5));
  const auto now = begin + minutes(10);
  history.Look({{"old", 1, false}, {"never", 1, false}, {"busy", 1, true}, {"recent", 1, false}, {"new", 1, false}},
               now);
  CHECK(history.Candidates(now, ImageGcPolicy{}) == Ids{"never", "old", "recent"});
  CHECK(history.Candidates(now + minutes(2), ImageGcPolicy{}) == Ids{"never", "new", "old", "recent"});
  history.Look({{"old", 1, false}}, now);
  CHECK(history.Candidates(now, ImageGcPolicy{}) == Ids{"old"});
}

TEST_CASE("an image that nobody used for longer than the maximum age goes", "[image_gc]") {
  const ImageUseHistory::Time begin{hours(100)};
  ImageUseHistory history;
  history.Look({{"a", 1, true}, {"b", 1, false}, {"c", 1, true}}, begin);
  history.Look({{"a", 1, false}, {"b", 1, false}, {"c", 1, true}}, begin + hours(2));
  ImageGcPolicy policy;
  CHECK(history.Outlived(begin + hours(2), policy).empty());
  policy.maximum_age = hours(1);
  CHECK(history.Outlived(begin + hours(2), policy) == Ids{"a", "b"});
  policy.maximum_age = hours(2);
  CHECK(history.Outlived(begin + hours(2), policy).empty());
}

TEST_CASE("a full disk loses as many unused images as it must", "[image_gc]") {
  Fixture f(Eager());
  f.store.images = {{"a", 4 * kGb, false}, {"b", 4 * kGb, true}, {"c", 4 * kGb, false}, {"d", 4 * kGb, false}};
  f.store.available = 14 * kGb;
  CHECK(f.Collect().ok());
  CHECK(f.store.Has("b"));
  CHECK(f.store.images.size() == 2);
  CHECK(f.store.available == 22 * kGb);
  CHECK(f.metrics.Text().find("kubelet_image_garbage_collected_total{reason=\"space\"} 2") != std::string::npos);
  CHECK(f.Collect().ok());
  CHECK(f.store.images.size() == 2);
}

TEST_CASE("what could not be freed is told in the kubelet's words", "[image_gc]") {
  Fixture f(Eager());
  f.store.images = {{"a", 4 * kGb, false}, {"b", 4 * kGb, true}, {"stuck", 4 * kGb, false}};
  f.store.broken = "stuck";
  f.store.available = 10 * kGb;
  const absl::Status status = f.Collect();
  CHECK(absl::IsResourceExhausted(status));
  CHECK(status.message() ==
        "Failed to garbage collect required amount of images. Attempted to free 10000000000 bytes, but only found "
        "4000000000 bytes eligible to free.");
  CHECK_FALSE(f.store.Has("a"));
  CHECK(f.store.Has("b"));
  CHECK(f.store.Has("stuck"));
}

}  // namespace burstlet::provider
