#include "kube/request_slots.h"

namespace burstlet::kube {

void RequestSlots::Slot::Release() {
  const std::shared_ptr<RequestSlots> owner = std::move(owner_);
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

Task<RequestSlots::Slot> RequestSlots::Acquire(std::shared_ptr<RequestSlots> slots, SteadyTime deadline) {
  if (slots->free_ > 0) {
    --slots->free_;
    co_return Slot(std::move(slots));
  }
  const auto waiter = std::make_shared<Waiter>(slots->loop_);
  slots->waiters_.push_back(waiter);
  co_await waiter->event.WaitUntil(deadline);
  if (waiter->granted) co_return Slot(std::move(slots));
  waiter->gone = true;
  co_return Slot();
}

}  // namespace burstlet::kube
