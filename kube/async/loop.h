// The control loop: one io_context run by one thread, where all pod and node state lives without locks.
//
// Owner: main / node_agent. Post may be called from any thread; everything else on the loop.
#pragma once

#include <atomic>
#include <boost/asio/io_context.hpp>
#include <chrono>
#include <functional>
#include <thread>

namespace burstlet::kube {

using SteadyTime = std::chrono::steady_clock::time_point;

class Loop {
 public:
  Loop() = default;
  Loop(const Loop&) = delete;
  Loop& operator=(const Loop&) = delete;

  boost::asio::io_context& context() { return context_; }

  /// Runs until Stop; the calling thread becomes the loop's thread. Exceptions of handlers end the program.
  void Run();
  void Stop();
  /// Runs `fn` on the loop, later. Any thread.
  void Post(std::function<void()> fn);
  /// True on the loop's thread (and before Run, when no thread owns it yet).
  bool OnLoop() const;
  /// True while some thread is inside Run. Any thread.
  bool running() const;

 private:
  boost::asio::io_context context_{1};
  std::atomic<std::thread::id> thread_{};
};

}  // namespace burstlet::kube
