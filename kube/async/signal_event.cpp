#include "kube/async/signal_event.h"

#include <boost/asio/redirect_error.hpp>
#include <boost/asio/use_awaitable.hpp>

namespace burstlet::kube {

SignalEvent::SignalEvent(Loop& loop) : timer_(loop.context()) {}

void SignalEvent::Set() {
  set_ = true;
  timer_.cancel();
}

Task<void> SignalEvent::Wait() {
  // The result is always true without a deadline.
  co_await WaitUntil(SteadyTime::max());
}

Task<bool> SignalEvent::WaitUntil(SteadyTime deadline) {
  while (!set_) {
    timer_.expires_at(deadline);
    boost::system::error_code error;
    co_await timer_.async_wait(boost::asio::redirect_error(boost::asio::use_awaitable, error));
    // No error means that the time is up; a Set that came in the same turn still counts.
    if (!error) break;
  }
  const bool was_set = set_;
  set_ = false;
  co_return was_set;
}

Task<void> SleepUntil(Loop& loop, SteadyTime deadline) {
  boost::asio::steady_timer timer(loop.context());
  timer.expires_at(deadline);
  boost::system::error_code error;
  co_await timer.async_wait(boost::asio::redirect_error(boost::asio::use_awaitable, error));
}

}  // namespace burstlet::kube
