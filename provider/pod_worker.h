// One pod's life, as one coroutine: make it run, keep it so, stop it, leave nothing.
//
// A worker lives from the first sight of a pod's UID until the pod is gone from its source and from this host. Only it
// starts or stops anything of the pod; everybody else leaves a wish (Update, Terminate, Removed) and wakes it. Three
// phases as in pkg/kubelet/pod_workers.go: SyncPod, TerminatingPod, TerminatedPod.
// Owner: PodWorkers (shared only so that late callbacks can tell that it is gone). Loop thread only.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "kube/async/cancel.h"
#include "kube/async/offload.h"
#include "kube/async/signal_event.h"
#include "kube/async/task_group.h"
#include "kube/event_recorder.h"
#include "metrics/catalog.h"
#include "metrics/pod_timeline.h"
#include "provider/admission.h"
#include "provider/backoff.h"
#include "provider/image_manager.h"
#include "provider/paths.h"
#include "provider/pleg.h"
#include "provider/pod_actions.h"
#include "provider/pod_record.h"
#include "provider/prober/prober_manager.h"
#include "provider/resize.h"
#include "provider/runtime_view.h"
#include "provider/sandbox_handle.h"
#include "provider/status/generate.h"
#include "provider/status/status_manager.h"
#include "provider/translate/environment.h"
#include "provider/translate/translate.h"
#include "provider/volumes/volume_manager.h"

namespace burstlet::provider {

class UserNamespaces;

/// What all workers share; the references outlive them.
struct PodWorkerContext {
  kube::Loop& loop;
  kube::WorkerPool& pool;
  kube::TaskGroup& tasks;
  sandbox::SandboxDriver& driver;
  ImageManager& images;
  VolumeManager& volumes;
  ObjectSource& objects;
  StatusManager& statuses;
  kube::EventRecorder& events;
  const NodeInfo& node;
  AgentPaths paths;
  Metrics& metrics;
  TranslateOptions translate;
  std::chrono::seconds max_restart_delay{300};
  /// Services of a namespace, for service environment variables.
  std::function<std::vector<std::shared_ptr<const kube::Service>>(const std::string& name_space)> services;
  /// A pod has become ready for the first time.
  std::function<void(const kube::Pod& pod, const PodTimeline& timeline)> started;
  /// The worker's end: nothing of the pod is left. The callee may destroy the worker.
  std::function<void(const std::string& uid)> done;
  /// Resources of a pod have become free: it has ended.
  std::function<void()> resources_freed = {};
  UserNamespaces* user_namespaces = nullptr;  // null: no pod has one of its own
  ProbeMetrics* probe_metrics = nullptr;      // null: probes are not counted
};

/// What was found of a pod after a restart of the agent.
struct Recovered {
  PodRecord record;
  std::unique_ptr<sandbox::Sandbox> sandbox;  // null: it died, or never was
  std::vector<sandbox::ContainerState> states;
};

class PodWorker : public std::enable_shared_from_this<PodWorker> {
 public:
  PodWorker(PodWorkerContext& context, std::shared_ptr<const kube::Pod> pod);
  /// Takes over what a former agent started. Before Start.
  void Adopt(Recovered recovered);
  /// The node refuses the pod: it becomes Failed with the reason. Before Start.
  void Refuse(const Refusal& refusal);
  void Start();

  /// The pod as its source has it now.
  void Update(std::shared_ptr<const kube::Pod> pod);
  /// An object the pod refers to changed: volumes and waiting containers look again.
  void ObjectsChanged();
  /// It is gone from the source: stop within what is left of its grace.
  void Removed();
  /// Ends the pod as Failed with a reason (eviction); grace as given.
  void Fail(const std::string& reason, const std::string& message, std::chrono::seconds grace);
  /// The node takes back what the pod uses too much of. `message` as the kubelet words it.
  void Evict(const std::string& message, std::chrono::seconds grace);
  /// `burstlet run`: stop with the pod's own grace, then forget it.
  void Stop();

  // --- in-place resize (pod_worker_resize.cpp); the decisions are the ResizeQueue's
  /// The pod as its source wants it; pod() has the resources that are allocated instead.
  const std::shared_ptr<const kube::Pod>& desired() const { return desired_; }
  /// The source wants other resources than are allocated.
  bool ResizeWanted() const;
  /// The node gives what is wanted: written down, then applied.
  void AllocateResize();
  /// The node can't give it now (Deferred) or ever (Infeasible).
  void PostponeResize(const std::string& reason, const std::string& message);
  /// What was wanted is what is allocated.
  void ForgetPendingResize();

