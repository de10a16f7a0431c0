// Co-operative cancellation: a source that is fired once, tokens that see it.
//
// Callbacks registered with OnCancel run on the loop, at once when already fired. The flag itself may be read from any
// thread (long blocking work checks it), everything else is loop only.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>

namespace burstlet::kube {

class CancelToken {
 public:
  CancelToken();
  bool cancelled() const { return *flag_; }
  /// Shared with blocking work on other threads.
  std::shared_ptr<std::atomic<bool>> flag() const { return flag_; }
  void Cancel();
  /// Returns an id for Forget.
  std::uint64_t OnCancel(std::function<void()> callback);
  void Forget(std::uint64_t id);

 private:
  struct State;
  std::shared_ptr<std::atomic<bool>> flag_;
  std::shared_ptr<State> state_;
};

}  // namespace burstlet::kube
