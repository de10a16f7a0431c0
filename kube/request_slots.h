// How many requests are on the wire at once: each needs a connection of its own (HTTP/1.1), and handshakes are dear.
//
// A slot is given back early by requests that turn out slow, so that a stuck webhook never holds up a Lease. First
// come, first served. Loop thread only.
#pragma once

#include <deque>
#include <memory>

#include "kube/async/loop.h"
#include "kube/async/signal_event.h"
#include "kube/async/task.h"

namespace burstlet::kube {

class RequestSlots {
 public:
  RequestSlots(Loop& loop, int limit) : loop_(loop), free_(limit) {}
  RequestSlots(const RequestSlots&) = delete;
  RequestSlots& operator=(const RequestSlots&) = delete;

  /// One slot, freed when it goes out of scope or by Release.
  class Slot {
   public:
    Slot() = default;
    explicit Slot(std::shared_ptr<RequestSlots> owner) : owner_(std::move(owner)) {}
    Slot(Slot&& other) noexcept : owner_(std::move(other.owner_)) {}
    Slot& operator=(Slot&& other) noexcept {
      std::swap(owner_, other.owner_);
      return *this;
    }
    ~Slot() { Release(); }
    void Release();
    explicit operator bool() const { return owner_ != nullptr; }

   private:
    std::shared_ptr<RequestSlots> owner_;
  };

  /// An empty slot when the deadline came first.
  static Task<Slot> Acquire(std::shared_ptr<RequestSlots> slots, SteadyTime deadline);

 private:
  struct Waiter {
    explicit Waiter(Loop& loop) : event(loop) {}
    SignalEvent event;
    bool granted = false;
    bool gone = false;
  };

  Loop& loop_;
  int free_;
  std::deque<std::shared_ptr<Waiter>> waiters_;
};

}  // namespace burstlet::kube