  const std::shared_ptr<const kube::Pod>& pod() const { return pod_; }
  const PodRuntimeView& view() const { return view_; }
  const std::shared_ptr<SandboxHandle>& sandbox() const { return sandbox_; }
  const PodTimeline& timeline() const { return timeline_; }
  /// Resources are held: admitted and not all stopped.
  bool active() const { return !view_.terminated; }
  /// Gone from its source.
  bool removed() const { return removed_; }
  /// The run whose log is asked for: the newest, or with `previous` the one that ended last before it (in back-off
  /// both are the same). kNotFound, kInvalidArgument with kubectl's words. Source: kubelet_pods.go
  /// validateContainerLogStatus.
  absl::StatusOr<const ContainerInstance*> LogRun(const std::string& container, bool previous) const;
  /// The log file of that run.
  absl::StatusOr<std::string> LogPath(const std::string& container, bool previous) const;
  /// The id of the running container of that name.
  absl::StatusOr<std::string> RunningContainer(const std::string& container) const;

 private:
  kube::Task<void> Run();
  /// One step of the worker has been done.
  void MeterStep(const char* operation, kube::SteadyTime begin);

  // --- SyncPod (pod_worker_sync.cpp)
  kube::Task<void> Sync();
  kube::Task<bool> EnsureSandbox();
  kube::Task<absl::Status> CreateSandbox(ReadyVolumes volumes);
  kube::Task<absl::Status> RemoveDeadSandboxes();
  void WriteMissingPodFiles();
  void AddUnrecorded(const sandbox::ContainerState& state, PodRecord& record) const;
  kube::Task<void> StartContainers();
  kube::Task<void> StartContainer(StartAction action);
  kube::Task<absl::StatusOr<std::vector<std::string>>> Environment(kube::Container container);
  kube::Task<EnvFileTexts> EnvFiles(kube::Container container);
  kube::Task<absl::StatusOr<sandbox::ContainerState>> Launch(sandbox::ContainerSpec spec, ContainerRecord record);
  absl::StatusOr<std::string> PidTarget(const std::string& name) const;
  absl::Status CheckEphemeral(const std::string& name) const;
  bool HoldBack(const StartAction& action, ContainerView& view);
  void StartFailed(const StartAction& action, ContainerView& view, const ContainerRecord& record,
                   const absl::Status& error);
  void StartSucceeded(const StartAction& action, const ContainerRecord& record, const sandbox::ContainerState& started);
  void RetryAfterFailure(const std::string& what);
  /// True while a failed step waits for its next try: a wake-up for another reason (the echo of our own status) must
  /// not hurry it.
  bool TooEarly(const std::string& what);

  // --- in-place resize (pod_worker_resize.cpp)
  kube::Task<void> Resize();
  /// Begins the restarts that the resize asks for; true while one of them still runs.
  bool RestartForResize(const std::vector<std::string>& names);
  void Applied(const ResizeStep& step, const AppliedPodResources& pod_goal);
  void ResizeFailed(const std::string& message);
  /// The condition of a resize that goes on; `due`: something of it is still to be written.
  void ObserveResize(bool due);
  void AdoptResources(const PodRecord& record);

  // --- images (pod_worker_images.cpp)
  /// Null: it is not there, and the container shows why. `field_path` is for events: a container's, or the pod's own.
  kube::Task<std::shared_ptr<const cache::Image>> EnsureImage(std::string name, kube::Container image,
                                                              std::string field_path);
  /// The image volumes that the container mounts; none when one of them is not there, as above.
  kube::Task<std::optional<ImageVolumes>> EnsureImageVolumes(kube::Container container);
  void PullFailed(const std::string& name, const kube::Container& image, const absl::Status& error);
  void HoldImages(const std::vector<std::string>& ids);
  // --- containers that are ended to run anew (pod_worker_restart.cpp)
  void RestartChanged(const KillAction& action);
  kube::Task<void> RestartAllContainers();
  kube::Task<void> KillForRestart(std::vector<std::string> names);
  std::vector<std::string> MarkRemoved();
  void AskRestart(const std::string& name);

