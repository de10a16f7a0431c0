// Rotation of container logs: a log that has grown too large is set aside, older ones are compressed, the oldest go.
//
// `0.log` becomes `0.log.20260102-150405` (UTC) and, with the next rotation, `0.log.20260102-150405.gz`; names and
// order are the kubelet's, which log shippers know. A crash in between leaves at most a `.tmp`, or a file beside its
// compressed copy; the next rotation removes both. Source: pkg/kubelet/logs/container_log_manager.go.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "kube/async/offload.h"
#include "kube/async/task_group.h"
#include "provider/pod_workers.h"

namespace burstlet::provider {

struct LogRotationPolicy {
  std::int64_t max_bytes = 10 << 20;  // a log that has reached it is rotated; negative: none ever is
  int max_files = 5;                  // of one container run, the one being written included; at least 2
  std::chrono::seconds interval{10};  // between two looks
};

/// Rotates the log at `path` if it has reached the size. `reopen` makes the writer move to a new file at `path`; when
/// it fails the log gets its old name back. `now`: for the name. A missing log is reopened. Blocking; any thread.
absl::Status RotateIfLarge(const std::string& path, const LogRotationPolicy& policy,
                           std::chrono::system_clock::time_point now, const std::function<absl::Status()>& reopen);

/// Removes a log and all that was rotated away from it; errors are logged.
void RemoveLogs(const std::string& path);

/// Looks after the logs of all running containers for as long as `tasks` lives. The work is done on a thread of its
/// own, so that compression never holds up a pod. Loop thread only.
class LogRotator {
 public:
  LogRotator(kube::Loop& loop, kube::TaskGroup& tasks, PodWorkers& workers, LogRotationPolicy policy);

 private:
  kube::Task<void> Run();
  std::vector<std::function<void()>> Due();

  kube::Loop& loop_;
  PodWorkers& workers_;
  const LogRotationPolicy policy_;
  kube::WorkerPool pool_{1};
};

}  // namespace burstlet::provider
