// All pods of the node by UID: from what a source wants to workers that see to it.
//
// Admission happens here, in the order in which pods are first seen. After a restart nothing local is ended before the
// source has told the whole truth once (Replace). Owner: PodRuntime. Loop thread only.
// Source: pkg/kubelet/pod_workers.go, kubelet.go HandlePodAdditions, HandlePodCleanups.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "provider/admission.h"
#include "provider/pod_worker.h"
#include "provider/resize_queue.h"

namespace burstlet::provider {

/// A pod of a source, with the fields of it that this program does not know.
struct SourcePod {
  std::shared_ptr<const kube::Pod> pod;
  std::vector<std::string> unknown_fields;
};

/// Who asks for a pod: the API server, files of this host, or a URL (static pods).
enum class PodSource { kApi, kFiles, kUrl };

class PodWorkers {
 public:
  /// `admit` judges one new pod beside the active ones.
  using Admit =
      std::function<std::optional<Refusal>(const kube::Pod& pod, std::vector<std::shared_ptr<const kube::Pod>> active)>;
  PodWorkers(PodWorkerContext context, Admit admit);

  /// What was found on this host at start, before the source speaks.
  void Recover(std::vector<Recovered> recovered);
  /// The whole truth of the source: what is not in it is gone.
  /// `unreadable`: UIDs of pods that are wanted in a form this program cannot read; what runs of them runs on. Each
  /// source speaks for its own pods only.
  void Replace(std::vector<SourcePod> pods, std::set<std::string> unreadable = {}, PodSource source = PodSource::kApi);
  void Changed(SourcePod pod);
  void Deleted(const std::string& uid);
  /// Pods that refer to a changed object (by UID).
  void ObjectsChanged(const std::string& uid);
  /// The pod was found on this host at start, and no source has asked for it yet.
  bool WasRecovered(const std::string& uid) const { return recovered_.contains(uid); }
  /// Ends every pod with its own grace.
  void StopAll();

  PodWorker* FindByUid(const std::string& uid);
  /// The pod of that name that is there: one that ends or is gone from the source only when there is no other.
  PodWorker* FindByName(const std::string& name_space, const std::string& name);
  std::vector<PodWorker*> All();
  bool empty() const { return workers_.empty(); }
  /// True once the source has spoken.
  bool synced() const { return synced_; }
  /// Called after every worker's end.
  void OnDone(std::function<void()> callback) { on_done_ = std::move(callback); }

 private:
  void Add(SourcePod pod);
  bool Preempt(const SourcePod& source);
  void AdmitWaiting();
  void SweepVolumes();
  void Done(const std::string& uid);
  std::vector<std::shared_ptr<const kube::Pod>> ActivePods(const std::string& without_uid = "") const;

  PodWorkerContext context_;
  Admit admit_;
  std::map<std::string, std::shared_ptr<PodWorker>> workers_;
  std::map<std::string, Recovered> recovered_;
  /// Critical pods that wait for the end of those that make room for them.
  std::map<std::string, SourcePod> waiting_;
  std::function<void()> on_done_;
  ResizeQueue resizes_;
  bool synced_ = false;
};

}  // namespace burstlet::provider
