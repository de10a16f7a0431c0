#include "kube/async/task_group.h"

#include <cstdlib>
#include <exception>
#include <utility>

#include <boost/asio/co_spawn.hpp>

#include "kube/async/signal_event.h"
#include "metrics/log.h"

namespace burstlet::kube {

struct TaskGroup::State {
  explicit State(Loop& loop) : changed(loop) {}
  std::size_t running = 0;
  SignalEvent changed;
};

namespace {

[[noreturn]] void AbortTask(const std::string& name, const std::exception_ptr& error) {
  std::string text = "unknown exception";
  try {
    std::rethrow_exception(error);
  } catch (const std::exception& e) {
    text = e.what();
  } catch (...) {
  }
  Error("A task ended with an exception", {{"task", name}, {"err", text}});
  StopLog();
  std::abort();
}

}  // namespace

TaskGroup::TaskGroup(Loop& loop) : loop_(loop), state_(std::make_shared<State>(loop)) {}

TaskGroup::~TaskGroup() {
  // While the loop runs, a task left over would go on with a dead owner. Once it stands still, the tasks' frames are
  // freed with it and nothing of them runs again.
  if (state_->running == 0 || !loop_.running()) return;
  Error("A task group was destroyed before its tasks ended", {{"tasks", state_->running}});
  StopLog();
  std::abort();
}

void TaskGroup::Spawn(std::string name, Task<void> task) {
  ++state_->running;
  boost::asio::co_spawn(loop_.context(), std::move(task),
                        [state = state_, task_name = std::move(name)](std::exception_ptr error) {
                          if (error) AbortTask(task_name, error);
                          --state->running;
                          state->changed.Set();
                        });
}

std::size_t TaskGroup::running() const { return state_->running; }

Task<void> TaskGroup::Join() {
  const auto state = state_;
  while (state->running > 0) {
    co_await state->changed.Wait();
  }
}

}  // namespace burstlet::kube
