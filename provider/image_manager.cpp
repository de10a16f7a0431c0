#include "provider/image_manager.h"

#include <chrono>
#include <map>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "metrics/log.h"
#include "metrics/status.h"

namespace burstlet::provider {
namespace {

std::string BackoffKey(const kube::Pod& pod, const std::string& image) {
  return absl::StrCat(pod.metadata.uid, "/", image);
}

std::string Seconds(std::chrono::steady_clock::duration elapsed) {
  const double ms = std::chrono::duration<double, std::milli>(elapsed).count();
  return ms < 1000 ? absl::StrFormat("%.0fms", ms) : absl::StrFormat("%.3fs", ms / 1000);
}

/// First the kubelet's sentence, then the registry's own words.
absl::Status PullError(const std::string& image, const absl::Status& cause) {
  const std::string reason = ReasonOf(cause, "ErrImagePull");
  return ReasonError(cause.code(), reason,
                     absl::StrCat("failed to pull image \"", image, "\": ", std::string(cause.message())));
}

}  // namespace

std::string EffectivePullPolicy(const kube::Container& container) {
  if (!container.imagePullPolicy.empty()) return container.imagePullPolicy;
  return cache::IsLatestTag(container.image) ? "Always" : "IfNotPresent";
}

ImageManager::ImageManager(kube::Loop& loop, cache::ImageStore& store, ObjectSource& objects,
                           kube::EventRecorder& events, Metrics& metrics, unsigned parallel_pulls)
    : loop_(loop),
      store_(store),
      objects_(objects),
      events_(events),
      metrics_(metrics),
      pool_(parallel_pulls),
      backoff_(Backoff::Limits{}) {}

std::shared_ptr<const cache::Image> ImageManager::FindReady(const kube::Container& container) {
  if (EffectivePullPolicy(container) == "Always") return nullptr;
  return store_.Find(container.image);
}

kube::SteadyTime ImageManager::RetryAt(const kube::Pod& pod, const kube::Container& container) const {
  const std::string key = BackoffKey(pod, container.image);
  const auto failure = failures_.find(key);
  return failure == failures_.end() ? kube::SteadyTime{} : backoff_.ReadyAt(key, failure->second.at);
}

void ImageManager::Forget(const kube::Pod& pod) {
  const auto forget = [&](const std::string& image) {
    backoff_.Forget(BackoffKey(pod, image));
    failures_.erase(BackoffKey(pod, image));
  };
  for (const kube::Container& container : pod.spec.initContainers) forget(container.image);
  for (const kube::Container& container : pod.spec.containers) forget(container.image);
  for (const kube::EphemeralContainer& container : pod.spec.ephemeralContainers) forget(container.image);
  for (const kube::Volume& volume : pod.spec.volumes) {
    if (volume.image) forget(volume.image->reference);
  }
}

kube::Task<absl::StatusOr<std::vector<cache::Credentials>>> ImageManager::PullCredentials(
    std::shared_ptr<const kube::Pod> pod, std::string reference) {
  std::vector<std::string> docker_config_json;
  std::vector<std::string> dockercfg;
  for (const kube::LocalObjectReference& secret_ref : pod->spec.imagePullSecrets) {
    auto secret = co_await objects_.GetSecret(pod->metadata.namespace_, secret_ref.name);
    if (!secret.ok()) {
      // As the kubelet: a missing pull secret is told, the pull goes on without it.
      events_.PodEvent(*pod, "", "Warning", "FailedToRetrieveImagePullSecret",
                       absl::StrCat("Unable to retrieve some image pull secrets (", secret_ref.name,
                                    "); attempting to pull the image may not succeed."));
      continue;
    }
    const auto& data = (*secret)->data;
    if (const auto it = data.find(".dockerconfigjson"); it != data.end()) docker_config_json.push_back(it->second.data);
    if (const auto it = data.find(".dockercfg"); it != data.end()) dockercfg.push_back(it->second.data);
  }
  co_return cache::CredentialsFor(reference, docker_config_json, dockercfg);
}

kube::Task<absl::StatusOr<cache::PullResult>> ImageManager::Pull(cache::PullRequest request, kube::CancelToken cancel) {
  struct Pending {
    explicit Pending(kube::Loop& loop) : done(loop) {}
    kube::SignalEvent done;
    std::optional<absl::StatusOr<cache::PullResult>> result;
  };
  auto pending = std::make_shared<Pending>(loop_);
  auto work = [store = &store_, loop = &loop_, pending, request = std::move(request)] {
    auto pulled = *request.cancelled ? absl::StatusOr<cache::PullResult>(absl::CancelledError("not wanted any more"))
                                     : store->Pull(request);
    loop->Post([pending, pulled = std::move(pulled)] {
      pending->result = pulled;
      pending->done.Set();
    });
  };
  pool_.Submit(std::move(work));
  // A pod that goes does not wait for its turn behind other pods' pulls, nor for a registry that hangs.
  const std::uint64_t callback = cancel.OnCancel([pending] { pending->done.Set(); });
  co_await pending->done.Wait();
  cancel.Forget(callback);
  if (!pending->result) co_return absl::CancelledError("the pod is being deleted");
  co_return *std::move(pending->result);
}

kube::Task<absl::StatusOr<std::shared_ptr<const cache::Image>>> ImageManager::Ensure(
    std::shared_ptr<const kube::Pod> pod, kube::Container container, std::string field_path, kube::CancelToken cancel) {
  const std::string image = container.image;
  const auto normalized = cache::NormalizeReference(image);
  if (!normalized.ok()) {
    const std::string message =
        absl::StrCat("Failed to apply default image tag \"", image, "\": ", std::string(normalized.status().message()));
    events_.PodEvent(*pod, field_path, "Warning", "InspectFailed", message);
    co_return ReasonError(absl::StatusCode::kInvalidArgument, "InvalidImageName", message);
  }
  const std::string policy = EffectivePullPolicy(container);
  if (policy != "Always") {
    if (auto present = store_.Find(image)) {
      events_.PodEvent(*pod, field_path, "Normal", "Pulled",
                       absl::StrCat("Container image \"", image, "\" already present on machine"));
      co_return present;
    }
    if (policy == "Never") {
      const std::string message =
          absl::StrCat("Container image \"", image, "\" is not present with pull policy of Never");
      events_.PodEvent(*pod, field_path, "Warning", "ErrImageNeverPull", message);
      co_return ReasonError(absl::StatusCode::kNotFound, "ErrImageNeverPull", message);
    }
  }
  const std::string key = BackoffKey(*pod, image);
  if (const auto failure = failures_.find(key);
      failure != failures_.end() && std::chrono::steady_clock::now() < backoff_.ReadyAt(key, failure->second.at)) {
    const std::string message = absl::StrCat("Back-off pulling image \"", image, "\"");
    events_.PodEvent(*pod, field_path, "Normal", "BackOff", message);
    co_return ReasonError(absl::StatusCode::kUnavailable, "ImagePullBackOff",
                          absl::StrCat(message, ": ", failure->second.message));
  }
  events_.PodEvent(*pod, field_path, "Normal", "Pulling", absl::StrCat("Pulling image \"", image, "\""));
  auto credentials = co_await PullCredentials(pod, image);
  absl::StatusOr<cache::PullResult> pulled = absl::UnknownError("");
  const auto start = std::chrono::steady_clock::now();
  if (credentials.ok()) {
    cache::PullRequest request{image, *std::move(credentials), cancel.flag()};
    pulled = co_await Pull(std::move(request), cancel);
  } else {
    pulled = credentials.status();
  }
  const auto now = std::chrono::steady_clock::now();
  if (!pulled.ok()) {
    if (cancel.cancelled()) co_return absl::CancelledError("the pod is being deleted");
    const absl::Status error = PullError(image, pulled.status());
    metrics_.Add(Series::kImagePulls, {{"result", "error"}});
    backoff_.Next(key, now);
    failures_[key] = {now, absl::StrCat(ReasonOf(error), ": ", std::string(error.message()))};
    events_.PodEvent(*pod, field_path, "Warning", "Failed",
                     absl::StrCat("Failed to pull image \"", image, "\": ", std::string(pulled.status().message())));
    events_.PodEvent(*pod, field_path, "Warning", "Failed", absl::StrCat("Error: ", ReasonOf(error)));
    co_return error;
  }
  failures_.erase(key);
  backoff_.Forget(key);
  metrics_.Add(Series::kImagePulls, {{"result", "success"}});
  metrics_.Add(Series::kImagePullBytes, {}, static_cast<double>(pulled->downloaded_bytes));
  metrics_.Observe(Series::kImagePullDuration, std::chrono::duration<double>(now - start).count());
  events_.PodEvent(
      *pod, field_path, "Normal", "Pulled",
      absl::StrCat("Successfully pulled image \"", image, "\" in ", Seconds(now - start), " (", Seconds(now - start),
                   " including waiting). Image size: ", pulled->image->size_bytes, " bytes."));
  co_return pulled->image;
}

}  // namespace burstlet::provider
