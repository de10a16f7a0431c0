// Looks at the node and all its pods at once, for whoever tells their usage.
//
// What the loop knows (which pods, names, limits) is copied there; counters are read on a pool thread. Owner: the
// handlers of the kubelet port. Threads: Collect on the loop; the answer comes on a pool thread.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "metrics/catalog.h"
#include "provider/pod_runtime.h"
#include "provider/stats/disk_scanner.h"
#include "provider/stats/node_reader.h"
#include "provider/stats/rates.h"
#include "provider/stats/samples.h"

namespace burstlet::provider {

/// What is wanted: each thing costs.
struct StatsWanted {
  sandbox::StatsDetail detail = sandbox::StatsDetail::kUsage;
  bool rates = false;  // CPU use of the last while
  bool disks = false;  // use as last measured; asking keeps it fresh
};

class StatsCollector {
 public:
  /// The references outlive the collector.
  StatsCollector(kube::Loop& loop, PodRuntime& runtime, const NodeInfo& node, Metrics& metrics);

  /// Loop only; `done` is called on a pool thread.
  void Collect(StatsWanted wanted, std::function<void(StatsSample)> done);
  /// Disk use as last measured; asking keeps it fresh. Loop only.
  std::shared_ptr<const DiskSnapshot> Disks() { return disks_.Latest(); }
  const MachineInfo& machine() const { return machine_; }

 private:
  /// What of a pod stays the same until its object changes.
  struct Known {
    std::shared_ptr<const kube::Pod> pod;
    sandbox::Resources limits;
    std::map<std::string, sandbox::Resources> container_limits;
  };
  struct Target {
    PodSample sample;
    std::map<std::string, ContainerSample> containers;  // by id
    std::shared_ptr<SandboxHandle> sandbox;
  };

  std::vector<Target> Targets(sandbox::StatsDetail detail);
  const Known& KnownOf(const std::shared_ptr<const kube::Pod>& pod);
  void Read(StatsWanted wanted, std::vector<Target>& targets, const DiskSnapshot& disks, StatsSample& sample);
  void ReadPod(StatsWanted wanted, Target& target, const DiskSnapshot& disks, StatsSample& sample);
  void ReadSystem(StatsWanted wanted, NodeSample& node);

  PodRuntime& runtime_;
  const NodeInfo& node_;
  Metrics& metrics_;
  NodeReaderConfig reader_;
  const MachineInfo machine_;
  DiskScanner disks_;
  CpuRates rates_;
  std::map<std::string, Known> known_;  // by uid
};

}  // namespace burstlet::provider
