// One sandbox as the control loop holds it: shared by the blocking calls in flight, one at a time.
//
// A sandbox allows one caller at a time; the worker, an exec and a stats scrape may all want it. The handle's lock
// orders them on the pool's threads, never on the loop.
#pragma once

#include <memory>
#include <mutex>
#include <utility>

#include "sandbox/sandbox.h"

namespace burstlet::provider {

class SandboxHandle {
 public:
  explicit SandboxHandle(std::unique_ptr<sandbox::Sandbox> sandbox) : sandbox_(std::move(sandbox)) {}

  /// Runs `fn(sandbox)` with the lock held. Pool threads only.
  template <typename Fn>
  auto With(Fn fn) {
    const std::lock_guard lock(mutex_);
    return fn(*sandbox_);
  }

  /// What never changes or is made for the loop: id, network, event_fd, ReadEvents.
  sandbox::Sandbox& unlocked() { return *sandbox_; }

 private:
  std::mutex mutex_;
  std::unique_ptr<sandbox::Sandbox> sandbox_;
};

}  // namespace burstlet::provider
