// Static pods on this node: from files and a URL to workers, and their mirrors in the API.
//
// Static pods need no API server: they start at once and outlive its outages. Each has a mirror there once the node is
// registered, re-created when somebody deletes it, replaced when what asks for it changes, gone when the pod is; the
// pod's status is the mirror's. Deleting a mirror never ends the pod. A pod that was changed starts when its
// predecessor of the same name has ended. Owner: node_agent. Loop thread only. Failure: what the API server refuses is
// logged and tried again, with back-off. Source: pkg/kubelet/kubelet.go tryReconcileMirrorPods, pod_workers.go
// allowPodStart, pod/mirror_client.go.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>

#include "kube/async/signal_event.h"
#include "kube/async/task_group.h"
#include "kube/client.h"
#include "provider/pod_workers.h"
#include "provider/static_pod.h"
#include "provider/static_pod_source.h"
#include "provider/status/status_manager.h"

namespace burstlet::provider {

class StaticPods : public StatusSink {
 public:
  /// `inner` is where ordinary pods' statuses go; `node_uid` is empty while the node is not registered.
  StaticPods(kube::Client& client, kube::Loop& loop, kube::TaskGroup& tasks, StatusSink& inner, std::string node_name,
             std::function<std::string()> node_uid);

  /// Before anything else is called; `workers` and `statuses` outlive this.
  void Use(PodWorkers& workers, StatusManager& statuses);
  /// The pods that files, or the URL, ask for now. The first call of each also settles what a former agent left of its
  /// pods; until then they run on, and their mirrors stay. Of two pods of one name the file's counts.
  void Desire(StaticOrigin::Kind origin, const StaticPodList& pods);
  /// A worker has ended: its successor may start.
  void WorkerDone();

  // --- what the API server tells of mirrors
  void ReplaceMirrors(std::vector<std::shared_ptr<const kube::Pod>> mirrors);
  void MirrorChanged(std::shared_ptr<const kube::Pod> mirror);
  void MirrorDeleted(const kube::ObjectMeta& meta);
  /// Mirrors are made from now on.
  void NodeRegistered();

  kube::Task<absl::StatusOr<kube::Pod>> Write(std::shared_ptr<const kube::Pod> pod, kube::PodStatus previous,
                                              kube::PodStatus next) override;
  kube::Task<absl::Status> Delete(std::shared_ptr<const kube::Pod> pod) override;

 private:
  using PodPtr = std::shared_ptr<const kube::Pod>;
  struct Retry {
    kube::SteadyTime at;
    unsigned failures = 0;
  };

  void SyncWorkers();
  kube::Task<void> SyncMirrors();
  kube::Task<void> SyncMirror(std::string name);
  kube::Task<absl::Status> CreateMirror(PodPtr pod);
  void Seen(const PodPtr& mirror);
  PodPtr Desired(const std::string& name) const;
  void Merge();
  /// Whether this mirror's pod may be judged: what asks for such pods has spoken.
  bool Judged(const PodPtr& mirror) const { return origins_.contains(StaticKindOf(*mirror)); }

  kube::Client& client_;
  kube::TaskGroup& tasks_;
  StatusSink& inner_;
  const std::string node_name_;
  PodWorkers* workers_ = nullptr;
  StatusManager* statuses_ = nullptr;
  std::map<StaticOrigin::Kind, StaticPodList> origins_;  // those that have spoken
  std::map<std::string, PodPtr> desired_;                // of all, by "namespace/name"
  std::map<std::string, PodPtr> mirrors_;                // likewise
  std::set<std::string> ended_mirrors_;                  // UIDs whose end was told before the answer to their creation
  bool api_synced_ = false;
  std::function<std::string()> node_uid_;
  kube::SignalEvent mirror_work_;
  std::map<std::string, Retry> retries_;
  bool mirroring_ = false;
};

}  // namespace burstlet::provider
