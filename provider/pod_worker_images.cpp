// What a start needs from elsewhere: images, of containers and of volumes, and environment files.
#include <algorithm>
#include <chrono>
#include <utility>

#include "absl/strings/str_cat.h"
#include "metrics/status.h"
#include "provider/env_files.h"
#include "provider/pod_worker.h"

namespace burstlet::provider {
namespace {

using std::chrono::steady_clock;

/// An image volume as the image manager takes it: the rules are those of a container's image.
kube::Container AsImage(const kube::ImageVolumeSource& source) {
  kube::Container container;
  container.image = source.reference;
  container.imagePullPolicy = source.pullPolicy;
  return container;
}

const kube::ImageVolumeSource* FindImageVolume(const kube::Pod& pod, const std::string& name) {
  for (const kube::Volume& volume : pod.spec.volumes) {
    if (volume.name == name) return volume.image ? &*volume.image : nullptr;
  }
  return nullptr;
}

}  // namespace

/// Shows the container as waiting and sets the time of its next try.
void PodWorker::PullFailed(const std::string& name, const kube::Container& image, const absl::Status& error) {
  View(name).waiting = WaitingInfo{ReasonOf(error, "ErrImagePull"), std::string(error.message())};
  const kube::SteadyTime retry = context_.images.RetryAt(*pod_, image);
  const auto now = steady_clock::now();
  // After the failure itself one more look soon turns ErrImagePull into ImagePullBackOff, as on a kubelet.
  const bool backing_off = ReasonOf(error) == "ImagePullBackOff";
  const kube::SteadyTime again = backing_off && retry > now ? retry : now + std::chrono::seconds(2);
  const std::string retry_key = absl::StrCat(name, "/", image.image);
  retry_at_[retry_key] = retry == kube::SteadyTime{} ? now + std::chrono::seconds(10) : again;
  next_wake_ = std::min(next_wake_, retry_at_[retry_key]);
}

kube::Task<std::shared_ptr<const cache::Image>> PodWorker::EnsureImage(std::string name, kube::Container image,
                                                                       std::string field_path) {
  std::shared_ptr<const cache::Image> found = context_.images.FindReady(image);
  if (found != nullptr) {
    context_.events.PodEvent(*pod_, field_path, "Normal", "Pulled",
                             absl::StrCat("Container image \"", image.image, "\" already present on machine"));
  } else {
    if (TooEarly(absl::StrCat(name, "/", image.image))) co_return nullptr;
    Publish();  // a pull takes as long as it takes: say so now
    auto ensured = co_await context_.images.Ensure(pod_, image, field_path, cancel_);
    if (terminate_requested_) co_return nullptr;
    if (!ensured.ok()) {
      PullFailed(name, image, ensured.status());
      if (field_path.empty()) Event(name, "Warning", "Failed", absl::StrCat("Error: ", ensured.status().message()));
      co_return nullptr;
    }
    found = *ensured;
  }
  images_[found->id] = found;
  co_return found;
}

/// Each start asks anew, as the pull policy wants it: a restarted container may find newer content. Volumes that the
/// container does not mount don't hold it up. Source: kuberuntime_manager.go getImageVolumes,
/// toKubeContainerImageVolumes.
kube::Task<std::optional<ImageVolumes>> PodWorker::EnsureImageVolumes(kube::Container container) {
  ImageVolumes result;
  bool missing = false;
  for (std::size_t i = 0; i < container.volumeMounts.size(); ++i) {
    const std::string name = container.volumeMounts[i].name;
    const kube::ImageVolumeSource* source = FindImageVolume(*pod_, name);
    if (source == nullptr || result.contains(name)) continue;
    kube::Container image = AsImage(*source);
    const std::shared_ptr<const cache::Image> found = co_await EnsureImage(container.name, std::move(image), "");
    if (terminate_requested_) co_return std::nullopt;
    if (found != nullptr) {
      result[name] = found->layer_dirs;
    } else {
      missing = true;
    }
  }
  if (missing) co_return std::nullopt;
  co_return result;
}

kube::Task<EnvFileTexts> PodWorker::EnvFiles(kube::Container container) {
  const bool any = std::any_of(container.env.begin(), container.env.end(), [](const kube::EnvVar& variable) {
    return variable.valueFrom && variable.valueFrom->fileKeyRef;
  });
  if (!any || sandbox_ == nullptr) co_return EnvFileTexts{};
  auto work = [handle = sandbox_, container = std::move(container)] {
    return handle->With([&](sandbox::Sandbox& sandbox) { return ReadEnvFiles(sandbox, container); });
  };
  co_return co_await kube::Offload(context_.loop, context_.pool, std::move(work));
}

/// Images that the former agent's record names are held from now on, like those that this one starts.
void PodWorker::HoldImages(const std::vector<std::string>& ids) {
  for (const std::string& id : ids) {
    if (auto image = context_.images.Find(id)) images_[id] = std::move(image);
  }
}

}  // namespace burstlet::provider
