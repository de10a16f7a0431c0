// cgroups of version 1, version 2 and hybrid hosts behind one interface; paths are relative to every hierarchy's mount.
//
// Owner: the native driver. Threads: any (immutable after Open but for a small cache under a lock). Failure:
// ErrnoError statuses; what a kernel lacks (swap accounting, hugetlb) is left out, what was asked for and refused is
// an error. On version 1 only the controllers that matter get a directory: each costs tens of microseconds a start.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "sandbox/os/cgroup_meter.h"
#include "sandbox/os/device_filter.h"
#include "sandbox/os/unique_fd.h"
#include "sandbox/spec.h"

namespace burstlet::sandbox {

enum class CgroupMode { kV1, kHybrid, kV2 };

class CgroupTree {
 public:
  /// Finds the hierarchies and makes `root` ("/burstlet") with its QoS folders in each.
  static absl::StatusOr<std::unique_ptr<CgroupTree>> Open(const std::string& root);

  /// Told of each Create ("create"), SetResources ("update") and Remove ("destroy"), on their caller's thread. Set it
  /// before any other thread uses the tree.
  using Observer = std::function<void(const char* operation, double seconds)>;
  void Observe(Observer observer) { observer_ = std::move(observer); }

  const std::string& root() const { return root_; }
  CgroupMode mode() const { return mode_; }
  bool v2() const { return mode_ == CgroupMode::kV2; }
  /// "version 1 (cpu, cpuacct, ...)": for burstlet check.
  std::string Describe() const;
  /// The controllers a container sees below /sys/fs/cgroup on version 1, by mount name ("cpu,cpuacct").
  std::vector<std::string> V1MountNames() const;

  std::string PodPath(QosClass qos, const std::string& pod_id) const;
  std::string WardensPath() const;

  enum class Kind { kInner, kLeaf };  // inner ones hold only cgroups (version 2's rule)
  absl::Status Create(const std::string& path, Kind kind) const;
  absl::Status SetResources(const std::string& path, const Resources& resources, bool swap_allowed) const;
  /// Kills all processes of a container together when memory runs out, where the kernel can (version 2).
  absl::Status SetOomGroup(const std::string& path) const;
  absl::Status AllowDevices(const std::string& path, const std::vector<DeviceRule>& rules);
  /// cgroup.procs of every hierarchy, for the process that is to join.
  absl::StatusOr<std::vector<UniqueFd>> OpenProcs(const std::string& path) const;
  absl::Status Join(const std::string& path, pid_t pid) const;

  absl::Status KillAll(const std::string& path) const;
  /// Removes the cgroup and what is below it. kUnavailable: processes are still leaving it.
  absl::Status Remove(const std::string& path) const;
  absl::StatusOr<CgroupStats> Stats(const std::string& path) const;
  /// For who reads its counters often.
  CgroupMeter Meter(const std::string& path) const;
  /// Its processes, without those of cgroups below it.
  std::vector<pid_t> Processes(const std::string& path) const;
  std::uint64_t OomKills(const std::string& path) const;
  /// Names of the cgroups directly below `path`.
  std::vector<std::string> Children(const std::string& path) const;
  /// Removes the whole root; for uninstall and tests.
  absl::Status RemoveRoot() const;

 private:
  struct Hierarchy {
    std::string mount;
    std::string name;  // controllers as mounted; "" for version 2
    std::vector<std::string> controllers;
    bool optional = false;  // made only for who asks (cpuset)
  };

  std::string root_;
  CgroupMode mode_ = CgroupMode::kV2;
  std::vector<Hierarchy> hierarchies_;
  Observer observer_;
  std::mutex programs_mutex_;
  std::map<std::string, UniqueFd> programs_;

  const Hierarchy* Find(std::string_view controller) const;
  std::string File(std::string_view controller, const std::string& path, std::string_view file) const;
  absl::Status Set(std::string_view controller, const std::string& path, std::string_view file,
                   const std::string& value) const;
  absl::Status EnableControllers(const std::string& directory) const;
  absl::Status EnsureCpuset(const std::string& path) const;
  absl::Status SetMemoryV1(const std::string& path, const Resources& resources, bool swap_allowed) const;
  absl::Status SetMemoryV2(const std::string& path, const Resources& resources, bool swap_allowed) const;
  absl::Status SetCpu(const std::string& path, const Resources& resources) const;
};

/// cpu.weight for cpu.shares, KEP-2254's formula.
std::uint64_t CpuWeight(std::uint64_t shares);

}  // namespace burstlet::sandbox
