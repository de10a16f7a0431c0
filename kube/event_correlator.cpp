#include "kube/event_correlator.h"

#include <algorithm>

namespace burstlet::kube {
namespace {

constexpr std::size_t kCacheSize = 4096;
/// More different messages than this of one reason about one object within the window are told as one.
constexpr std::size_t kMaxSimilar = 10;
constexpr std::chrono::seconds kSimilarWindow{600};
constexpr double kBurst = 25;
constexpr double kTokensPerSecond = 1.0 / 300;
constexpr char kCombined[] = "(combined from similar events): ";

std::string SourceKey(const Event& event) {
  const ObjectReference& object = event.involvedObject;
  std::string key;
  for (const std::string* part : {&event.source.component, &event.source.host, &object.kind, &object.namespace_,
                                  &object.name, &object.uid, &object.apiVersion}) {
    key += *part;
    key += '\0';
  }
  return key;
}

}  // namespace

template <typename T>
T* EventCorrelator::Cache<T>::Find(const std::string& key) {
  const auto found = index_.find(key);
  if (found == index_.end()) return nullptr;
  items_.splice(items_.begin(), items_, found->second);
  return &found->second->second;
}

template <typename T>
T& EventCorrelator::Cache<T>::At(const std::string& key, const T& initial) {
  if (T* found = Find(key)) return *found;
  if (items_.size() >= kCacheSize) {
    index_.erase(items_.back().first);
    items_.pop_back();
  }
  items_.emplace_front(key, initial);
  index_[key] = items_.begin();
  return items_.front().second;
}

template <typename T>
void EventCorrelator::Cache<T>::Erase(const std::string& key) {
  const auto found = index_.find(key);
  if (found == index_.end()) return;
  items_.erase(found->second);
  index_.erase(found);
}

std::optional<CorrelatedEvent> EventCorrelator::Correlate(Event event, Time now) {
  const std::string source = SourceKey(event);
  const std::string reason_key = source + event.type + '\0' + event.reason + '\0';

  Similar& similar = similar_.At(reason_key, Similar{{}, now});
  if (now - similar.last > kSimilarWindow) similar.messages.clear();
  similar.last = now;
  // Bounded: what is beyond the limit need not be told apart.
  if (similar.messages.size() <= kMaxSimilar) similar.messages.insert(event.message);
  const bool combine = similar.messages.size() > kMaxSimilar;
  std::string key = reason_key;
  if (combine) {
    event.message = kCombined + event.message;
  } else {
    key += event.involvedObject.fieldPath + '\0' + event.message;
  }

  Bucket& bucket = buckets_.At(source, Bucket{kBurst, now});
  const double seconds = std::chrono::duration<double>(now - bucket.filled).count();
  bucket.tokens = std::min(kBurst, bucket.tokens + seconds * kTokensPerSecond);
  bucket.filled = now;

  Seen& seen = seen_.At(key, Seen{0, "", event.firstTimestamp});
  ++seen.count;
  if (bucket.tokens < 1) return std::nullopt;
  bucket.tokens -= 1;
  event.count = seen.count;
  event.firstTimestamp = seen.first;
  return CorrelatedEvent{std::move(event), seen.name, key};
}

void EventCorrelator::Remember(const std::string& key, const std::string& name) {
  if (Seen* seen = seen_.Find(key)) seen->name = name;
}

void EventCorrelator::Forget(const std::string& key) { seen_.Erase(key); }

}  // namespace burstlet::kube
