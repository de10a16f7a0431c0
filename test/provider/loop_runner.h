// Runs a coroutine on a loop of its own, with an end in sight: a test that waits for ever fails.
#pragma once

#include <utility>

#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <catch2/catch.hpp>
#include <chrono>
#include <string>
#include <utility>

#include "kube/async/loop.h"
#include "kube/async/task.h"
#include "kube/async/task_group.h"

namespace burstlet::provider {

inline kube::Task<void> RunThenStop(kube::Loop& loop, kube::Task<void> body, bool& done) {
  co_await std::move(body);
  done = true;
  loop.Stop();
}

/// Runs the loop until `body` has returned.
inline void RunOnLoop(kube::Loop& loop, kube::Task<void> body) {
  bool done = false;
  kube::TaskGroup tasks(loop);
  boost::asio::steady_timer guard(loop.context());
  guard.expires_after(std::chrono::seconds(20));
  guard.async_wait([&](const boost::system::error_code& error) {
    if (!error) loop.Stop();
  });
  tasks.Spawn("test body", RunThenStop(loop, std::move(body), done));
  loop.Run();
  guard.cancel();
  REQUIRE(done);
}

/// Lets everything that is ready on the loop run: as many turns as asked for.
inline kube::Task<void> Turns(kube::Loop& loop, int count) {
  for (int i = 0; i < count; ++i) {
    boost::asio::steady_timer now(loop.context());
    now.expires_after(std::chrono::milliseconds(0));
    co_await now.async_wait(boost::asio::use_awaitable);
  }
}

}  // namespace burstlet::provider
