// Ends whatever a probe or a hook waits for, once: at its deadline, or when nobody wants the answer any more.
//
// Boost 1.74 cannot cancel an awaited operation from outside, so each step names what closes it (OnEnd). Owner: the
// coroutine that runs the probe. Loop thread only.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>

#include "kube/async/cancel.h"
#include "kube/async/loop.h"

namespace burstlet::provider {

class ProbeGuard {
 public:
  /// SteadyTime::max(): no deadline.
  ProbeGuard(kube::Loop& loop, kube::SteadyTime deadline, kube::CancelToken cancel);
  ~ProbeGuard();
  ProbeGuard(const ProbeGuard&) = delete;
  ProbeGuard& operator=(const ProbeGuard&) = delete;

  /// Called when the guard fires, at once if it has; replaces what was set before. It may be empty.
  void OnEnd(std::function<void()> close);
  /// The deadline has passed.
  bool timed_out() const;
  /// The deadline has passed, or the probe was given up.
  bool ended() const;
  kube::SteadyTime deadline() const;

 private:
  struct State;
  std::shared_ptr<State> state_;
};

}  // namespace burstlet::provider
