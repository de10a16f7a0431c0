#include "kube/async/loop.h"

#include <utility>

#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/post.hpp>

namespace burstlet::kube {

void Loop::Run() {
  thread_ = std::this_thread::get_id();
  // A handler's exception has no owner: noexcept makes it end the program where it was thrown.
  const auto run = [this]() noexcept {
    const auto work = boost::asio::make_work_guard(context_);
    context_.run();
  };
  run();
  // After this the loop may be run again; a Stop that came before Run was honoured above.
  context_.restart();
  thread_ = std::thread::id();
}

void Loop::Stop() { context_.stop(); }

void Loop::Post(std::function<void()> fn) { boost::asio::post(context_, std::move(fn)); }

bool Loop::OnLoop() const {
  const std::thread::id owner = thread_;
  return owner == std::thread::id() || owner == std::this_thread::get_id();
}

bool Loop::running() const { return thread_.load() != std::thread::id(); }

}  // namespace burstlet::kube
