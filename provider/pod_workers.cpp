#include "provider/pod_workers.h"

#include <algorithm>
#include <set>
#include <tuple>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "metrics/log.h"
#include "metrics/status.h"
#include "provider/allocation.h"
#include "provider/preemption.h"
#include "provider/static_pod.h"
#include "provider/translate/resources.h"

namespace burstlet::provider {
namespace {

/// The first unknown field of the spec: it might mean anything, so the pod is not run without it.
std::optional<Refusal> RefuseUnknown(const std::vector<std::string>& unknown_fields) {
  for (const std::string& field : unknown_fields) {
    if (absl::StartsWith(field, "spec.")) {
      return Refusal{"UnsupportedField", absl::StrCat(field, ": this version of burstlet does not know this field")};
    }
  }
  return std::nullopt;
}

PodSource SourceOf(const kube::Pod& pod) {
  if (!IsStaticPod(pod)) return PodSource::kApi;
  return StaticKindOf(pod) == StaticOrigin::Kind::kUrl ? PodSource::kUrl : PodSource::kFiles;
}

/// CPU or memory that the pod held before is free now.
bool HoldsLess(const kube::Pod& now, const kube::Pod& before) {
  const kube::ResourceList has = PodRequestsInUse(now);
  const kube::ResourceList had = PodRequestsInUse(before);
  return MilliValueOf(has, "cpu") < MilliValueOf(had, "cpu") || ValueOf(has, "memory") < ValueOf(had, "memory");
}

kube::Task<void> UnmountStrangers(VolumeManager& volumes, std::string uid) {
  Info("Removing volumes of a pod that is gone", {{"podUID", uid}});
  const absl::Status removed = co_await volumes.Unmount(uid);
  LogIfError(removed, "Volumes not removed");
}

}  // namespace

PodWorkers::PodWorkers(PodWorkerContext context, Admit admit)
    : context_(std::move(context)),
      admit_(std::move(admit)),
      resizes_(
          context_.loop, context_.tasks, [this](const std::string& uid) { return FindByUid(uid); },
          [this](const kube::Pod& pod) { return admit_(pod, ActivePods(pod.metadata.uid)); }) {
  context_.resources_freed = [this] {
    if (!resizes_.empty()) context_.loop.Post([this] { resizes_.Retry(); });
    if (!waiting_.empty()) context_.loop.Post([this] { AdmitWaiting(); });
  };
  context_.done = [this](const std::string& uid) {
    // Not from inside the worker's own coroutine, which still runs.
    context_.loop.Post([this, uid] { Done(uid); });
  };
}

void PodWorkers::Recover(std::vector<Recovered> recovered) {
  for (Recovered& entry : recovered) {
    const std::string uid = entry.record.pod.metadata.uid;
    recovered_.emplace(uid, std::move(entry));
  }
}

void PodWorkers::Replace(std::vector<SourcePod> pods, std::set<std::string> unreadable, PodSource source) {
  const auto mine = [source](const kube::Pod& pod) { return SourceOf(pod) == source; };
  std::set<std::string> present = unreadable;
  for (const SourcePod& pod : pods) present.insert(pod.pod->metadata.uid);
  for (const auto& [uid, worker] : workers_) {
    if (!present.contains(uid) && mine(*worker->pod())) worker->Removed();
  }
  std::erase_if(waiting_, [&](const auto& entry) { return !present.contains(entry.first) && mine(*entry.second.pod); });
  // Those that the former agent left hold their resources already; the others come in the order of their creation.
  std::sort(pods.begin(), pods.end(), [this](const SourcePod& a, const SourcePod& b) {
    const bool a_known = recovered_.contains(a.pod->metadata.uid);
    const bool b_known = recovered_.contains(b.pod->metadata.uid);
    if (a_known != b_known) return a_known;
    return a.pod->metadata.creationTimestamp.unix_nanos < b.pod->metadata.creationTimestamp.unix_nanos;
  });
  for (SourcePod& pod : pods) Changed(std::move(pod));
  // What runs here and is wanted no more ends as if it had just been deleted.
  std::map<std::string, Recovered> orphans = std::exchange(recovered_, {});
  for (auto& [uid, entry] : orphans) {
    if (unreadable.contains(uid) || !mine(entry.record.pod)) {
      recovered_.emplace(uid, std::move(entry));
      continue;
    }
    Info("Ending a pod that was deleted while no agent ran",
         {{"pod", ObjectName(entry.record.pod.metadata)}, {"podUID", uid}});
    auto worker = std::make_shared<PodWorker>(context_, std::make_shared<const kube::Pod>(entry.record.pod));
    worker->Adopt(std::move(entry));
    workers_.emplace(uid, worker);
    worker->Removed();
    worker->Start();
  }
  if (source == PodSource::kApi && !std::exchange(synced_, true)) SweepVolumes();
  // Only now: what the former agent allocated to the others had to be known first.
  for (const auto& [uid, worker] : workers_) {
    if (worker->active() && worker->ResizeWanted()) resizes_.Push(uid);
  }
  if (!resizes_.empty()) resizes_.Retry();
}

/// A former agent may have died between a pod's volumes and its record; secrets must not outlive their pod.
void PodWorkers::SweepVolumes() {
  for (const std::string& uid : context_.volumes.KnownPods()) {
    if (!workers_.contains(uid) && !recovered_.contains(uid)) {
      context_.tasks.Spawn("sweep volumes", UnmountStrangers(context_.volumes, uid));
    }
  }
}

void PodWorkers::Changed(SourcePod pod) {
  const auto found = workers_.find(pod.pod->metadata.uid);
  if (const auto waits = waiting_.find(pod.pod->metadata.uid); waits != waiting_.end()) {
    waits->second = pod;
    if (!pod.pod->metadata.deletionTimestamp) return;
    waiting_.erase(waits);
  }
  if (found == workers_.end()) {
    Add(std::move(pod));
    return;
  }
  context_.statuses.Observe(pod.pod);
  PodWorker& worker = *found->second;
  if (worker.active()) context_.objects.Acquire(*pod.pod);
  const auto before = worker.desired();
  const auto held = resizes_.empty() ? nullptr : worker.pod();
  worker.Update(std::move(pod.pod));
  if (!worker.active()) return;
  const bool asked = !SameResources(*before, *worker.desired());
  if (asked && !worker.ResizeWanted()) worker.ForgetPendingResize();
  if (asked && worker.ResizeWanted()) resizes_.Push(worker.pod()->metadata.uid);
  // A pod that has shrunk holds less from the moment that its status tells so.
  const bool freed = held != nullptr && HoldsLess(*worker.pod(), *held);
  if ((asked && worker.ResizeWanted()) || freed) resizes_.Retry();
}

/// A critical pod is not refused for want of room: others end for it, and then it is admitted.
bool PodWorkers::Preempt(const SourcePod& source) {
  if (!IsCriticalPod(*source.pod)) return false;
  const auto fits = [&](const PodList& others) { return !admit_(*source.pod, others).has_value(); };
  const PodList ended = ChoosePreempted(*source.pod, ActivePods(), fits);
  const std::string message = "Preempted in order to admit critical pod";
  for (const auto& pod : ended) {
    Info("Preempting a pod", {{"pod", ObjectName(pod->metadata)}, {"for", ObjectName(source.pod->metadata)}});
    context_.events.PodEvent(*pod, "", "Warning", "Preempting", message);
    workers_.at(pod->metadata.uid)
        ->Fail("Preempting", message, std::chrono::seconds(pod->spec.terminationGracePeriodSeconds.value_or(30)));
  }
  if (ended.empty()) return false;
  waiting_[source.pod->metadata.uid] = source;
  return true;
}

void PodWorkers::AdmitWaiting() {
  const auto waiting = std::exchange(waiting_, {});
  for (const auto& [uid, source] : waiting) Changed(source);
}

void PodWorkers::Add(SourcePod source) {
  const std::string uid = source.pod->metadata.uid;
  auto worker = std::make_shared<PodWorker>(context_, source.pod);
  const bool terminal = source.pod->status.phase == "Succeeded" || source.pod->status.phase == "Failed";
  context_.statuses.Observe(source.pod);
  if (const auto known = recovered_.find(uid); known != recovered_.end()) {
    worker->Adopt(std::move(known->second));
    recovered_.erase(known);
  } else if (!terminal && !source.pod->metadata.deletionTimestamp) {
    std::optional<Refusal> refusal = RefuseUnknown(source.unknown_fields);
    if (!refusal) refusal = admit_(*source.pod, ActivePods());
    if (refusal && absl::StartsWith(refusal->reason, "OutOf") && Preempt(source)) return;
    if (refusal) {
      Info("Refusing a pod", {{"pod", ObjectName(source.pod->metadata)},
                              {"podUID", uid},
                              {"reason", refusal->reason},
                              {"message", refusal->message}});
      worker->Refuse(*refusal);
    }
  }
  if (worker->active()) context_.objects.Acquire(*source.pod);
  workers_.emplace(uid, worker);
  worker->Start();
}

void PodWorkers::Deleted(const std::string& uid) {
  waiting_.erase(uid);
  const auto found = workers_.find(uid);
  if (found != workers_.end()) found->second->Removed();
}

void PodWorkers::ObjectsChanged(const std::string& uid) {
  const auto found = workers_.find(uid);
  if (found != workers_.end()) found->second->ObjectsChanged();
}

void PodWorkers::StopAll() {
  for (const auto& [uid, worker] : workers_) worker->Stop();
}

void PodWorkers::Done(const std::string& uid) {
  context_.objects.Release(uid);
  workers_.erase(uid);
  if (!resizes_.empty()) resizes_.Retry();
  if (on_done_) on_done_();
}

PodWorker* PodWorkers::FindByUid(const std::string& uid) {
  const auto found = workers_.find(uid);
  return found == workers_.end() ? nullptr : found->second.get();
}

PodWorker* PodWorkers::FindByName(const std::string& name_space, const std::string& name) {
  // A predecessor that is on its way out never hides the pod that is there now, whichever was created later by a clock.
  const auto rank = [](const PodWorker& worker) {
    const kube::ObjectMeta& meta = worker.pod()->metadata;
    return std::make_tuple(!worker.removed(), !meta.deletionTimestamp.has_value(), meta.creationTimestamp.unix_nanos);
  };
  PodWorker* best = nullptr;
  for (const auto& [uid, worker] : workers_) {
    const kube::ObjectMeta& meta = worker->pod()->metadata;
    if (meta.namespace_ != name_space || meta.name != name) continue;
    if (best == nullptr || rank(*worker) > rank(*best)) best = worker.get();
  }
  return best;
}

std::vector<PodWorker*> PodWorkers::All() {
  std::vector<PodWorker*> all;
  for (const auto& [uid, worker] : workers_) all.push_back(worker.get());
  return all;
}

std::vector<std::shared_ptr<const kube::Pod>> PodWorkers::ActivePods(const std::string& without_uid) const {
  std::vector<std::shared_ptr<const kube::Pod>> active;
  for (const auto& [uid, worker] : workers_) {
    if (worker->active() && uid != without_uid) active.push_back(worker->pod());
  }
  return active;
}

}  // namespace burstlet::provider
