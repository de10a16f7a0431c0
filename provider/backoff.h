// Exponential back-off with a memory: the kubelet's flowcontrol.Backoff for container restarts and image pulls.
//
// Loop thread only; time is given. Source: client-go util/flowcontrol/backoff.go, KEP-5593.
#pragma once

#include <chrono>
#include <map>
#include <string>

namespace burstlet::provider {

class Backoff {
 public:
  using Clock = std::chrono::steady_clock;
  struct Limits {
    std::chrono::milliseconds initial{10'000};
    std::chrono::milliseconds maximum{300'000};
    /// An entry without a failure for this long starts over.
    std::chrono::milliseconds reset_after{600'000};
  };

  explicit Backoff(Limits limits) : limits_(limits) {}

  /// One more failure: the delay for `key` starts at the initial value, then doubles up to the maximum. `failed_at` is
  /// when what failed has ended: a long life before it makes the delay start over, the wait after it does not.
  void Next(const std::string& key, Clock::time_point failed_at, Clock::time_point now);
  void Next(const std::string& key, Clock::time_point now) { Next(key, now, now); }
  /// The present delay of `key`; zero when it has none.
  std::chrono::milliseconds Get(const std::string& key) const;
  /// When a try that failed (ended) at `since` may be repeated; `since` itself when it has no delay.
  Clock::time_point ReadyAt(const std::string& key, Clock::time_point since) const;
  void Forget(const std::string& key);

 private:
  struct Entry {
    std::chrono::milliseconds delay{0};
    Clock::time_point last_update;
  };
  Limits limits_;
  std::map<std::string, Entry> entries_;
};

}  // namespace burstlet::provider
