// A flag that one coroutine waits for, with an optional deadline.
//
// Set() makes the present or the next Wait return and is then consumed; setting twice is one wake-up (newest wins: the
// value lives beside it). One waiter at a time. Loop thread only.
#pragma once

#include <boost/asio/steady_timer.hpp>

#include "kube/async/loop.h"
#include "kube/async/task.h"

namespace burstlet::kube {

class SignalEvent {
 public:
  explicit SignalEvent(Loop& loop);

  void Set();
  bool is_set() const { return set_; }
  /// Waits for Set.
  Task<void> Wait();
  /// Waits for Set or the deadline; true when it was Set. SteadyTime::max() waits for ever.
  Task<bool> WaitUntil(SteadyTime deadline);

 private:
  boost::asio::steady_timer timer_;
  bool set_ = false;
};

/// Suspends until the deadline.
Task<void> SleepUntil(Loop& loop, SteadyTime deadline);

}  // namespace burstlet::kube
