#include "provider/resize_queue.h"

#include <algorithm>
#include <chrono>
#include <utility>

#include "metrics/log.h"
#include "provider/allocation.h"
#include "provider/translate/resources.h"

namespace burstlet::provider {
namespace {

constexpr std::chrono::minutes kRetryEvery{3};

PendingResize Describe(const PodWorker& worker) {
  const kube::Pod& desired = *worker.desired();
  PendingResize one;
  one.uid = desired.metadata.uid;
  one.increases = IncreasesRequests(*worker.pod(), desired);
  one.priority = desired.spec.priority.value_or(0);
  one.guaranteed = PodQos(desired) == sandbox::QosClass::kGuaranteed;
  if (worker.view().resize_pending) one.since = worker.view().resize_pending->lastTransitionTime;
  return one;
}

}  // namespace

ResizeQueue::ResizeQueue(kube::Loop& loop, kube::TaskGroup& tasks, Find find, Admit admit)
    : loop_(loop), tasks_(tasks), find_(std::move(find)), admit_(std::move(admit)) {}

void ResizeQueue::Push(const std::string& uid) {
  if (std::find(waiting_.begin(), waiting_.end(), uid) == waiting_.end()) waiting_.push_back(uid);
}

bool ResizeQueue::Judge(PodWorker& worker) {
  if (!worker.active()) return false;
  if (!worker.ResizeWanted()) {
    worker.ForgetPendingResize();
    return false;
  }
  const std::optional<Refusal> refusal = admit_(*worker.desired());
  if (!refusal) {
    worker.AllocateResize();
    return false;
  }
  worker.PostponeResize(refusal->reason, refusal->message);
  return refusal->reason != "Infeasible";
}

void ResizeQueue::Retry() {
  std::vector<PendingResize> pending;
  for (const std::string& uid : waiting_) {
    if (const PodWorker* worker = find_(uid)) pending.push_back(Describe(*worker));
  }
  SortPending(pending);
  waiting_.clear();
  for (const PendingResize& one : pending) {
    PodWorker* worker = find_(one.uid);
    if (worker != nullptr && Judge(*worker)) waiting_.push_back(one.uid);
  }
  if (waiting_.empty() || ticking_) return;
  ticking_ = true;
  tasks_.Spawn("pending resizes", Tick());
}

kube::Task<void> ResizeQueue::Tick() {
  while (!waiting_.empty()) {
    co_await kube::SleepUntil(loop_, std::chrono::steady_clock::now() + kRetryEvery);
    Retry();
  }
  ticking_ = false;
}

}  // namespace burstlet::provider
