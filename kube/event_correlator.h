// Which of many events are worth telling: repeats count up, similar ones are combined, a noisy object is muted.
//
// Pure but for its memory; the caller gives the time. Not thread-safe. Source: client-go tools/record/events_cache.go,
// with its numbers.
#pragma once

#include <chrono>
#include <list>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>

#include "kube/api/core.h"

namespace burstlet::kube {

struct CorrelatedEvent {
  Event event;
  /// Set: the event exists already under this name; patch count, lastTimestamp and message.
  std::string existing_name;
  std::string key;  // for Remember
};

class EventCorrelator {
 public:
  using Time = std::chrono::steady_clock::time_point;

  /// What is to be sent, or nothing when the object has used up its allowance.
  std::optional<CorrelatedEvent> Correlate(Event event, Time now);
  /// The server has taken it under this name: the next one with this key counts up.
  void Remember(const std::string& key, const std::string& name);
  /// The server does not know it any more: the next one is created.
  void Forget(const std::string& key);

 private:
  struct Seen {
    std::int32_t count = 0;
    std::string name;
    kube::Time first;
  };
  struct Similar {
    std::set<std::string> messages;
    Time last;
  };
  struct Bucket {
    double tokens = 0;
    Time filled;
  };
  /// A map of bounded size that forgets what was longest unused.
  template <typename T>
  class Cache {
   public:
    T& At(const std::string& key, const T& initial);
    T* Find(const std::string& key);
    void Erase(const std::string& key);

   private:
    using Item = std::pair<std::string, T>;
    std::list<Item> items_;  // the newest first
    std::map<std::string, typename std::list<Item>::iterator> index_;
  };

  Cache<Seen> seen_;
  Cache<Similar> similar_;
  Cache<Bucket> buckets_;
};

}  // namespace burstlet::kube
