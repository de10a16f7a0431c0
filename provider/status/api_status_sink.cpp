// The sink that is the API server: one PATCH per write; a GET only after a conflict.
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "kube/patch.h"
#include "metrics/status.h"
#include "provider/status/merge.h"
#include "provider/status/status_manager.h"

namespace burstlet::provider {
namespace {

absl::Status Replaced(const kube::Pod& pod) {
  return absl::FailedPreconditionError(
      absl::StrCat("pod ", kube::ObjectName(pod.metadata), " has another UID than ", pod.metadata.uid));
}

class ApiStatusSink final : public StatusSink {
 public:
  explicit ApiStatusSink(kube::Client& client) : client_(client) {}

  kube::Task<absl::StatusOr<kube::Pod>> Write(std::shared_ptr<const kube::Pod> pod, kube::PodStatus previous,
                                              kube::PodStatus next) override {
    absl::StatusOr<kube::Pod> stored = co_await Patch(pod, std::move(previous), next);
    // A conflict is either another pod under this name (also told as 422, since a UID may not be changed) or a write
    // that came between: only a GET tells.
    const bool conflict = absl::IsAborted(stored.status()) || absl::IsInvalidArgument(stored.status());
    if (!conflict) co_return stored;
    absl::StatusOr<kube::Pod> fresh = co_await client_.GetPod(pod->metadata.namespace_, pod->metadata.name);
    CO_RETURN_IF_ERROR(fresh);
    if (fresh->metadata.uid != pod->metadata.uid) co_return Replaced(*pod);
    kube::PodStatus merged = MergeStatus(fresh->status, std::move(next));
    auto base = std::make_shared<const kube::Pod>(*std::move(fresh));
    stored = co_await Patch(base, base->status, std::move(merged));
    co_return stored;
  }

  kube::Task<absl::Status> Delete(std::shared_ptr<const kube::Pod> pod) override {
    absl::Status status =
        co_await client_.DeletePod(pod->metadata.namespace_, pod->metadata.name, pod->metadata.uid, 0);
    if (status.ok() || status.code() == absl::StatusCode::kNotFound) co_return absl::OkStatus();
    if (status.code() != absl::StatusCode::kAborted) co_return status;
    absl::StatusOr<kube::Pod> fresh = co_await client_.GetPod(pod->metadata.namespace_, pod->metadata.name);
    if (fresh.status().code() == absl::StatusCode::kNotFound) co_return absl::OkStatus();
    if (fresh.ok() && fresh->metadata.uid != pod->metadata.uid) co_return absl::OkStatus();
    co_return status;
  }

 private:
  kube::Task<absl::StatusOr<kube::Pod>> Patch(std::shared_ptr<const kube::Pod> pod, kube::PodStatus previous,
                                              kube::PodStatus next) {
    std::string patch = kube::PodStatusPatch(pod->metadata.uid, previous, next);
    if (patch.empty()) co_return *pod;
    absl::StatusOr<kube::Pod> stored =
        co_await client_.PatchPodStatus(pod->metadata.namespace_, pod->metadata.name, std::move(patch));
    CO_RETURN_IF_ERROR(stored);
    if (stored->metadata.uid != pod->metadata.uid) co_return Replaced(*pod);
    co_return stored;
  }

  kube::Client& client_;
};

}  // namespace

std::unique_ptr<StatusSink> NewApiStatusSink(kube::Client& client) { return std::make_unique<ApiStatusSink>(client); }

}  // namespace burstlet::provider
