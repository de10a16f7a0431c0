// How many requests are on the wire at once: each needs a connection of its own (HTTP/1.1), and handshakes are dear.
//
// A slot is given back early by requests that turn out slow, so that a stuck webhook never holds up a Lease. First come,
// first served. Loop thread only.
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

  /// One slot, freed when it goes out of scope or by Release.
  class Slot {
   public:
    Slot() = default;
    explicit Slot(RequestSlots* owner) : owner_(owner) {}
    Slot(Slot&& other) noexcept : owner_(std::exchange(other.owner_, nullptr)) {}
    Slot& operator=(Slot&& other) noexcept {
      std::swap(owner_, other.owner_);
      return *this;
    }
    ~Slot() { Release(); }
    void Release();
    explicit operator bool() const { return owner_ != nullptr; }

   private:
    RequestSlots* owner_ = nullptr;
  };

  /// An empty slot when the deadline came first.
  Task<Slot> Acquire(SteadyTime deadline);

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
