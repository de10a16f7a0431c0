#include "provider/backoff.h"

#include <algorithm>

namespace burstlet::provider {

void Backoff::Next(const std::string& key, Clock::time_point failed_at, Clock::time_point now) {
  Entry& entry = entries_[key];
  const bool expired = entry.delay.count() == 0 || failed_at - entry.last_update > limits_.reset_after;
  entry.delay = expired ? limits_.initial : std::min(entry.delay * 2, limits_.maximum);
  entry.last_update = now;
}

std::chrono::milliseconds Backoff::Get(const std::string& key) const {
  const auto it = entries_.find(key);
  return it == entries_.end() ? std::chrono::milliseconds{0} : it->second.delay;
}

Backoff::Clock::time_point Backoff::ReadyAt(const std::string& key, Clock::time_point since) const {
  const auto it = entries_.find(key);
  const bool expired = it == entries_.end() || since - it->second.last_update > limits_.reset_after;
  return expired ? since : since + it->second.delay;
}

void Backoff::Forget(const std::string& key) { entries_.erase(key); }

}  // namespace burstlet::provider
