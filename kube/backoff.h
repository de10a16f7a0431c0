// Growing delays with jitter, for whatever is tried again.
//
// Not thread-safe. No clock inside: the caller sleeps, and resets after a success.
#pragma once

#include <algorithm>
#include <chrono>
#include <random>

namespace burstlet::kube {

class Backoff {
 public:
  using Delay = std::chrono::milliseconds;

  Backoff(Delay first, Delay most) : first_(first), most_(most), next_(first) {}

  /// The delay before the next attempt: doubling, plus up to half of itself, so that many nodes do not come in step.
  Delay Next() {
    const Delay base = next_;
    next_ = std::min(most_, next_ * 2);
    std::uniform_int_distribution<Delay::rep> jitter(0, base.count() / 2);
    return base + Delay(jitter(random_));
  }
  void Reset() { next_ = first_; }

 private:
  const Delay first_;
  const Delay most_;
  Delay next_;
  std::minstd_rand random_{std::random_device{}()};
};

}  // namespace burstlet::kube
