// Deletes what removed pods leave: directories of writable layers and cgroups that processes are still leaving. Off
// every pod's path, on a thread of its own; a directory is renamed into the trash first, so its name is free at once
// and a crash loses nothing but time (the trash is swept at start).
//
// Owner: the native driver. Threads: any. Failure: logged; cgroups are tried again with growing pauses, up to a bound.
#pragma once

#include <chrono>
#include <condition_variable>
#include <deque>
#include <mutex>
#include <string>
#include <thread>

#include "absl/status/status.h"
#include "sandbox/os/cgroup.h"
#include "sandbox/paths.h"

namespace burstlet::sandbox {

class Janitor {
 public:
  Janitor(Paths paths, CgroupTree& cgroups);
  ~Janitor();

  /// Renames `path` (in the agent's root) into the trash. A path that does not exist is fine.
  absl::Status Discard(const std::string& path);
  /// Removes a cgroup, now if it is empty, else later.
  void RemoveCgroup(const std::string& path);
  /// Queues all that lies in the trash (start of the agent).
  void SweepTrash();
  /// Blocks until nothing is queued; for tests and shutdown.
  void Drain();

 private:
  struct Work {
    std::string trash_name;  // or
    std::string cgroup;
    int tries = 0;
    std::chrono::steady_clock::time_point due;
  };
  void Run();
  bool Do(Work& work);
  void Add(Work work);

  const Paths paths_;
  CgroupTree& cgroups_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<Work> queue_;
  bool busy_ = false;
  bool stopping_ = false;
  unsigned long counter_ = 0;
  std::thread thread_;
};

}  // namespace burstlet::sandbox
