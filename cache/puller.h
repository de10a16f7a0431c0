// Pulls: one per reference and credentials however many callers, layers side by side, each layer once.
//
// A pull runs on the puller's own bounded threads; callers only wait. A caller that is cancelled leaves; the pull ends
// when the last one has left. Pods with other credentials make a pull of their own, so that nobody gets an image on
// another's password; layers they share are still fetched once. Threads: any. Failure: a Status as the kubelet shows
// it, reason ErrImagePull or RegistryUnavailable; nothing of a failed pull stays.
#pragma once

#include <condition_variable>
#include <deque>
#include <list>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "absl/status/statusor.h"
#include "cache/image_catalog.h"
#include "cache/image_ref.h"
#include "cache/image_store.h"
#include "cache/layer_store.h"
#include "cache/registry_client.h"

namespace burstlet::cache {

class Puller {
 public:
  Puller(const RegistryConfig& config, RegistryClient& registry, LayerStore& layers, ImageCatalog& catalog);
  /// Cancels what runs and waits for it.
  ~Puller();

  absl::StatusOr<PullResult> Pull(const PullRequest& request);

 private:
  struct Flight;
  struct Attempt;

  std::shared_ptr<Flight> Join(const ImageRef& ref, const PullRequest& request);
  void Leave(const std::shared_ptr<Flight>& flight);
  void RunQueue();
  absl::StatusOr<PullResult> Run(Flight& flight);
  absl::StatusOr<PullResult> PullOnce(Flight& flight, const Credentials& credentials);
  absl::StatusOr<PullResult> FetchImage(Attempt& attempt);
  absl::Status FetchLayers(Attempt& attempt);
  void LayerWorker(Attempt& attempt);
  absl::StatusOr<std::shared_ptr<const Layer>> FetchLayer(Attempt& attempt, std::size_t index);
  absl::StatusOr<std::shared_ptr<const Layer>> Download(Attempt& attempt, std::size_t index);

  RegistryConfig config_;
  RegistryClient& registry_;
  LayerStore& layers_;
  ImageCatalog& catalog_;

  std::mutex mutex_;
  std::condition_variable changed_;  // flights' ends and layers' ends
  std::map<std::string, std::shared_ptr<Flight>> flights_;
  std::deque<std::shared_ptr<Flight>> queue_;
  std::set<std::string> layers_in_flight_;  // diffIDs
  std::list<std::thread> threads_;
  std::vector<std::thread::id> ended_;
  unsigned running_ = 0;
  bool stopping_ = false;
};

}  // namespace burstlet::cache
