#include "kube/request_slots.h"

namespace burstlet::kube {

void RequestSlots::Slot::Release() {
  RequestSlots* const owner = std::exchange(owner_, nullptr);
  if (owner == nullptr) return;
  while (!owner->waiters_.empty()) {
    const auto next = owner->waiters_.front();
    owner->waiters_.pop_front();
    if (next->gone) continue;
    next->granted = true;
    next->event.Set();
    return;
  }
  ++owner->free_;
}

Task<RequestSlots::Slot> RequestSlots::Acquire(SteadyTime deadline) {
  if (free_ > 0) {
    --free_;
    co_return Slot(this);
  }
  const auto waiter = std::make_shared<Waiter>(loop_);
  waiters_.push_back(waiter);
  co_await waiter->event.WaitUntil(deadline);
  if (waiter->granted) co_return Slot(this);
  waiter->gone = true;
  co_return Slot();
}

}  // namespace burstlet::kube
