#include "provider/status/status_manager.h"

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <map>
#include <utility>
#include <vector>

#include "kube/async/signal_event.h"
#include "metrics/log.h"
#include "provider/status/merge.h"
#include "provider/status/restart.h"

namespace burstlet::provider {
namespace {

using std::chrono::milliseconds;

constexpr milliseconds kFirstRetry{50};
constexpr milliseconds kLongestRetry{10'000};
constexpr unsigned kFailuresPerWarning = 3;

/// 50 ms, doubling to 10 s; spread by pod so that an API server that comes back is not hit by all at once.
milliseconds RetryDelay(const std::string& uid, unsigned failures) {
  milliseconds delay = kFirstRetry;
  for (unsigned i = 1; i < failures && delay < kLongestRetry; ++i) delay *= 2;
  delay = std::min(delay, kLongestRetry);
  const std::size_t spread = (std::hash<std::string>{}(uid) + failures * 31) % 21;
  return delay * (90 + static_cast<int>(spread)) / 100;
}

/// Resource versions are numbers that grow (KEP-5504). Anything else counts as newer when it differs.
bool NewerVersion(const std::string& candidate, const std::string& known) {
  const auto numeric = [](const std::string& text) {
    return !text.empty() && text.find_first_not_of("0123456789") == std::string::npos;
  };
  if (!numeric(candidate) || !numeric(known)) return candidate != known;
  if (candidate.size() != known.size()) return candidate.size() > known.size();
  return candidate > known;
}

bool Gone(const absl::Status& status) {
  return status.code() == absl::StatusCode::kNotFound || status.code() == absl::StatusCode::kFailedPrecondition;
}

/// One pod's publication. Alive as long as its task runs, even when forgotten meanwhile.
struct Entry {
  Entry(kube::Loop& loop, std::string pod_uid) : wake(loop), uid(std::move(pod_uid)) {}

  kube::SignalEvent wake;
  const std::string uid;
  std::shared_ptr<const kube::Pod> pod;

  // What the sink has.
  kube::PodStatus stored;
  std::string stored_version;
  std::string accepted;  // fingerprint of what our last write was stored as

  // What it should have. `version` counts Set calls that changed something; `acked` is the last one stored.
  std::optional<kube::PodStatus> wanted;
  std::string wanted_fingerprint;
  std::uint64_t version = 0;
  std::uint64_t acked = 0;
  bool reconcile = false;  // somebody else changed what is ours

  std::shared_ptr<const kube::Pod> delete_pod;
  std::vector<std::pair<std::uint64_t, std::function<void()>>> waiters;
  unsigned failures = 0;
  unsigned reconciles = 0;
  bool active = false;  // its task runs
  bool gone = false;
};

using EntryPtr = std::shared_ptr<Entry>;

class CoalescingStatusManager final : public StatusManager {
 public:
  CoalescingStatusManager(kube::Loop& loop, kube::TaskGroup& tasks, StatusSink& sink)
      : loop_(loop), tasks_(tasks), sink_(sink) {}

  void Observe(std::shared_ptr<const kube::Pod> pod) override {
    const EntryPtr entry = Find(pod->metadata.uid);
    if (!entry || entry->gone) {
      if (!entry) Add(std::move(pod));
      return;
    }
    if (!TakeStored(*entry, std::move(pod))) return;
    if (entry->active) {
      entry->wake.Set();  // the server answers again: no need to sit out a back-off
      return;
    }
    if (entry->wanted && entry->acked == entry->version && Differs(*entry)) {
      entry->reconcile = true;
      Start(entry);
    }
  }

  void Set(std::shared_ptr<const kube::Pod> pod, kube::PodStatus status) override {
    EntryPtr entry = Find(pod->metadata.uid);
    if (!entry) entry = Add(pod);
    if (entry->gone) return;
    TakeStored(*entry, pod);
    NormalizeStatus(*pod, status);
    std::string fingerprint = StatusFingerprint(status);
    if (entry->wanted && fingerprint == entry->wanted_fingerprint) return;
    entry->wanted = std::move(status);
    entry->wanted_fingerprint = std::move(fingerprint);
    ++entry->version;
    entry->reconciles = 0;
    Start(entry);
  }

  std::optional<kube::PodStatus> Get(const std::string& uid) const override {
    const auto it = entries_.find(uid);
    return it == entries_.end() ? std::nullopt : it->second->wanted;
  }

  void WhenStored(const std::string& uid, std::function<void()> callback) override {
    const EntryPtr entry = Find(uid);
    if (!entry || entry->gone || entry->acked == entry->version) {
      loop_.Post(std::move(callback));
      return;
    }
    entry->waiters.emplace_back(entry->version, std::move(callback));
  }

  void DeletePod(std::shared_ptr<const kube::Pod> pod) override {
    EntryPtr entry = Find(pod->metadata.uid);
    if (!entry) entry = Add(pod);
    if (entry->gone) return;
    entry->delete_pod = std::move(pod);
    Start(entry);
  }

  void Forget(const std::string& uid) override {
    const auto it = entries_.find(uid);
    if (it == entries_.end()) return;
    const EntryPtr entry = it->second;
    entries_.erase(it);
    MarkGone(*entry);
    entry->wake.Set();
  }

  void OnStored(std::function<void(const std::string&, const kube::PodStatus&)> callback) override {
    on_stored_ = std::move(callback);
  }

  void Stop() override {
    stopping_ = true;
    for (const auto& [uid, entry] : entries_) entry->wake.Set();
  }

 private:
  EntryPtr Find(const std::string& uid) const {
    const auto it = entries_.find(uid);
    return it == entries_.end() ? nullptr : it->second;
  }

  EntryPtr Add(std::shared_ptr<const kube::Pod> pod) {
    auto entry = std::make_shared<Entry>(loop_, pod->metadata.uid);
    entry->stored = pod->status;
    entry->stored_version = pod->metadata.resourceVersion;
    entry->pod = std::move(pod);
    entries_[entry->uid] = entry;
    return entry;
  }

  /// Keeps the newest of what the server has shown; the watch lags behind the answers to our own writes.
  static bool TakeStored(Entry& entry, std::shared_ptr<const kube::Pod> pod) {
    if (!NewerVersion(pod->metadata.resourceVersion, entry.stored_version)) return false;
    entry.stored = pod->status;
    entry.stored_version = pod->metadata.resourceVersion;
    entry.pod = std::move(pod);
    return true;
  }

  /// The server shows something else than wanted; its own spelling of what was written last does not count.
  static bool Differs(const Entry& entry) {
    const std::string shown = StatusFingerprint(entry.stored);
    if (entry.acked == entry.version && shown == entry.accepted) return false;
    return shown != StatusFingerprint(MergeStatus(entry.stored, *entry.wanted));
  }

  void Start(const EntryPtr& entry) {
    if (entry->active || stopping_) return;
    entry->active = true;
    tasks_.Spawn("status of pod " + kube::ObjectName(entry->pod->metadata), Drive(entry));
  }

  kube::Task<void> Drive(EntryPtr entry) {
    while (!stopping_ && !entry->gone) {
      if (entry->wanted && (entry->acked != entry->version || entry->reconcile)) {
        co_await WriteOnce(entry);
      } else if (entry->delete_pod) {
        co_await DeleteOnce(entry);
      } else {
        break;
      }
    }
    entry->active = false;
  }

  kube::Task<void> WriteOnce(EntryPtr entry) {
    const std::uint64_t version = entry->version;
    if (entry->reconcile && entry->acked == version) {
      // Two writers that disagree must not turn this into a busy loop.
      if (entry->reconciles > 0) co_await Pause(entry, RetryDelay(entry->uid, entry->reconciles));
      if (stopping_ || entry->gone || entry->version != version) co_return;
      ++entry->reconciles;
    }
    entry->reconcile = false;
    if (!Differs(*entry)) {
      Acknowledge(*entry, version);
      co_return;
    }
    kube::PodStatus next = MergeStatus(entry->stored, *entry->wanted);
    absl::StatusOr<kube::Pod> answer = co_await sink_.Write(entry->pod, entry->stored, std::move(next));
    if (entry->gone) co_return;
    if (!answer.ok()) {
      if (entry->acked == version) entry->reconcile = true;
      co_await Failed(entry, answer.status(), "Cannot store pod status");
      co_return;
    }
    entry->failures = 0;
    entry->accepted = StatusFingerprint(answer->status);
    const kube::PodStatus stored = answer->status;
    TakeStored(*entry, std::make_shared<const kube::Pod>(*std::move(answer)));
    if (on_stored_) on_stored_(entry->uid, stored);
    Acknowledge(*entry, version);
  }

  kube::Task<void> DeleteOnce(EntryPtr entry) {
    if (!TerminalPhase(entry->stored.phase)) {
      Warn("Deleting a pod whose terminal status was never set",
           {{"pod", kube::ObjectName(entry->pod->metadata)}, {"podUID", entry->uid}, {"phase", entry->stored.phase}});
    }
    const absl::Status status = co_await sink_.Delete(entry->delete_pod);
    if (entry->gone) co_return;
    if (status.ok()) {
      V(2, "Deleted pod", {{"pod", kube::ObjectName(entry->pod->metadata)}, {"podUID", entry->uid}});
      MarkGone(*entry);
      co_return;
    }
    co_await Failed(entry, status, "Cannot delete pod");
  }

  /// Ends the entry when the pod is gone, else waits before the next try.
  kube::Task<void> Failed(EntryPtr entry, absl::Status status, const char* what) {
    if (Gone(status)) {
      MarkGone(*entry);
      co_return;
    }
    ++entry->failures;
    const LogPair pod("pod", kube::ObjectName(entry->pod->metadata));
    // The first tries may only have come before the API server's own caches (403), or in a blink of it.
    if (entry->failures == kFailuresPerWarning) {
      Warn(what, {pod, {"podUID", entry->uid}, {"err", std::string(status.message())}});
    } else {
      V(2, what, {pod, {"failures", entry->failures}, {"err", std::string(status.message())}});
    }
    const milliseconds delay = std::max(RetryDelay(entry->uid, entry->failures), kube::RetryAfterOf(status));
    co_await Pause(entry, delay);
  }

  kube::Task<void> Pause(EntryPtr entry, milliseconds delay) {
    if (stopping_ || entry->gone) co_return;
    co_await entry->wake.WaitUntil(std::chrono::steady_clock::now() + delay);
  }

  void Acknowledge(Entry& entry, std::uint64_t version) {
    entry.acked = std::max(entry.acked, version);
    auto waiters = std::move(entry.waiters);
    entry.waiters.clear();
    for (auto& [wanted, callback] : waiters) {
      if (wanted <= entry.acked) {
        loop_.Post(std::move(callback));
      } else {
        entry.waiters.emplace_back(wanted, std::move(callback));
      }
    }
  }

  void MarkGone(Entry& entry) {
    entry.gone = true;
    for (auto& [wanted, callback] : entry.waiters) loop_.Post(std::move(callback));
    entry.waiters.clear();
  }

  kube::Loop& loop_;
  kube::TaskGroup& tasks_;
  StatusSink& sink_;
  std::map<std::string, EntryPtr> entries_;
  std::function<void(const std::string&, const kube::PodStatus&)> on_stored_;
  bool stopping_ = false;
};

}  // namespace

std::unique_ptr<StatusManager> NewStatusManager(kube::Loop& loop, kube::TaskGroup& tasks, StatusSink& sink) {
  return std::make_unique<CoalescingStatusManager>(loop, tasks, sink);
}

}  // namespace burstlet::provider
