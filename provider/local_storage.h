// What a pod keeps on the node's disk against the limits it has for that, and its eviction when it keeps more.
//
// Counted are what its containers wrote to their own layers, its logs, its emptyDirs on disk and its own files, in
// blocks as du(1) counts them. A file system in memory holds its limit itself. Failure: what can't be read counts
// nothing and is logged; the next look may succeed.
// Sources: pkg/kubelet/eviction/eviction_manager.go (localStorageEviction), pkg/kubelet/eviction/helpers.go.
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "kube/async/offload.h"
#include "kube/async/task_group.h"
#include "metrics/catalog.h"
#include "provider/paths.h"
#include "provider/pod_workers.h"

namespace burstlet::provider {

/// Bytes on disk.
struct LocalStorageUsage {
  std::map<std::string, std::int64_t> containers;  // layer and logs of the newest run, by name
  std::map<std::string, std::int64_t> volumes;     // emptyDirs on disk, by name
  std::int64_t total = 0;                          // of all runs, volumes and the pod's own files
};

/// True when the pod has any limit of this kind. Pure.
bool HasLocalStorageLimit(const kube::Pod& pod);

/// Why a pod must go.
struct StorageExcess {
  const char* signal;   // the kubelet's name of the limit, as kubelet_evictions tells it
  std::string message;  // in the kubelet's words
};

/// Absent: the pod keeps its limits. Pure.
std::optional<StorageExcess> LocalStorageExcess(const kube::Pod& pod, const LocalStorageUsage& usage);

/// Directories that belong to a pod.
struct LocalStorageSources {
  struct Run {
    std::string container;
    std::string layer;
    bool newest = false;
  };
  std::vector<Run> runs;
  std::map<std::string, std::string> logs;     // by container
  std::map<std::string, std::string> volumes;  // by name
  std::string own_files;                       // volumes on disk lie in it
};
LocalStorageSources SourcesOf(const AgentPaths& paths, const kube::Pod& pod, const PodRuntimeView& view);
LocalStorageUsage MeasureLocalStorage(const LocalStorageSources& sources);

/// Looks at all running pods with such limits every `interval`, or less often when a look takes long, on a thread of
/// its own. Loop thread only.
class LocalStorageEviction {
 public:
  LocalStorageEviction(kube::Loop& loop, kube::TaskGroup& tasks, PodWorkers& workers, AgentPaths paths,
                       Metrics& metrics, std::chrono::seconds interval = std::chrono::seconds(10));

 private:
  kube::Task<void> Run();

  kube::Loop& loop_;
  PodWorkers& workers_;
  const AgentPaths paths_;
  Metrics& metrics_;
  const std::chrono::seconds interval_;
  kube::WorkerPool pool_{1};
};

}  // namespace burstlet::provider
