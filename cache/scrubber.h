// Looks for bit rot: reads every layer image from the disk now and then and compares its sum with the record's.
//
// A damaged layer leaves the store with the images that use it, so their next use pulls it anew; pods that run keep
// what they have. The thread has the lowest priority for processor and disk and a limit of bytes a second. Threads:
// any. Failure: what can't be read counts as damaged.
#pragma once

#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <mutex>
#include <thread>

#include "cache/image_catalog.h"
#include "cache/layer_store.h"

namespace burstlet::cache {

class Scrubber {
 public:
  /// `interval` between the end of a pass and the next one's start; 0: only when Pass is called. `rate` in bytes a
  /// second holds for the thread; 0: no limit.
  Scrubber(LayerStore& layers, ImageCatalog& catalog, std::chrono::milliseconds interval, std::uint64_t rate);
  ~Scrubber();

  /// One pass now on the caller's thread; how many layers were damaged.
  std::size_t Pass();

 private:
  void Run();
  std::size_t PassAt(std::uint64_t rate);
  bool Pace(std::uint64_t rate, std::size_t bytes);

  LayerStore& layers_;
  ImageCatalog& catalog_;
  std::chrono::milliseconds interval_;
  std::uint64_t rate_;
  std::mutex mutex_;
  std::condition_variable changed_;
  bool stopping_ = false;
  std::thread thread_;
};

}  // namespace burstlet::cache
