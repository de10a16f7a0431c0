// Answers of the API server's reviews (TokenReview, SubjectAccessReview), remembered for a while.
//
// Concurrent questions with one key are one review. Errors are told to all who wait and never remembered. Both the
// number of answers kept and the number of open questions are bounded: beyond, old answers go and new questions fail.
// Threads: any; callbacks run on the thread that completes the review, or at once when the answer is known.
#pragma once

#include <chrono>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"

namespace burstlet::kube {

template <typename Value>
class ReviewCache {
 public:
  using Clock = std::chrono::steady_clock;
  using Callback = std::function<void(absl::StatusOr<Value>)>;
  /// Asks the API server; completes from any thread, exactly once.
  using Fetch = std::function<void(Callback)>;
  using Lifetime = std::function<Clock::duration(const Value&)>;
  using Now = std::function<Clock::time_point()>;

  ReviewCache(std::size_t max_entries, std::size_t max_open, Lifetime lifetime, Now now = Clock::now)
      : state_(std::make_shared<State>()) {
    state_->max_entries = max_entries;
    state_->max_open = max_open;
    state_->lifetime = std::move(lifetime);
    state_->now = std::move(now);
  }

  void Get(const std::string& key, const Fetch& fetch, Callback callback) {
    std::unique_lock<std::mutex> lock(state_->mutex);
    const auto known = state_->entries.find(key);
    if (known != state_->entries.end()) {
      if (known->second.expires > state_->now()) {
        Value value = known->second.value;
        lock.unlock();
        callback(std::move(value));
        return;
      }
      state_->entries.erase(known);
    }
    auto open = state_->open.find(key);
    if (open != state_->open.end()) {
      open->second.push_back(std::move(callback));
      return;
    }
    if (state_->open.size() >= state_->max_open) {
      lock.unlock();
      callback(absl::ResourceExhaustedError("too many reviews under way"));
      return;
    }
    state_->open[key].push_back(std::move(callback));
    lock.unlock();
    // The answer may come after this cache is gone: it keeps the state, nothing else.
    fetch([state = state_, key](absl::StatusOr<Value> answer) { Complete(*state, key, std::move(answer)); });
  }

 private:
  struct Entry {
    Value value;
    Clock::time_point expires;
  };
  struct State {
    std::mutex mutex;
    std::map<std::string, Entry> entries;
    std::map<std::string, std::vector<Callback>> open;
    std::size_t max_entries = 0;
    std::size_t max_open = 0;
    Lifetime lifetime;
    Now now;
  };

  static void Complete(State& state, const std::string& key, absl::StatusOr<Value> answer) {
    std::vector<Callback> waiting;
    {
      std::lock_guard<std::mutex> lock(state.mutex);
      const auto open = state.open.find(key);
      if (open != state.open.end()) {
        waiting = std::move(open->second);
        state.open.erase(open);
      }
      if (answer.ok()) {
        const auto now = state.now();
        if (state.entries.size() >= state.max_entries) MakeRoom(state, now);
        state.entries.insert_or_assign(key, Entry{*answer, now + state.lifetime(*answer)});
      }
    }
    for (const Callback& callback : waiting) callback(answer);
  }

  static void MakeRoom(State& state, Clock::time_point now) {
    for (auto it = state.entries.begin(); it != state.entries.end();) {
      it = it->second.expires <= now ? state.entries.erase(it) : std::next(it);
    }
    while (state.entries.size() >= state.max_entries && !state.entries.empty()) {
      state.entries.erase(state.entries.begin());
    }
  }

  std::shared_ptr<State> state_;
};

}  // namespace burstlet::kube
