// What a pod, a container or a network interface has used: plain data, read from the kernel's counters.
//
// Threads: any. A figure that the host does not keep (swap accounting off, pressure not built in, no io controller)
// stays 0 or absent; readers leave absent ones out. Source of the meanings: cgroup-v2.rst, cgroup-v1/memory.rst,
// psi.rst; where they are the kubelet's: cadvisor's lib/container/libcontainer/handler.go.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace burstlet::sandbox {

/// How much is read: each step costs more system calls.
enum class StatsDetail {
  kUsage,    // CPU, memory, swap: /metrics/resource
  kSummary,  // and tasks, pressure, interfaces: /stats/summary
  kAll,      // and everything cadvisor tells, processes one by one: /metrics/cadvisor
};

/// A line of a pressure file: shares of time in percent, and all of it.
struct PressureLine {
  double avg10 = 0;
  double avg60 = 0;
  double avg300 = 0;
  std::uint64_t total_us = 0;
};

struct Pressure {
  PressureLine some;
  PressureLine full;
};

/// Transfers of one block device, "major:minor" (version 2's io.stat).
struct BlockIo {
  unsigned major = 0;
  unsigned minor = 0;
  std::uint64_t read_bytes = 0;
  std::uint64_t write_bytes = 0;
  std::uint64_t reads = 0;
  std::uint64_t writes = 0;
};

/// What only StatsDetail::kAll reads of a cgroup.
struct CgroupDetails {
  std::uint64_t cpu_user_ns = 0;
  std::uint64_t cpu_system_ns = 0;
  std::uint64_t cfs_periods = 0;
  std::uint64_t cfs_throttled_periods = 0;
  std::uint64_t cfs_throttled_ns = 0;
  std::uint64_t cfs_burst_periods = 0;
  std::uint64_t cfs_burst_ns = 0;
  std::uint64_t memory_cache_bytes = 0;
  std::uint64_t memory_mapped_file_bytes = 0;
  std::uint64_t memory_kernel_bytes = 0;
  std::uint64_t memory_max_usage_bytes = 0;
  std::uint64_t memory_fail_count = 0;
  std::uint64_t memory_active_file_bytes = 0;
  std::uint64_t memory_inactive_file_bytes = 0;
  std::uint64_t memory_dirty_bytes = 0;
  std::uint64_t memory_writeback_bytes = 0;
  /// Faults of this cgroup alone, without the ones below it.
  std::uint64_t own_page_faults = 0;
  std::uint64_t own_major_page_faults = 0;
  std::uint64_t oom_kills = 0;
  std::uint64_t max_tasks = 0;  // 0 = as many as one likes
  std::vector<BlockIo> block_io;
};

struct CgroupStats {
  std::uint64_t cpu_usage_ns = 0;
  std::uint64_t memory_usage_bytes = 0;
  std::uint64_t memory_working_set_bytes = 0;  // usage - inactive file pages, as cadvisor counts
  std::uint64_t memory_rss_bytes = 0;
  std::uint64_t page_faults = 0;
  std::uint64_t major_page_faults = 0;
  std::uint64_t swap_usage_bytes = 0;

  // --- kSummary and more
  std::uint64_t pids = 0;  // tasks: threads count
  std::optional<Pressure> cpu_pressure;
  std::optional<Pressure> memory_pressure;
  std::optional<Pressure> io_pressure;

  // --- kAll
  CgroupDetails details;
};

/// A container's processes, seen one by one (kAll).
struct ProcessCounts {
  std::uint64_t processes = 0;
  std::uint64_t file_descriptors = 0;
  std::uint64_t sockets = 0;
  /// RLIMIT_NOFILE of the first process; -1 = unlimited.
  std::int64_t max_open_files = 0;
};

struct ContainerStats {
  std::string id;
  std::string name;
  pid_t pid = 0;       // its first process, in the agent's pid namespace
  std::string cgroup;  // its path in each hierarchy
  CgroupStats usage;
  ProcessCounts processes;
  /// The directory on the host that holds what it has written to its root file system; empty: not on this host.
  std::string writable_layer;
};

/// Counters of one interface as its owner sees it; loopback is left out.
struct InterfaceStats {
  std::string name;
  std::uint64_t rx_bytes = 0;
  std::uint64_t rx_packets = 0;
  std::uint64_t rx_errors = 0;
  std::uint64_t rx_dropped = 0;
  std::uint64_t tx_bytes = 0;
  std::uint64_t tx_packets = 0;
  std::uint64_t tx_errors = 0;
  std::uint64_t tx_dropped = 0;
};

struct SandboxStats {
  std::int64_t read_at = 0;  // unix nanoseconds
  std::string cgroup;
  CgroupStats pod;
  std::vector<ContainerStats> containers;  // the running ones
  std::vector<InterfaceStats> interfaces;  // kSummary and more; the host's with host network
};

}  // namespace burstlet::sandbox
