// One look at the node and its pods: the input of every text that tells usage. Plain data.
//
// Made by StatsCollector; turned into text by pure functions (summary, resource_metrics, cadvisor_metrics). Moments are
// unix nanoseconds. An absent value is one that nobody has measured yet, or that this host does not keep.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "sandbox/spec.h"
#include "sandbox/stats.h"

namespace burstlet::provider {

/// What a tree of files takes on its disk.
struct DiskUsage {
  std::uint64_t bytes = 0;
  std::uint64_t inodes = 0;
  std::int64_t measured_at = 0;

  void Add(const DiskUsage& other) {
    bytes += other.bytes;
    inodes += other.inodes;
    measured_at = std::max(measured_at, other.measured_at);
  }
};

/// A file system as statvfs(3) tells it.
struct FsSpace {
  std::string device;  // as mounted: "/dev/vda1"
  std::uint64_t capacity_bytes = 0;
  std::uint64_t available_bytes = 0;
  std::uint64_t inodes = 0;
  std::uint64_t inodes_free = 0;
  std::int64_t measured_at = 0;
};

struct ContainerSample {
  std::string name;
  std::string image;
  std::int64_t created_at = 0;
  std::int64_t started_at = 0;
  sandbox::Resources limits;
  sandbox::ContainerStats stats;
  std::optional<std::uint64_t> usage_nano_cores;
  std::optional<DiskUsage> rootfs;
  std::optional<DiskUsage> logs;
};

struct VolumeSample {
  std::string name;
  std::string claim;       // of a persistentVolumeClaim or an ephemeral volume
  bool ephemeral = false;  // counts as the pod's ephemeral storage
  FsSpace space;
  DiskUsage used;
};

struct PodSample {
  std::string name_space;
  std::string name;
  std::string uid;
  std::int64_t created_at = 0;  // of the sandbox
  sandbox::Resources limits;
  sandbox::SandboxStats stats;  // its containers have moved to `containers`
  std::optional<std::uint64_t> usage_nano_cores;
  std::vector<ContainerSample> containers;
  std::vector<VolumeSample> volumes;
  std::optional<DiskUsage> own_files;  // /etc/hosts and the like
};

/// A cgroup or a process that is none of a pod.
struct SystemContainer {
  std::string name;    // "pods", "kubelet"
  std::string cgroup;  // "/burstlet"; empty for a process
  std::int64_t started_at = 0;
  sandbox::CgroupStats usage;
  std::optional<std::uint64_t> usage_nano_cores;
};

/// A block device's counters, /proc/diskstats.
struct DiskSample {
  std::string device;  // "/dev/vda"
  std::uint64_t reads = 0;
  std::uint64_t reads_merged = 0;
  std::uint64_t sectors_read = 0;
  std::uint64_t read_ms = 0;
  std::uint64_t writes = 0;
  std::uint64_t writes_merged = 0;
  std::uint64_t sectors_written = 0;
  std::uint64_t write_ms = 0;
  std::uint64_t in_progress = 0;
  std::uint64_t io_ms = 0;
  std::uint64_t weighted_ms = 0;
};

struct NodeSample {
  std::string name;
  std::int64_t read_at = 0;
  std::int64_t boot_time = 0;
  sandbox::CgroupStats usage;  // of the whole machine
  std::optional<std::uint64_t> usage_nano_cores;
  std::uint64_t memory_total_bytes = 0;
  std::uint64_t huge_pages_bytes = 0;  // memory set aside for them
  std::uint64_t swap_total_bytes = 0;
  std::vector<sandbox::InterfaceStats> interfaces;
  FsSpace fs;
  std::optional<DiskUsage> images;
  std::uint64_t max_pid = 0;
  std::uint64_t running_processes = 0;
  std::vector<DiskSample> disks;
  std::map<std::pair<unsigned, unsigned>, std::string> device_names;  // major, minor -> "/dev/vda"
  std::vector<SystemContainer> system_containers;
};

/// What never changes while the machine runs.
struct MachineInfo {
  unsigned cpus = 0;
  unsigned physical_cores = 0;
  unsigned sockets = 0;
  std::string machine_id;
  std::string system_uuid;
  std::string boot_id;
  std::string kernel_version;
  std::string os_version;
};

struct StatsSample {
  NodeSample node;
  std::vector<PodSample> pods;
  bool failed = false;  // something that should be there could not be read
};

}  // namespace burstlet::provider
