// Background coroutines with an owner: spawned by name, and all ended before the owner goes.
//
// An exception that leaves a task is a broken invariant: it is logged with the task's name and ends the program, since
// nobody else would ever hear of it. Loop thread only.
#pragma once

#include <cstddef>
#include <memory>
#include <string>

#include "kube/async/loop.h"
#include "kube/async/task.h"

namespace burstlet::kube {

class TaskGroup {
 public:
  explicit TaskGroup(Loop& loop);
  ~TaskGroup();

  void Spawn(std::string name, Task<void> task);
  std::size_t running() const;
  /// Returns when every task has returned. The owner has told them to (cancel tokens, closed mailboxes) before.
  Task<void> Join();

 private:
  struct State;
  Loop& loop_;
  std::shared_ptr<State> state_;
};

}  // namespace burstlet::kube
