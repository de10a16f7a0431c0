#include "kube/object_watch.h"

#include <map>
#include <set>
#include <vector>

#include "absl/strings/str_cat.h"
#include "kube/async/signal_event.h"
#include "kube/async/task_group.h"
#include "kube/backoff.h"
#include "kube/json.h"
#include "kube/reflector.h"
#include "metrics/log.h"
#include "metrics/status.h"

namespace burstlet::kube {
namespace {

using std::chrono::steady_clock;

/// Right after a pod appears the node authorizer's graph may not know it yet; its 403 is no answer until then.
constexpr std::chrono::milliseconds kFirstAnswerGrace{2'000};
/// How long a Get waits for an API server that says nothing at all.
constexpr std::chrono::milliseconds kSilenceLimit{10'000};
/// An object that is not watched is fetched anew after this (pkg/kubelet/util/manager: one minute).
constexpr std::chrono::seconds kFetchedFor{60};

/// One object some pod refers to.
template <typename T>
struct Entry {
  std::string name_space;
  std::string name;
  std::set<std::string> owners;
  SteadyTime acquired_at = steady_clock::now();
  SteadyTime idle_since{};  // while it has no owner
  CancelToken cancel;
  bool watching = false;
  bool answered = false;  // `object` is the truth; null: it does not exist
  std::shared_ptr<const T> object;
  absl::Status failure;     // the newest failed try
  SteadyTime fetched_at{};  // of an object that is not watched
  std::vector<std::shared_ptr<SignalEvent>> waiters;

  void Wake() {
    for (const auto& waiter : waiters) waiter->Set();
    waiters.clear();
  }
};

/// What all kinds share.
struct Context {
  Context(Client& c, Loop& l, int watches, std::chrono::milliseconds idle)
      : client(c), loop(l), group(l), free_watches(watches), linger(idle) {}

  Client& client;
  Loop& loop;
  TaskGroup group;
  int free_watches;
  const std::chrono::milliseconds linger;
  bool stopped = false;
  std::function<void(const std::string&)> on_change;
};

template <typename T>
class Kind {
 public:
  using EntryPtr = std::shared_ptr<Entry<T>>;
  using Fetch = Task<absl::StatusOr<T>> (Client::*)(std::string, std::string);

  Kind(Context& context, const char* resource, Fetch fetch) : context_(context), resource_(resource), fetch_(fetch) {}

  void Acquire(const std::string& owner, const std::string& name_space, const std::string& name);
  void Release(const std::string& owner);
  void ReleaseAll();
  Task<absl::StatusOr<std::shared_ptr<const T>>> Get(std::string name_space, std::string name);

 private:
  using Key = std::pair<std::string, std::string>;

  static Task<void> Watch(Kind& kind, EntryPtr entry);
  Task<void> RunWatch(EntryPtr entry);
  Task<absl::Status> FetchAnew(EntryPtr entry);
  void Drop(const EntryPtr& entry);
  void DropIdle(SteadyTime before);
  void Answer(Entry<T>& entry, const std::string* json);
  void SetObject(Entry<T>& entry, std::shared_ptr<const T> object);

  Context& context_;
  const char* const resource_;
  const Fetch fetch_;
  std::map<Key, EntryPtr> entries_;
};

template <typename T>
void Kind<T>::Acquire(const std::string& owner, const std::string& name_space, const std::string& name) {
  if (context_.stopped) return;
  DropIdle(steady_clock::now() - context_.linger);
  if (context_.free_watches == 0) DropIdle(SteadyTime::max());
  EntryPtr& entry = entries_[{name_space, name}];
  if (entry) {
    entry->owners.insert(owner);
    return;
  }
  entry = std::make_shared<Entry<T>>();
  entry->name_space = name_space;
  entry->name = name;
  entry->owners.insert(owner);
  if (context_.free_watches == 0) return;
  --context_.free_watches;
  entry->watching = true;
  context_.group.Spawn(absl::StrCat("watch ", resource_, " ", name_space, "/", name), Watch(*this, entry));
}

template <typename T>
void Kind<T>::Drop(const EntryPtr& entry) {
  entry->cancel.Cancel();
  entry->Wake();
}

template <typename T>
void Kind<T>::DropIdle(SteadyTime before) {
  for (auto it = entries_.begin(); it != entries_.end();) {
    const EntryPtr entry = it->second;
    if (entry->owners.empty() && entry->idle_since <= before) {
      it = entries_.erase(it);
      Drop(entry);
    } else {
      ++it;
    }
  }
}

// A watch that nobody needs is kept for a while: pods of one namespace come and go, and each new watch costs a
// connection with its handshake (the kubelet keeps idle ones, too).
template <typename T>
void Kind<T>::Release(const std::string& owner) {
  const SteadyTime now = steady_clock::now();
  for (const auto& [key, entry] : entries_) {
    if (entry->owners.erase(owner) == 0 || !entry->owners.empty()) continue;
    entry->idle_since = now;
    // A Get that waits belonged to the owner.
    if (!entry->answered) entry->idle_since = SteadyTime{};
  }
  DropIdle(now - context_.linger);
}

template <typename T>
void Kind<T>::ReleaseAll() {
  for (const auto& [key, entry] : entries_) Drop(entry);
  entries_.clear();
}

template <typename T>
Task<void> Kind<T>::Watch(Kind& kind, EntryPtr entry) {
  co_await kind.RunWatch(entry);
  ++kind.context_.free_watches;
  // What is fetched from now on was true when the watch ended (immutable objects stay so).
  entry->watching = false;
  entry->fetched_at = steady_clock::now();
}

template <typename T>
Task<void> Kind<T>::RunWatch(EntryPtr entry) {
  ReflectorHandlers handlers;
  handlers.replace = [this, entry](std::vector<std::string> objects) {
    Answer(*entry, objects.empty() ? nullptr : &objects.front());
  };
  handlers.changed = [this, entry](std::string object) { Answer(*entry, &object); };
  handlers.deleted = [this, entry](std::string) { Answer(*entry, nullptr); };
  handlers.list_failed = [this, entry](absl::Status why) {
    entry->failure = std::move(why);
    // Without a pod that refers to it the node may not read the object any more.
    if (entry->owners.empty()) DropIdle(SteadyTime::max());
    if (steady_clock::now() >= entry->acquired_at + kFirstAnswerGrace) entry->Wake();
  };
  std::string label = absl::StrCat(resource_, " ", entry->name_space, "/", entry->name);
  std::string path = absl::StrCat("/api/v1/namespaces/", entry->name_space, "/", resource_);
  std::string selector = absl::StrCat("fieldSelector=metadata.name%3D", entry->name);
  co_await RunReflector(context_.client, context_.loop, std::move(label), std::move(path), std::move(selector),
                        std::move(handlers), entry->cancel);
}

template <typename T>
void Kind<T>::Answer(Entry<T>& entry, const std::string* json) {
  if (json == nullptr) return SetObject(entry, nullptr);
  auto decoded = Decode<T>(*json);
  if (!decoded.ok()) {
    entry.failure = Annotate(decoded.status(), absl::StrCat(resource_, " ", entry.name_space, "/", entry.name));
    Error("An object cannot be read", {{"err", std::string(entry.failure.message())}});
    return entry.Wake();
  }
  const bool immutable = decoded->immutable.value_or(false);
  SetObject(entry, std::make_shared<const T>(*std::move(decoded)));
  // It can only be deleted now, which a pod that uses it need not see: the connection is better spent on others.
  if (immutable) entry.cancel.Cancel();
}

template <typename T>
void Kind<T>::SetObject(Entry<T>& entry, std::shared_ptr<const T> object) {
  const bool first = !entry.answered;
  const auto version = [](const std::shared_ptr<const T>& o) {
    return o ? o->metadata.resourceVersion : std::string();
  };
  const bool changed = version(entry.object) != version(object);
  entry.answered = true;
  entry.object = std::move(object);
  entry.failure = absl::OkStatus();
  entry.Wake();
  if (first || !changed || !context_.on_change) return;
  // A copy: the callback may release.
  const std::set<std::string> owners = entry.owners;
  for (const std::string& owner : owners) context_.on_change(owner);
}

template <typename T>
Task<absl::Status> Kind<T>::FetchAnew(EntryPtr entry) {
  Backoff backoff(std::chrono::milliseconds(5), std::chrono::milliseconds(500));
  while (true) {
    auto object = co_await (context_.client.*fetch_)(entry->name_space, entry->name);
    if (object.ok()) {
      entry->fetched_at = steady_clock::now();
      SetObject(*entry, std::make_shared<const T>(*std::move(object)));
      co_return absl::OkStatus();
    }
    const bool lagging = absl::IsPermissionDenied(object.status()) || absl::IsNotFound(object.status());
    const auto delay = backoff.Next();
    if (!lagging || entry->cancel.cancelled() || steady_clock::now() + delay > entry->acquired_at + kFirstAnswerGrace) {
      if (absl::IsNotFound(object.status())) {
        entry->fetched_at = steady_clock::now();
        SetObject(*entry, nullptr);
      }
      co_return object.status();
    }
    co_await SleepUntil(context_.loop, steady_clock::now() + delay);
  }
}

template <typename T>
Task<absl::StatusOr<std::shared_ptr<const T>>> Kind<T>::Get(std::string name_space, std::string name) {
  const std::string label = absl::StrCat(resource_, " \"", name, "\"");
  const auto found = entries_.find({name_space, name});
  if (found == entries_.end()) {
    // Nobody holds it: one request, not kept.
    auto object = co_await (context_.client.*fetch_)(name_space, name);
    if (!object.ok()) co_return object.status();
    co_return std::make_shared<const T>(*std::move(object));
  }
  const EntryPtr entry = found->second;
  const bool immutable = entry->object && entry->object->immutable.value_or(false);
  if (!entry->watching && !immutable && steady_clock::now() >= entry->fetched_at + kFetchedFor) {
    CO_RETURN_IF_ERROR(co_await FetchAnew(entry));
  }
  const auto grace = entry->acquired_at + kFirstAnswerGrace;
  const auto limit = std::max(grace, steady_clock::now() + kSilenceLimit);
  while (!entry->answered) {
    const auto now = steady_clock::now();
    if (entry->cancel.cancelled()) co_return absl::CancelledError(label + " is no longer needed");
    if (!entry->failure.ok() && now >= grace) co_return entry->failure;
    if (now >= limit) co_return absl::DeadlineExceededError(label + ": the API server does not answer");
    const auto waiter = std::make_shared<SignalEvent>(context_.loop);
    entry->waiters.push_back(waiter);
    co_await waiter->WaitUntil(entry->failure.ok() ? limit : grace);
  }
  if (!entry->object) co_return absl::NotFoundError(label + " not found");
  co_return entry->object;
}

class NodeObjectWatch final : public ObjectWatch {
 public:
  NodeObjectWatch(Client& client, Loop& loop, int max_watches, std::chrono::milliseconds linger)
      : context_(client, loop, max_watches, linger),
        config_maps_(context_, "configmaps", &Client::GetConfigMap),
        secrets_(context_, "secrets", &Client::GetSecret) {}

  void AcquireConfigMap(const std::string& owner, const std::string& name_space, const std::string& name) override {
    config_maps_.Acquire(owner, name_space, name);
  }
  void AcquireSecret(const std::string& owner, const std::string& name_space, const std::string& name) override {
    secrets_.Acquire(owner, name_space, name);
  }
  void Release(const std::string& owner) override {
    config_maps_.Release(owner);
    secrets_.Release(owner);
  }
  Task<absl::StatusOr<std::shared_ptr<const ConfigMap>>> GetConfigMap(std::string name_space,
                                                                      std::string name) override {
    return config_maps_.Get(std::move(name_space), std::move(name));
  }
  Task<absl::StatusOr<std::shared_ptr<const Secret>>> GetSecret(std::string name_space, std::string name) override {
    return secrets_.Get(std::move(name_space), std::move(name));
  }
  void OnChange(std::function<void(const std::string& owner)> callback) override {
    context_.on_change = std::move(callback);
  }
  Task<void> Stop() override {
    context_.stopped = true;
    config_maps_.ReleaseAll();
    secrets_.ReleaseAll();
    co_await context_.group.Join();
  }

 private:
  Context context_;
  Kind<ConfigMap> config_maps_;
  Kind<Secret> secrets_;
};

}  // namespace

std::unique_ptr<ObjectWatch> NewObjectWatch(Client& client, Loop& loop, int max_watches,
                                            std::chrono::milliseconds linger) {
  return std::make_unique<NodeObjectWatch>(client, loop, max_watches, linger);
}

}  // namespace burstlet::kube
