// Runs a coroutine to its end on the calling thread, with a limit after which the test fails instead of hanging.
#pragma once

#include <chrono>
#include <functional>
#include <utility>

#include "kube/async/loop.h"
#include "kube/async/signal_event.h"
#include "kube/async/task_group.h"

namespace burstlet::kube::test {

inline Task<void> ThenStop(Loop& loop, Task<void> task, bool& done) {
  co_await std::move(task);
  done = true;
  loop.Stop();
}

/// False when the task did not end within the limit.
inline bool RunTask(Loop& loop, Task<void> task, std::chrono::seconds limit = std::chrono::seconds(20)) {
  bool done = false;
  boost::asio::steady_timer timer(loop.context());
  timer.expires_after(limit);
  timer.async_wait([&loop](const boost::system::error_code& error) {
    if (!error) loop.Stop();
  });
  TaskGroup group(loop);
  group.Spawn("test", ThenStop(loop, std::move(task), done));
  loop.Run();
  return done;
}

template <typename T>
Task<void> StoreResult(Task<T> task, T& out) {
  out = co_await std::move(task);
}

/// Awaits a task's value from outside the loop.
template <typename T>
T Await(Loop& loop, Task<T> task, T fallback = T()) {
  T out = std::move(fallback);
  RunTask(loop, StoreResult(std::move(task), out));
  return out;
}

/// Lets the loop run until the condition holds (checked on the loop every millisecond) or the limit passes.
inline Task<void> Until(Loop& loop, std::function<bool()> condition) {
  while (!condition()) {
    co_await SleepUntil(loop, std::chrono::steady_clock::now() + std::chrono::milliseconds(1));
  }
}

}  // namespace burstlet::kube::test
