#include "provider/static_pods.h"

#include <algorithm>
#include <chrono>
#include <utility>

#include "absl/strings/str_cat.h"
#include "kube/json.h"
#include "metrics/log.h"
#include "metrics/status.h"
#include "provider/static_pod.h"

namespace burstlet::provider {
namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;

constexpr milliseconds kFirstRetry{100};
constexpr milliseconds kLastRetry{10'000};

/// A static pod with what the API server has of it: its mirror's status and version.
std::shared_ptr<const kube::Pod> AsStored(const kube::Pod& pod, const kube::Pod& mirror) {
  auto stored = std::make_shared<kube::Pod>(pod);
  stored->status = mirror.status;
  stored->metadata.resourceVersion = mirror.metadata.resourceVersion;
  return stored;
}

}  // namespace

StaticPods::StaticPods(kube::Client& client, kube::Loop& loop, kube::TaskGroup& tasks, StatusSink& inner,
                       std::string node_name, std::function<std::string()> node_uid)
    : client_(client),
      tasks_(tasks),
      inner_(inner),
      node_name_(std::move(node_name)),
      node_uid_(std::move(node_uid)),
      mirror_work_(loop) {}

void StaticPods::Use(PodWorkers& workers, StatusManager& statuses) {
  workers_ = &workers;
  statuses_ = &statuses;
}

StaticPods::PodPtr StaticPods::Desired(const std::string& name) const {
  const auto found = desired_.find(name);
  return found == desired_.end() ? nullptr : found->second;
}

// --- workers ------------------------------------------------------------------------------------------------------

void StaticPods::Merge() {
  desired_.clear();
  for (const auto& [origin, pods] : origins_) {
    for (const PodPtr& pod : pods) {
      const std::string name = kube::ObjectName(pod->metadata);
      if (desired_.emplace(name, pod).second) continue;
      Error("Two static pods of one name: the file's counts", {{"pod", name}});
    }
  }
}

void StaticPods::Desire(StaticOrigin::Kind origin, const StaticPodList& pods) {
  const bool first = !origins_.contains(origin);
  origins_[origin] = pods;
  Merge();
  if (first) {
    // What runs since a former agent and is still wanted goes on; what is not wanted any more ends.
    std::vector<SourcePod> known;
    for (const PodPtr& pod : pods) {
      if (workers_->WasRecovered(pod->metadata.uid)) known.push_back({pod, {}});
    }
    workers_->Replace(std::move(known), {}, origin == StaticOrigin::Kind::kUrl ? PodSource::kUrl : PodSource::kFiles);
  }
  SyncWorkers();
}

void StaticPods::SyncWorkers() {
  std::set<std::string> busy;  // names that a worker still has
  for (PodWorker* worker : workers_->All()) {
    const PodPtr& pod = worker->pod();
    if (!IsStaticPod(*pod)) continue;
    const std::string name = kube::ObjectName(pod->metadata);
    busy.insert(name);
    if (!origins_.contains(StaticKindOf(*pod))) continue;
    const PodPtr wanted = Desired(name);
    const bool same = wanted != nullptr && wanted->metadata.uid == pod->metadata.uid;
    if (!same && !worker->removed()) {
      Info("Ending a static pod", {{"pod", name}, {"podUID", pod->metadata.uid}, {"changed", wanted != nullptr}});
      workers_->Deleted(pod->metadata.uid);
    }
  }
  for (const auto& [name, pod] : desired_) {
    if (busy.contains(name)) continue;
    Info("Starting a static pod", {{"pod", name}, {"podUID", pod->metadata.uid}});
    workers_->Changed({pod, {}});
    if (const auto mirror = mirrors_.find(name); mirror != mirrors_.end()) Seen(mirror->second);
  }
  mirror_work_.Set();
}

void StaticPods::WorkerDone() {
  if (!origins_.empty()) SyncWorkers();
}

// --- mirrors ------------------------------------------------------------------------------------------------------

void StaticPods::NodeRegistered() {
  if (!std::exchange(mirroring_, true)) tasks_.Spawn("mirror pods", SyncMirrors());
  mirror_work_.Set();
}

void StaticPods::ReplaceMirrors(std::vector<PodPtr> mirrors) {
  mirrors_.clear();
  for (PodPtr& mirror : mirrors) {
    Seen(mirror);
    mirrors_[kube::ObjectName(mirror->metadata)] = std::move(mirror);
  }
  api_synced_ = true;
  mirror_work_.Set();
}

void StaticPods::MirrorChanged(PodPtr mirror) {
  Seen(mirror);
  mirrors_[kube::ObjectName(mirror->metadata)] = std::move(mirror);
  mirror_work_.Set();
}

void StaticPods::MirrorDeleted(const kube::ObjectMeta& meta) {
  const auto found = mirrors_.find(kube::ObjectName(meta));
  if (found != mirrors_.end() && found->second->metadata.uid == meta.uid) {
    mirrors_.erase(found);
  } else {
    ended_mirrors_.insert(meta.uid);
  }
  mirror_work_.Set();
}

/// The status manager learns what the API server shows of the pod.
void StaticPods::Seen(const PodPtr& mirror) {
  const PodPtr pod = Desired(kube::ObjectName(mirror->metadata));
  if (pod == nullptr || !IsMirrorOf(*mirror, *pod) || workers_->FindByUid(pod->metadata.uid) == nullptr) return;
  statuses_->Observe(AsStored(*pod, *mirror));
}

kube::Task<void> StaticPods::SyncMirrors() {
  while (true) {
    std::set<std::string> names;
    for (const auto& [name, pod] : desired_) names.insert(name);
    for (const auto& [name, mirror] : mirrors_) names.insert(name);
    for (const std::string& name : names) {
      if (api_synced_) co_await SyncMirror(name);
    }
    std::erase_if(retries_, [&](const auto& entry) { return !names.contains(entry.first); });
    kube::SteadyTime next = kube::SteadyTime::max();
    for (const auto& [name, retry] : retries_) next = std::min(next, retry.at);
    co_await mirror_work_.WaitUntil(next);
  }
}

/// One step for one name. What it does comes back through the watch, and asks for the next.
kube::Task<void> StaticPods::SyncMirror(std::string name) {
  if (const auto retry = retries_.find(name); retry != retries_.end() && steady_clock::now() < retry->second.at) {
    co_return;
  }
  const PodPtr pod = Desired(name);
  const auto found = mirrors_.find(name);
  const PodPtr mirror = found == mirrors_.end() ? nullptr : found->second;
  const std::size_t slash = name.find('/');
  const PodWorker* worker = workers_->FindByName(name.substr(0, slash), name.substr(slash + 1));
  const bool runs = pod != nullptr && worker != nullptr && worker->pod()->metadata.uid == pod->metadata.uid;
  absl::Status status;
  if (mirror != nullptr) {
    const bool right = pod != nullptr && !mirror->metadata.deletionTimestamp && IsMirrorOf(*mirror, *pod);
    // While the former pod of that name ends, its mirror shows that.
    const bool ending = worker != nullptr && !runs && !mirror->metadata.deletionTimestamp;
    if (right || ending || !Judged(mirror)) {
      retries_.erase(name);
      co_return;
    }
    Info("Deleting a mirror pod", {{"pod", name}, {"podUID", mirror->metadata.uid}});
    status = co_await client_.DeletePod(name.substr(0, slash), name.substr(slash + 1), mirror->metadata.uid, 0);
    const bool gone = status.ok() || absl::IsNotFound(status) || absl::IsAborted(status);
    // Not until the watch has told of its end is a new one made.
    if (gone) {
      retries_.erase(name);
      co_return;
    }
  } else if (runs) {
    Info("Creating a mirror pod", {{"pod", name}, {"podUID", pod->metadata.uid}});
    status = co_await CreateMirror(pod);
    if (status.ok()) {
      retries_.erase(name);
      co_return;
    }
  } else {
    co_return;
  }
  Retry& retry = retries_[name];
  const milliseconds delay = std::min(kFirstRetry * (1 << std::min(retry.failures, 10u)), kLastRetry);
  if (++retry.failures % 4 == 3)
    Warn("Mirror pod not in order", {{"pod", name}, {"err", std::string(status.message())}});
  retry.at = steady_clock::now() + std::max(delay, kube::RetryAfterOf(status));
}

kube::Task<absl::Status> StaticPods::CreateMirror(PodPtr pod) {
  const std::string node_uid = node_uid_();
  if (node_uid.empty()) co_return absl::UnavailableError("the node is not registered");
  const kube::Pod mirror = MakeMirrorPod(*pod, node_name_, node_uid);
  auto answer = co_await client_.Do("POST", absl::StrCat("/api/v1/namespaces/", pod->metadata.namespace_, "/pods"),
                                    "application/json", kube::Encode(mirror), milliseconds(0));
  if (!answer.ok()) co_return answer.status();
  auto created = kube::Decode<kube::Pod>(answer->body);
  if (!created.ok()) co_return created.status();
  const bool ended = ended_mirrors_.contains(created->metadata.uid);
  ended_mirrors_.clear();  // one creation at a time is under way
  if (ended) co_return absl::OkStatus();
  auto shared = std::make_shared<const kube::Pod>(*std::move(created));
  mirrors_[kube::ObjectName(shared->metadata)] = shared;
  Seen(shared);
  co_return absl::OkStatus();
}

// --- statuses -----------------------------------------------------------------------------------------------------

kube::Task<absl::StatusOr<kube::Pod>> StaticPods::Write(PodPtr pod, kube::PodStatus previous, kube::PodStatus next) {
  if (!IsStaticPod(*pod)) co_return co_await inner_.Write(pod, std::move(previous), std::move(next));
  kube::Pod stored = *pod;
  const auto found = mirrors_.find(kube::ObjectName(pod->metadata));
  const PodPtr mirror = found == mirrors_.end() ? nullptr : found->second;
  if (mirror == nullptr || mirror->metadata.deletionTimestamp || !IsMirrorOf(*mirror, *pod)) {
    // Nobody to tell it to. A mirror that comes shows something else, and is then put right. It may be time to make
    // one: a pod that waited for room has a worker only now.
    mirror_work_.Set();
    stored.status = std::move(next);
    co_return stored;
  }
  auto answer = co_await inner_.Write(mirror, std::move(previous), next);
  const bool gone = absl::IsNotFound(answer.status()) || absl::IsFailedPrecondition(answer.status());
  if (!answer.ok() && !gone) co_return answer.status();
  if (gone) {
    stored.status = std::move(next);
    co_return stored;
  }
  auto shared = std::make_shared<const kube::Pod>(*std::move(answer));
  const auto current = mirrors_.find(kube::ObjectName(pod->metadata));
  if (current != mirrors_.end() && current->second->metadata.uid == shared->metadata.uid) current->second = shared;
  co_return *AsStored(*pod, *shared);
}

kube::Task<absl::Status> StaticPods::Delete(PodPtr pod) {
  if (IsStaticPod(*pod)) co_return absl::OkStatus();
  co_return co_await inner_.Delete(pod);
}

}  // namespace burstlet::provider
