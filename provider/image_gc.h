// Images that nobody needs any more go: when the disk is nearly full, or when they have been unused for long.
//
// As on a kubelet: from a high mark of disk use on, the images that have been unused for the longest time go first,
// until use is below a low mark; none goes that a pod uses, that came a moment ago, or that was used since the look
// began. Failure: an event of the node's (ImageGCFailed, FreeDiskSpaceFailed); the next look tries again.
// Source: pkg/kubelet/images/image_gc_manager.go.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "cache/image_store.h"
#include "kube/async/offload.h"
#include "kube/async/task_group.h"
#include "kube/event_recorder.h"
#include "metrics/catalog.h"
#include "provider/stats/samples.h"

namespace burstlet::provider {

struct ImageGcPolicy {
  int high_threshold_percent = 85;        // imageGCHighThresholdPercent; 100: never for want of space
  int low_threshold_percent = 80;         // imageGCLowThresholdPercent
  std::chrono::seconds minimum_age{120};  // imageMinimumGCAge
  std::chrono::seconds maximum_age{0};    // imageMaximumGCAge; 0: age alone removes nothing
};

/// What is remembered of each image from look to look. Pure: time is the caller's.
class ImageUseHistory {
 public:
  using Time = std::chrono::steady_clock::time_point;

  /// What the store holds now; what is in use counts as used at `now`.
  void Look(const std::vector<cache::StoredImage>& images, Time now);
  /// Ids that may go, those unused for the longest time first.
  std::vector<std::string> Candidates(Time now, const ImageGcPolicy& policy) const;
  /// Ids that have been unused for more than the policy's maximum age.
  std::vector<std::string> Outlived(Time now, const ImageGcPolicy& policy) const;
  void Forget(const std::string& id) { images_.erase(id); }

 private:
  struct Use {
    Time detected;
    std::optional<Time> used;  // absent: not since this agent began
    bool in_use = false;
  };
  std::map<std::string, Use> images_;
};

/// Bytes to free so that use falls to the low mark; 0 while it is below the high one.
std::uint64_t BytesToFree(const FsSpace& space, const ImageGcPolicy& policy);

class ImageGarbageCollector {
 public:
  using Space = std::function<FsSpace()>;  // of the file system with the images; called on the collector's thread

  ImageGarbageCollector(kube::Loop& loop, cache::ImageStore& store, kube::EventRecorder& events, Metrics& metrics,
                        ImageGcPolicy policy, Space space);

  /// Looks every five minutes, until its task ends. The first look comes after one minute.
  void Start(kube::TaskGroup& tasks);
  /// One look and what follows from it; kResourceExhausted when not enough could be freed.
  kube::Task<absl::Status> Collect();

 private:
  struct Removed {
    std::vector<std::string> by_age;
    std::vector<std::string> by_space;
    absl::Status status;
  };

  kube::Task<void> Run();
  /// On the collector's thread: removing many files takes long.
  Removed Work();
  bool Remove(const std::string& id);

  kube::Loop& loop_;
  cache::ImageStore& store_;
  kube::EventRecorder& events_;
  Metrics& metrics_;
  const ImageGcPolicy policy_;
  const Space space_;
  ImageUseHistory history_;  // the collector's thread
  kube::WorkerPool thread_{1};
};

}  // namespace burstlet::provider
