#include "kube/async/cancel.h"

#include <utility>

namespace burstlet::kube {

struct CancelToken::State {
  std::uint64_t next_id = 1;
  std::map<std::uint64_t, std::function<void()>> callbacks;
};

CancelToken::CancelToken() : flag_(std::make_shared<std::atomic<bool>>(false)), state_(std::make_shared<State>()) {}

void CancelToken::Cancel() {
  if (flag_->exchange(true)) return;
  // One at a time: a callback may forget others, and those must not run any more. The local reference keeps the
  // state when a callback destroys the last token.
  const auto state = state_;
  while (!state->callbacks.empty()) {
    const auto first = state->callbacks.begin();
    const auto callback = std::move(first->second);
    state->callbacks.erase(first);
    callback();
  }
}

std::uint64_t CancelToken::OnCancel(std::function<void()> callback) {
  const std::uint64_t id = state_->next_id++;
  if (cancelled()) {
    callback();
  } else {
    state_->callbacks.emplace(id, std::move(callback));
  }
  return id;
}

void CancelToken::Forget(std::uint64_t id) { state_->callbacks.erase(id); }

}  // namespace burstlet::kube
