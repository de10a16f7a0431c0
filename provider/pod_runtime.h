// Everything below the pods, put together once: network, sandboxes, images, volumes, workers.
//
// The node in a cluster and `burstlet run` differ only in where pods, objects and statuses come from and go to; both
// build on this. Owner: NodeAgent / Standalone. Loop thread only.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "cache/local_image_store.h"
#include "kube/async/offload.h"
#include "kube/async/task_group.h"
#include "kube/event_recorder.h"
#include "metrics/catalog.h"
#include "provider/cni/cni_network.h"
#include "provider/config.h"
#include "provider/image_gc.h"
#include "provider/image_manager.h"
#include "provider/local_storage.h"
#include "provider/log_rotation.h"
#include "provider/node_info.h"
#include "provider/pod_workers.h"
#include "provider/status/status_manager.h"
#include "provider/tracing/trace_exporter.h"
#include "provider/user_namespaces.h"
#include "provider/volumes/volume_manager.h"
#include "sandbox/net/pod_network.h"
#include "sandbox/sandbox.h"

namespace burstlet::provider {

/// What differs between the two ways to run pods. The references outlive the runtime.
struct PodRuntimeSources {
  kube::Loop& loop;
  ObjectSource& objects;
  kube::EventRecorder& events;
  StatusSink& sink;
  Metrics& metrics;
  PodWorkers::Admit admit;
  std::function<std::vector<std::shared_ptr<const kube::Service>>(const std::string& name_space)> services;
};

class PodRuntime {
 public:
  /// Locks the root directory, opens the stores, adopts what a former agent left. kFailedPrecondition: another agent
  /// has the lock. Blocking; before the loop runs.
  static absl::StatusOr<std::unique_ptr<PodRuntime>> Open(const Config& config, const NodeInfo& node,
                                                          PodRuntimeSources sources);
  ~PodRuntime();

  /// Removes what even a stopped agent leaves on the host (network, mounts, cgroups), once no pod is left: for
  /// `burstlet run`. Nothing else may be called afterwards.
  void CleanHost();

  PodWorkers& workers() { return *workers_; }
  StatusManager& statuses() { return *statuses_; }
  cache::ImageStore& images() { return *images_; }
  /// Why pods can't have a network yet, in the kubelet's words; "" when they can.
  std::string NetworkNotReady() const;
  /// Called on the loop when that changes.
  void OnNetworkChange(std::function<void()> callback) { network_changed_ = std::move(callback); }
  sandbox::SandboxDriver& driver() { return *driver_; }
  const ProbeMetrics& probe_metrics() const { return probe_metrics_; }
  kube::WorkerPool& pool() { return pool_; }
  kube::TaskGroup& tasks() { return tasks_; }
  const AgentPaths& paths() const { return paths_; }

 private:
  PodRuntime(const Config& config, const NodeInfo& node, PodRuntimeSources sources);
  absl::Status Start();
  absl::StatusOr<std::unique_ptr<UserNamespaces>> OpenUserNamespaces() const;
  absl::Status OpenNetwork();
  void DeclareSeries();
  void PodStarted(const kube::Pod& pod, const PodTimeline& timeline);

  const Config config_;
  const NodeInfo& node_;
  PodRuntimeSources sources_;
  AgentPaths paths_;
  int lock_fd_ = -1;
  kube::TaskGroup tasks_;
  std::function<void()> network_changed_;
  std::unique_ptr<sandbox::PodNetwork> network_;
  CniNetwork* cni_ = nullptr;  // network_, when it is that
  std::unique_ptr<sandbox::SandboxDriver> driver_;
  std::unique_ptr<cache::LocalImageStore> images_;
  std::unique_ptr<UserNamespaces> user_namespaces_;
  kube::WorkerPool pool_;
  ProbeMetrics probe_metrics_;
  std::unique_ptr<ImageManager> image_manager_;
  std::unique_ptr<VolumeManager> volumes_;
  std::unique_ptr<StatusManager> statuses_;
  std::unique_ptr<PodWorkers> workers_;
  std::unique_ptr<LogRotator> log_rotator_;
  std::unique_ptr<LocalStorageEviction> local_storage_;
  std::unique_ptr<ImageGarbageCollector> image_gc_;
  std::unique_ptr<TraceExporter> traces_;
};

/// Short text that tells agents of one host apart: names of interfaces and firewall tables.
std::string InstanceName(const std::string& root_dir);

}  // namespace burstlet::provider
