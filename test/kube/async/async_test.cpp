// Loop, tasks, cancellation, events and the worker pool together: what every coroutine of the agent stands on.
#include <catch2/catch.hpp>
#include <string>
#include <thread>
#include <vector>

#include "kube/async/cancel.h"
#include "kube/async/loop.h"
#include "kube/async/offload.h"
#include "kube/async/signal_event.h"
#include "kube/async/task_group.h"

namespace burstlet::kube {
namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;

Task<void> StopAfter(Loop& loop, Task<void> task) {
  co_await std::move(task);
  loop.Stop();
}

/// Runs one task to its end on the calling thread.
void RunTask(Loop& loop, Task<void> task) {
  TaskGroup group(loop);
  group.Spawn("test", StopAfter(loop, std::move(task)));
  loop.Run();
}

Task<void> WaitAndRecord(SignalEvent& event, SteadyTime deadline, std::vector<bool>& results) {
  const bool set = co_await event.WaitUntil(deadline);
  results.push_back(set);
}

Task<void> WaitAndStop(Loop& loop, SignalEvent& event) {
  co_await event.Wait();
  loop.Stop();
}

Task<void> WaitFor(SignalEvent& event) { co_await event.Wait(); }

TEST_CASE("what is posted from another thread runs on the loop's thread", "[async]") {
  Loop loop;
  std::thread::id ran_on;
  bool on_loop = false;
  bool off_loop = true;
  std::thread poster;
  loop.Post([&] {
    poster = std::thread([&] {
      off_loop = loop.OnLoop();
      loop.Post([&] {
        ran_on = std::this_thread::get_id();
        on_loop = loop.OnLoop();
        loop.Stop();
      });
    });
  });
  CHECK(loop.OnLoop());
  CHECK_FALSE(loop.running());
  loop.Run();
  poster.join();
  CHECK(ran_on == std::this_thread::get_id());
  CHECK(on_loop);
  CHECK_FALSE(off_loop);
}

TEST_CASE("a loop that was stopped before it ran returns at once, and can run again", "[async]") {
  Loop loop;
  bool ran = false;
  loop.Stop();
  loop.Post([&] {
    ran = true;
    loop.Stop();
  });
  loop.Run();
  CHECK_FALSE(ran);
  loop.Run();
  CHECK(ran);
}

TEST_CASE("an event set before the wait is not lost, and is consumed by it", "[async]") {
  Loop loop;
  SignalEvent event(loop);
  event.Set();
  event.Set();
  std::vector<bool> results;
  RunTask(loop, WaitAndRecord(event, SteadyTime::max(), results));
  CHECK_FALSE(event.is_set());
  RunTask(loop, WaitAndRecord(event, steady_clock::now() + milliseconds(1), results));
  CHECK(results == std::vector<bool>{true, false});
}

TEST_CASE("setting an event wakes its waiter", "[async]") {
  Loop loop;
  SignalEvent event(loop);
  TaskGroup group(loop);
  group.Spawn("waiter", WaitAndStop(loop, event));
  loop.Post([&] { event.Set(); });
  loop.Run();
  CHECK(group.running() == 0);
}

Task<void> SleepTask(Loop& loop, SteadyTime deadline) { co_await SleepUntil(loop, deadline); }

TEST_CASE("a sleep lasts until its deadline", "[async]") {
  Loop loop;
  const auto deadline = steady_clock::now() + milliseconds(5);
  RunTask(loop, SleepTask(loop, deadline));
  CHECK(steady_clock::now() >= deadline);
}

Task<void> JoinAndStop(Loop& loop, TaskGroup& group, bool& joined) {
  co_await group.Join();
  joined = true;
  loop.Stop();
}

TEST_CASE("Join returns when every task has returned", "[async]") {
  Loop loop;
  SignalEvent first(loop);
  SignalEvent second(loop);
  TaskGroup group(loop);
  TaskGroup outer(loop);
  bool joined = false;
  group.Spawn("first", WaitFor(first));
  group.Spawn("second", WaitFor(second));
  CHECK(group.running() == 2);
  outer.Spawn("join", JoinAndStop(loop, group, joined));
  loop.Post([&] { first.Set(); });
  loop.Post([&] {
    CHECK_FALSE(joined);
    second.Set();
  });
  loop.Run();
  CHECK(joined);
  CHECK(group.running() == 0);
}

TEST_CASE("cancel runs each callback once, at once when it is late", "[async]") {
  CancelToken token;
  const CancelToken copy = token;
  int calls = 0;
  token.OnCancel([&] { ++calls; });
  const auto forgotten = token.OnCancel([&] { calls += 100; });
  token.Forget(forgotten);
  CHECK_FALSE(copy.cancelled());
  token.Cancel();
  token.Cancel();
  CHECK(calls == 1);
  CHECK(copy.cancelled());
  CHECK(copy.flag()->load());
  token.OnCancel([&] { ++calls; });
  CHECK(calls == 2);
}

TEST_CASE("a cancel callback may forget the others", "[async]") {
  CancelToken token;
  int calls = 0;
  std::uint64_t second = 0;
  token.OnCancel([&] {
    ++calls;
    token.Forget(second);
  });
  second = token.OnCancel([&] { calls += 100; });
  token.Cancel();
  CHECK(calls == 1);
}

Task<void> OffloadTask(Loop& loop, WorkerPool& pool, std::string& result, std::thread::id& worker, bool& on_loop) {
  auto fn = [&worker] {
    worker = std::this_thread::get_id();
    return std::string("done");
  };
  result = co_await Offload(loop, pool, fn);
  on_loop = loop.OnLoop();
}

TEST_CASE("offloaded work runs on another thread and resumes on the loop", "[async]") {
  Loop loop;
  WorkerPool pool(2);
  std::string result;
  std::thread::id worker;
  bool on_loop = false;
  RunTask(loop, OffloadTask(loop, pool, result, worker, on_loop));
  CHECK(result == "done");
  CHECK(worker != std::this_thread::get_id());
  CHECK(on_loop);
}

TEST_CASE("a pool that is destroyed still runs what was submitted", "[async]") {
  std::atomic<int> ran{0};
  {
    WorkerPool pool(1);
    for (int i = 0; i < 50; ++i) pool.Submit([&ran] { ++ran; });
  }
  CHECK(ran == 50);
}

TEST_CASE("a loop destroyed with tasks suspended frees them", "[async]") {
  auto kept = std::make_shared<int>(1);
  {
    Loop loop;
    SignalEvent event(loop);
    TaskGroup group(loop);
    group.Spawn("left", [](SignalEvent& e, std::shared_ptr<int>) -> Task<void> { co_await e.Wait(); }(event, kept));
    loop.Post([&] { loop.Stop(); });
    loop.Run();
  }
  CHECK(kept.use_count() == 1);
}

}  // namespace
}  // namespace burstlet::kube
