#include "provider/image_gc.h"

#include <algorithm>
#include <set>
#include <utility>

#include "absl/strings/str_cat.h"
#include "kube/async/loop.h"
#include "metrics/log.h"
#include "metrics/status.h"

namespace burstlet::provider {
namespace {

using std::chrono::steady_clock;

constexpr std::chrono::minutes kPeriod{5};  // ImageGCPeriod
/// Later than everything that a start does; an agent that found a full disk must not wait a whole period.
constexpr std::chrono::minutes kFirst{1};

}  // namespace

void ImageUseHistory::Look(const std::vector<cache::StoredImage>& images, Time now) {
  std::set<std::string> present;
  for (const cache::StoredImage& image : images) {
    present.insert(image.id);
    Use& use = images_.try_emplace(image.id, Use{now, std::nullopt, false}).first->second;
    use.in_use = image.in_use;
    if (image.in_use) use.used = now;
  }
  std::erase_if(images_, [&](const auto& entry) { return !present.contains(entry.first); });
}

std::vector<std::string> ImageUseHistory::Candidates(Time now, const ImageGcPolicy& policy) const {
  std::vector<std::pair<std::string, Use>> unused;
  for (const auto& entry : images_) {
    if (!entry.second.in_use && now - entry.second.detected >= policy.minimum_age) unused.push_back(entry);
  }
  std::sort(unused.begin(), unused.end(), [](const auto& a, const auto& b) {
    const auto key = [](const Use& use) { return std::pair(use.used.value_or(Time::min()), use.detected); };
    return std::pair(key(a.second), a.first) < std::pair(key(b.second), b.first);
  });
  std::vector<std::string> ids;
  for (const auto& [id, use] : unused) ids.push_back(id);
  return ids;
}

std::vector<std::string> ImageUseHistory::Outlived(Time now, const ImageGcPolicy& policy) const {
  std::vector<std::string> ids;
  if (policy.maximum_age.count() == 0) return ids;
  for (const auto& [id, use] : images_) {
    // A new agent does not know when an image was used last: its age begins with the agent.
    if (!use.in_use && now - use.used.value_or(use.detected) > policy.maximum_age) ids.push_back(id);
  }
  return ids;
}

std::uint64_t BytesToFree(const FsSpace& space, const ImageGcPolicy& policy) {
  if (space.capacity_bytes == 0) return 0;
  const std::uint64_t percent = space.capacity_bytes / 100;
  const std::uint64_t used = space.capacity_bytes - std::min(space.available_bytes, space.capacity_bytes);
  if (policy.high_threshold_percent >= 100 || used < percent * static_cast<unsigned>(policy.high_threshold_percent))
    return 0;
  const std::uint64_t wanted = space.capacity_bytes - percent * static_cast<unsigned>(policy.low_threshold_percent);
  return wanted - std::min(space.available_bytes, wanted);
}

ImageGarbageCollector::ImageGarbageCollector(kube::Loop& loop, cache::ImageStore& store, kube::EventRecorder& events,
                                             Metrics& metrics, ImageGcPolicy policy, Space space)
    : loop_(loop), store_(store), events_(events), metrics_(metrics), policy_(policy), space_(std::move(space)) {}

void ImageGarbageCollector::Start(kube::TaskGroup& tasks) { tasks.Spawn("image garbage", Run()); }

kube::Task<void> ImageGarbageCollector::Run() {
  auto pause = kFirst;
  for (;;) {
    co_await kube::SleepUntil(loop_, steady_clock::now() + pause);
    pause = kPeriod;
    const absl::Status collected = co_await Collect();
    if (collected.ok()) continue;
    const std::string message(collected.message());
    Error("Image garbage collection failed", {{"err", message}});
    events_.NodeEvent("Warning", absl::IsResourceExhausted(collected) ? "FreeDiskSpaceFailed" : "ImageGCFailed",
                      message);
  }
}

kube::Task<absl::Status> ImageGarbageCollector::Collect() {
  const Removed removed = co_await kube::Offload(loop_, thread_, [this] { return Work(); });
  const auto tell = [this](const std::vector<std::string>& ids, const char* reason) {
    for (const std::string& id : ids) {
      Info("Removed an unused image", {{"image", id}, {"reason", reason}});
      metrics_.Add(Series::kImagesCollected, {{"reason", reason}});
    }
  };
  tell(removed.by_age, "age");
  tell(removed.by_space, "space");
  co_return removed.status;
}

bool ImageGarbageCollector::Remove(const std::string& id) {
  const absl::Status removed = store_.Remove(id);
  if (removed.ok()) history_.Forget(id);
  // In use again since the look: that is no failure.
  if (!removed.ok() && !absl::IsFailedPrecondition(removed) && !absl::IsNotFound(removed))
    LogIfError(removed, "Unused image not removed");
  return removed.ok();
}

ImageGarbageCollector::Removed ImageGarbageCollector::Work() {
  Removed removed;
  const auto now = steady_clock::now();
  history_.Look(store_.Usage(), now);
  for (const std::string& id : history_.Outlived(now, policy_)) {
    if (Remove(id)) removed.by_age.push_back(id);
  }
  const FsSpace before = space_();
  if (before.capacity_bytes == 0) {
    removed.status = absl::InternalError("invalid capacity 0 on image filesystem");
    return removed;
  }
  const std::uint64_t wanted = BytesToFree(before, policy_);
  if (wanted == 0) return removed;
  // Images share layers: what one of them frees is known when it is gone.
  std::uint64_t left = wanted;
  const std::uint64_t enough = before.available_bytes + wanted;
  for (const std::string& id : history_.Candidates(now, policy_)) {
    if (left == 0) break;
    if (!Remove(id)) continue;
    removed.by_space.push_back(id);
    left = enough - std::min(space_().available_bytes, enough);
  }
  if (left > 0) {
    removed.status = absl::ResourceExhaustedError(
        absl::StrCat("Failed to garbage collect required amount of images. Attempted to free ", wanted,
                     " bytes, but only found ", wanted - std::min(left, wanted), " bytes eligible to free."));
  }
  return removed;
}

}  // namespace burstlet::provider
