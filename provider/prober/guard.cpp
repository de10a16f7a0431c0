#include "provider/prober/guard.h"

#include <boost/asio/steady_timer.hpp>
#include <utility>

namespace burstlet::provider {

struct ProbeGuard::State {
  State(kube::Loop& loop, kube::SteadyTime d, kube::CancelToken c)
      : timer(loop.context()), deadline(d), cancel(std::move(c)) {}

  void End(bool by_time) {
    if (ended) return;
    ended = true;
    timed_out = by_time;
    if (close) close();
  }

  boost::asio::steady_timer timer;
  kube::SteadyTime deadline;
  kube::CancelToken cancel;
  std::uint64_t cancel_id = 0;
  std::function<void()> close;
  bool ended = false;
  bool timed_out = false;
};

ProbeGuard::ProbeGuard(kube::Loop& loop, kube::SteadyTime deadline, kube::CancelToken cancel)
    : state_(std::make_shared<State>(loop, deadline, std::move(cancel))) {
  std::weak_ptr<State> weak = state_;
  state_->cancel_id = state_->cancel.OnCancel([weak] {
    if (const auto state = weak.lock()) state->End(false);
  });
  if (deadline == kube::SteadyTime::max()) return;
  state_->timer.expires_at(deadline);
  state_->timer.async_wait([weak](const boost::system::error_code& error) {
    const auto state = weak.lock();
    if (!error && state != nullptr) state->End(true);
  });
}

ProbeGuard::~ProbeGuard() {
  state_->close = nullptr;
  state_->cancel.Forget(state_->cancel_id);
  state_->timer.cancel();
}

void ProbeGuard::OnEnd(std::function<void()> close) {
  state_->close = std::move(close);
  if (state_->ended && state_->close) state_->close();
}

bool ProbeGuard::timed_out() const { return state_->timed_out; }
bool ProbeGuard::ended() const { return state_->ended; }
kube::SteadyTime ProbeGuard::deadline() const { return state_->deadline; }

}  // namespace burstlet::provider
