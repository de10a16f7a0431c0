// Images for pods: pull policy, pull secrets, back-off, events.
//
// Owner: node_agent. Loop thread only; pulls run on a pool of their own so that they never hold up a start.
// Failure: Status whose reason is the kubelet's waiting reason (ErrImagePull, ImagePullBackOff, ErrImageNeverPull,
// InvalidImageName) and whose message is the one to show. Source: pkg/kubelet/images/image_manager.go.
#pragma once

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "cache/image_store.h"
#include "kube/async/cancel.h"
#include "kube/async/offload.h"
#include "kube/event_recorder.h"
#include "metrics/catalog.h"
#include "provider/backoff.h"
#include "provider/volumes/volume_manager.h"

namespace burstlet::provider {

class ImageManager {
 public:
  ImageManager(kube::Loop& loop, cache::ImageStore& store, ObjectSource& objects, kube::EventRecorder& events,
               Metrics& metrics, unsigned parallel_pulls);

  /// The image if the policy lets it be used as it is, without any wait; null when a pull is needed (or refused).
  std::shared_ptr<const cache::Image> FindReady(const kube::Container& container);
  /// A present image by its id ("sha256:..."); null when it is not there.
  std::shared_ptr<const cache::Image> Find(const std::string& id) { return store_.Find(id); }
  /// The image, pulled if need be. `field_path` is for events.
  kube::Task<absl::StatusOr<std::shared_ptr<const cache::Image>>> Ensure(std::shared_ptr<const kube::Pod> pod,
                                                                         kube::Container container,
                                                                         std::string field_path,
                                                                         kube::CancelToken cancel);
  /// When a pull that is in back-off may be tried again; zero time when none is.
  kube::SteadyTime RetryAt(const kube::Pod& pod, const kube::Container& container) const;
  void Forget(const kube::Pod& pod);

 private:
  kube::Task<absl::StatusOr<std::vector<cache::Credentials>>> PullCredentials(std::shared_ptr<const kube::Pod> pod,
                                                                              std::string reference);

  /// Returns early, with kCancelled, when the pod goes; the pull then ends on its own.
  kube::Task<absl::StatusOr<cache::PullResult>> Pull(cache::PullRequest request, kube::CancelToken cancel);

  kube::Loop& loop_;
  cache::ImageStore& store_;
  ObjectSource& objects_;
  kube::EventRecorder& events_;
  Metrics& metrics_;
  kube::WorkerPool pool_;
  Backoff backoff_;
  struct LastFailure {
    kube::SteadyTime at;
    std::string message;
  };
  std::map<std::string, LastFailure> failures_;
};

/// imagePullPolicy, or the API server's default for it.
std::string EffectivePullPolicy(const kube::Container& container);

}  // namespace burstlet::provider