  // --- TerminatingPod, TerminatedPod (pod_worker_stop.cpp)
  kube::Task<void> StopContainers();
  kube::Task<void> StopGroup(std::vector<std::string> names, std::vector<std::string> waiting);
  kube::Task<void> TearDown();
  kube::Task<void> AwaitRemoval();
  void RequestTermination(std::optional<std::chrono::seconds> grace);
  std::chrono::seconds GracePeriod() const;

  // --- probes, and the stop of one container (pod_worker_probes.cpp)
  struct ContainerStop;
  struct RunningHook {
    std::string container;
    std::string id;
    kube::CancelToken cancel;
  };
  void SyncProbes();
  void ProbeFailed(const ProbeSubject& subject);
  void BeginStop(const std::string& name, const std::string& message, kube::SteadyTime deadline, bool its_turn = true);
  kube::Task<void> StopOne(std::shared_ptr<PodWorker> self, std::string name, std::shared_ptr<ContainerStop> stop);
  kube::Task<void> RunPreStop(std::string name, std::shared_ptr<ContainerStop> stop);
  kube::Task<void> PreStopHook(std::shared_ptr<PodWorker> self, std::string name, std::shared_ptr<ContainerStop> stop);
  kube::Task<void> PostStartHook(std::string name);
  kube::Task<void> SignalAndKill(std::string name, std::shared_ptr<ContainerStop> stop);
  void TellFallback(const std::string& host);
  bool Runs(const std::string& name, const std::string& id) const;
  std::string PodIp() const;

  // --- what happens to it (pod_worker.cpp)
  void ContainersChanged(std::vector<sandbox::ContainerState> states);
  void ContainerEnded(const std::string& name, ContainerInstance& instance);
  void SandboxDied(const absl::Status& cause);
  /// The newest run of `name` went down with its sandbox, unseen.
  void RunLost(const std::string& name);
  void Publish();
  void WriteRecord();
  PodRecord MakeRecord() const;
  ContainerView& View(const std::string& name);
  void RemoveFromSandbox(const std::string& id);
  void PushInstance(const std::string& name, ContainerInstance instance);
  void WatchSandboxEvents();
  std::string FieldPath(const std::string& container) const;
  void Event(const std::string& container, const std::string& type, const std::string& reason,
             const std::string& message);

  PodWorkerContext& context_;
  std::shared_ptr<const kube::Pod> pod_;      // with the resources that are allocated
  std::shared_ptr<const kube::Pod> desired_;  // as the source has it
  PodRuntimeView view_;
  PodTimeline timeline_;
  std::shared_ptr<SandboxHandle> sandbox_;
  /// Sandboxes that died and still hold names, addresses and directories: removed before a new one is made.
  std::vector<std::shared_ptr<SandboxHandle>> dead_sandboxes_;
  std::unique_ptr<PodLifecycleEvents> pleg_;
  /// By id: all images that the pod has used, held against removal until it has ended.
  std::map<std::string, std::shared_ptr<const cache::Image>> images_;
  /// States of containers whose start has not returned yet: a short program's exit may overtake it.
  std::map<std::string, sandbox::ContainerState> early_states_;
  std::unique_ptr<PodProber> prober_;  // null: the pod has no probes, or nothing of it runs yet
  std::map<std::string, std::shared_ptr<ContainerStop>> stops_;  // by container id
  std::optional<RunningHook> post_start_;
  /// A sandbox died and took its warden's truth along: what it had told must survive this agent too.
  bool record_stale_ = false;
  /// What runs may not be what is allocated: Sync looks closer.
  bool resize_due_ = false;
  unsigned runs_ = 0;  // counts what was started, so that Sync sees progress

  kube::SignalEvent wake_;
  kube::CancelToken cancel_;
  kube::SteadyTime next_wake_ = kube::SteadyTime::max();
  Backoff restart_backoff_;
  Backoff failure_backoff_;
  std::map<std::string, kube::SteadyTime> retry_at_;  // by step: "/volumes", "/sandbox", a container, its image

  bool first_start_ = true;  // not adopted: its timeline counts
  bool ready_seen_ = false;
  bool terminate_requested_ = false;
  bool removed_ = false;  // gone from the source
  std::optional<std::chrono::seconds> grace_override_;
  kube::SteadyTime stop_deadline_ = kube::SteadyTime::max();
  kube::SteadyTime stop_status_due_ = kube::SteadyTime::max();  // a slow end is told before it is over
};

}  // namespace burstlet::provider
