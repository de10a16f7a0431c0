#include "cache/scrubber.h"

#include <sched.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cstring>

#include "metrics/log.h"
#include "metrics/status.h"

namespace burstlet::cache {
namespace {

/// The caller runs when nobody else wants to, and so does what it reads.
void LowerPriority() {
  const sched_param parameters = {};
  if (sched_setscheduler(0, SCHED_IDLE, &parameters) != 0) {
    Warn("The scrubber runs at normal priority", {{"err", ErrnoError(errno, "sched_setscheduler").ToString()}});
  }
  constexpr int kWhoThread = 1;        // IOPRIO_WHO_PROCESS, 0 = this thread (ioprio_set(2))
  constexpr int kIdleClass = 3 << 13;  // IOPRIO_CLASS_IDLE
  if (syscall(SYS_ioprio_set, kWhoThread, 0, kIdleClass) != 0) {
    Warn("The scrubber reads at normal priority", {{"err", ErrnoError(errno, "ioprio_set").ToString()}});
  }
}

}  // namespace

Scrubber::Scrubber(LayerStore& layers, ImageCatalog& catalog, std::chrono::milliseconds interval, std::uint64_t rate)
    : layers_(layers), catalog_(catalog), interval_(interval), rate_(rate) {
  if (interval_.count() > 0) thread_ = std::thread([this] { Run(); });
}

Scrubber::~Scrubber() {
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    stopping_ = true;
    changed_.notify_all();
  }
  if (thread_.joinable()) thread_.join();
}

void Scrubber::Run() {
  LowerPriority();
  while (true) {
    {
      std::unique_lock<std::mutex> lock(mutex_);
      if (changed_.wait_for(lock, interval_, [this] { return stopping_; })) return;
    }
    PassAt(rate_);
  }
}

std::size_t Scrubber::Pass() { return PassAt(0); }

bool Scrubber::Pace(std::uint64_t rate, std::size_t bytes) {
  std::unique_lock<std::mutex> lock(mutex_);
  if (rate == 0) return !stopping_;
  return !changed_.wait_for(lock, std::chrono::microseconds(bytes * 1'000'000 / rate), [this] { return stopping_; });
}

std::size_t Scrubber::PassAt(std::uint64_t rate) {
  std::size_t damaged = 0;
  for (const Layer& layer : layers_.Images()) {
    const absl::StatusOr<Digest> sum = layers_.SumOf(layer, [&](std::size_t bytes) { return Pace(rate, bytes); });
    if (absl::IsCancelled(sum.status())) return damaged;
    if (sum.ok() && *sum == layer.image_sum) continue;
    if (absl::IsNotFound(sum.status())) continue;  // removed since
    Warn("A layer on disk is damaged", {{"diffID", layer.diff_id.text()},
                                        {"expected", layer.image_sum.text()},
                                        {"found", sum.ok() ? sum->text() : sum.status().ToString()}});
    ++damaged;
    layers_.Forget(layer);
    catalog_.RemoveWithLayer(layer.diff_id);
  }
  return damaged;
}

}  // namespace burstlet::cache
