// Secrets and ConfigMaps by name: one counted watch per object that some pod refers to (a node may not list more).
//
// Get answers from the watch's cache, or waits for its first answer (retrying 403 and 404 from 5 ms on for a short
// while right after Acquire, because the API server's own authorizer lags behind the pod). Loop thread only.
// Source: pkg/kubelet/util/manager/watch_based_manager.go.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "kube/client.h"

namespace burstlet::kube {

class ObjectWatch {
 public:
  virtual ~ObjectWatch() = default;
  /// Counts a reference of `owner` (a pod UID) up and starts the watch with the first one. Idempotent per owner.
  virtual void AcquireConfigMap(const std::string& owner, const std::string& name_space, const std::string& name) = 0;
  virtual void AcquireSecret(const std::string& owner, const std::string& name_space, const std::string& name) = 0;
  /// Drops all references of `owner`; unused watches end.
  virtual void Release(const std::string& owner) = 0;
  /// kNotFound: the API server says that it does not exist (after the short retry).
  virtual Task<absl::StatusOr<std::shared_ptr<const ConfigMap>>> GetConfigMap(std::string name_space,
                                                                              std::string name) = 0;
  virtual Task<absl::StatusOr<std::shared_ptr<const Secret>>> GetSecret(std::string name_space, std::string name) = 0;
  /// Called on the loop for each owner of an object that changed after its first answer.
  virtual void OnChange(std::function<void(const std::string& owner)> callback) = 0;
  /// Ends all watches; awaited before destruction while the loop runs. Waiting Gets return kCancelled.
  virtual Task<void> Stop() { co_return; }
};

/// Each watch is a connection of its own: beyond `max_watches` objects are fetched when asked for, and kept for a
/// while. A watch that no pod needs any more goes on for `linger`: the next pod of its namespace often does.
std::unique_ptr<ObjectWatch> NewObjectWatch(Client& client, Loop& loop, int max_watches = 64,
                                            std::chrono::milliseconds linger = std::chrono::minutes(1));

}  // namespace burstlet::kube
