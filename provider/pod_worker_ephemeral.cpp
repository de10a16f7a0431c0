// What ephemeral containers ask beyond what others do: a target, and a judgement of their own.
#include "absl/strings/str_cat.h"
#include "metrics/status.h"
#include "provider/pod_worker.h"
#include "provider/supported_fields.h"

namespace burstlet::provider {

/// The container whose pid namespace an ephemeral one joins. The words are those of a kubelet and its runtime.
absl::StatusOr<std::string> PodWorker::PidTarget(const std::string& name) const {
  for (const kube::EphemeralContainer& container : pod_->spec.ephemeralContainers) {
    if (container.name != name || container.targetContainerName.empty()) continue;
    const auto target = view_.containers.find(container.targetContainerName);
    if (target == view_.containers.end() || target->second.instances.empty()) {
      return ReasonError(absl::StatusCode::kNotFound, "CreateContainerConfigError",
                         absl::StrCat("unable to find target container ", container.targetContainerName));
    }
    const ContainerInstance& run = target->second.instances.front();
    if (run.phase == ContainerInstance::Phase::kRunning) return run.id;
    return ReasonError(absl::StatusCode::kFailedPrecondition, "CreateContainerError",
                       absl::StrCat("invalid target container: container \"", run.id, "\" is not running"));
  }
  return "";
}

/// What a pod may not say was judged at its admission; ephemeral containers come later.
absl::Status PodWorker::CheckEphemeral(const std::string& name) const {
  kube::Pod only;
  for (const kube::EphemeralContainer& container : pod_->spec.ephemeralContainers) {
    if (container.name == name) only.spec.ephemeralContainers = {container};
  }
  const std::optional<Refusal> refusal = CheckSupported(only);
  if (!refusal) return absl::OkStatus();
  return ReasonError(absl::StatusCode::kUnimplemented, "CreateContainerConfigError", refusal->message);
}

}  // namespace burstlet::provider
