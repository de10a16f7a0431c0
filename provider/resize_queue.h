// Resizes that have been asked for and not been allocated yet, in the order in which they get what becomes free.
//
// A resize is allocated when the pod, at its new size, would be admitted beside what the others hold. Until then it is
// tried again when a pod ends, is removed or has shrunk, and every three minutes. Owner: PodWorkers. Loop thread only.
// Source: pkg/kubelet/allocation/allocation_manager.go.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "kube/async/task_group.h"
#include "provider/admission.h"
#include "provider/pod_worker.h"

namespace burstlet::provider {

class ResizeQueue {
 public:
  /// The worker of a UID, or null.
  using Find = std::function<PodWorker*(const std::string& uid)>;
  /// Judges the pod at its new size beside all others.
  using Admit = std::function<std::optional<Refusal>(const kube::Pod& desired)>;
  ResizeQueue(kube::Loop& loop, kube::TaskGroup& tasks, Find find, Admit admit);

  /// Queues it; Retry judges it.
  void Push(const std::string& uid);
  /// Judges all that wait: allocated and infeasible ones leave the queue.
  void Retry();
  bool empty() const { return waiting_.empty(); }

 private:
  kube::Task<void> Tick();
  /// True when it has to be tried again.
  bool Judge(PodWorker& worker);

  kube::Loop& loop_;
  kube::TaskGroup& tasks_;
  Find find_;
  Admit admit_;
  std::vector<std::string> waiting_;  // UIDs
  bool ticking_ = false;
};

}  // namespace burstlet::provider
