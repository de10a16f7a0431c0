// Publishes pod statuses: newest wins, one PATCH in flight per pod, written only when it differs.
//
// The kubelet is the source of truth for the status it owns; a pod re-created under the same name is never hit (UID in
// the patch); an outage only delays. Owner: node_agent. Loop thread only.
// Source: pkg/kubelet/status/status_manager.go.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "kube/api/pod.h"
#include "kube/async/task_group.h"
#include "kube/client.h"

namespace burstlet::provider {

/// Where statuses go: the API server, or the terminal of `burstlet run`.
class StatusSink {
 public:
  virtual ~StatusSink() = default;
  /// Stores `next`; `previous` is what the sink has. The answer is the pod as stored. kNotFound: it is gone;
  /// kFailedPrecondition: another UID lives there.
  virtual kube::Task<absl::StatusOr<kube::Pod>> Write(std::shared_ptr<const kube::Pod> pod, kube::PodStatus previous,
                                                      kube::PodStatus next) = 0;
  /// The final delete (grace 0, UID precondition). kNotFound is success.
  virtual kube::Task<absl::Status> Delete(std::shared_ptr<const kube::Pod> pod) = 0;
};

class StatusManager {
 public:
  virtual ~StatusManager() = default;
  /// What the API server shows of a pod (from the watch): decides whether a write is needed.
  virtual void Observe(std::shared_ptr<const kube::Pod> pod) = 0;
  /// The newest status of the pod; written when it differs from what is stored.
  virtual void Set(std::shared_ptr<const kube::Pod> pod, kube::PodStatus status) = 0;
  /// The newest status, if any was Set since the start.
  virtual std::optional<kube::PodStatus> Get(const std::string& uid) const = 0;
  /// Called once, on the loop, when the status last Set has been stored (or the pod is gone from the server).
  virtual void WhenStored(const std::string& uid, std::function<void()> callback) = 0;
  /// The pod's resources are gone: the final delete is due once its terminal status is stored. Retries for ever.
  virtual void DeletePod(std::shared_ptr<const kube::Pod> pod) = 0;
  /// The pod is gone from the server: forget it.
  virtual void Forget(const std::string& uid) = 0;
  /// Stamp hook: a write of `uid` was acknowledged with this status.
  virtual void OnStored(std::function<void(const std::string& uid, const kube::PodStatus& status)> callback) = 0;
  /// No write or retry starts any more, waiting tasks return: the owner then joins its TaskGroup.
  virtual void Stop() {}
};

std::unique_ptr<StatusManager> NewStatusManager(kube::Loop& loop, kube::TaskGroup& tasks, StatusSink& sink);
std::unique_ptr<StatusSink> NewApiStatusSink(kube::Client& client);

}  // namespace burstlet::provider
