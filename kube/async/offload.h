// Blocking work on a bounded pool of threads, awaited from the loop.
//
// `co_await Offload(loop, pool, fn)` runs fn() on a pool thread and resumes on the loop with its result. fn must not
// throw (errors are Status) and must not touch loop state. When the pool is destroyed queued work is still run.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <type_traits>
#include <utility>

#include "kube/async/loop.h"
#include "kube/async/signal_event.h"
#include "kube/async/task.h"

namespace burstlet::kube {

class WorkerPool {
 public:
  explicit WorkerPool(unsigned threads);
  ~WorkerPool();
  void Submit(std::function<void()> work);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

template <typename Fn>
Task<std::invoke_result_t<Fn>> Offload(Loop& loop, WorkerPool& pool, Fn fn) {
  using Result = std::invoke_result_t<Fn>;
  struct Shared {
    Shared(Loop& l, Fn f) : done(l), fn(std::move(f)) {}
    SignalEvent done;
    Fn fn;
    std::optional<Result> result;
  };
  auto shared = std::make_shared<Shared>(loop, std::move(fn));
  pool.Submit([shared, &loop] {
    shared->result.emplace(shared->fn());
    loop.Post([shared] { shared->done.Set(); });
  });
  co_await shared->done.Wait();
  co_return std::move(*shared->result);
}

}  // namespace burstlet::kube
