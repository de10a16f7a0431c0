// How much disk the pods use: writable layers, logs, volumes; measured beside the requests that ask.
//
// Asking (`Latest`) is free and gives the newest figures, each with the moment of its measurement; when they are older
// than a minute it also begins a new scan, on a thread of the scanner's own with idle I/O priority. So nobody ever
// waits for a disk, and a node that nobody asks does nothing. Owner: StatsCollector. Threads: Latest on the loop.
// Source of the age: pkg/kubelet/config (volumeStatsAggPeriod 1m) and cadvisor's fsHandler.
#pragma once

#include <chrono>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "kube/api/pod.h"
#include "kube/async/offload.h"
#include "provider/sandbox_handle.h"
#include "provider/stats/samples.h"

namespace burstlet::provider {

/// A pod whose disk use is wanted.
struct DiskTarget {
  std::shared_ptr<const kube::Pod> pod;
  std::shared_ptr<SandboxHandle> sandbox;
  std::string pod_dir;
  std::string log_dir;  // a folder per container in it
};

struct PodDiskUsage {
  std::string name_space;
  std::map<std::string, DiskUsage> rootfs;  // by container id
  std::map<std::string, DiskUsage> logs;    // by container name
  std::vector<VolumeSample> volumes;
  std::optional<DiskUsage> own_files;
};

struct DiskSnapshot {
  std::map<std::string, PodDiskUsage> pods;  // by uid
  std::optional<DiskUsage> images;
};

/// One pod, now. Blocking.
PodDiskUsage MeasurePodDisk(const DiskTarget& target);

class DiskScanner {
 public:
  struct Sources {
    std::function<std::vector<DiskTarget>()> pods;  // loop
    std::function<std::string()> image_set;         // loop: changes when images come or go
    std::string images_dir;
  };

  DiskScanner(kube::Loop& loop, Sources sources);
  /// The newest figures, never null. Loop only.
  std::shared_ptr<const DiskSnapshot> Latest();

 private:
  void Begin();

  kube::Loop& loop_;
  Sources sources_;
  std::shared_ptr<const DiskSnapshot> latest_ = std::make_shared<DiskSnapshot>();
  std::string image_set_;
  std::chrono::steady_clock::time_point next_{};
  bool running_ = false;
  kube::WorkerPool thread_{1};
};

}  // namespace burstlet::provider
