#include "provider/node_lease.h"

#include <chrono>
#include <utility>

#include "metrics/status.h"

namespace burstlet::provider {
namespace {

constexpr int kMostConflicts = 5;

kube::MicroTime Now() {
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  return kube::MicroTime{std::chrono::duration_cast<std::chrono::nanoseconds>(now).count()};
}

}  // namespace

NodeLease::NodeLease(kube::Client& client, std::string node_name, std::int32_t duration_seconds)
    : client_(client), node_name_(std::move(node_name)), duration_seconds_(duration_seconds) {}

void NodeLease::Fill(kube::Lease& lease, const std::string& node_uid) const {
  kube::OwnerReference owner;
  owner.apiVersion = "v1";
  owner.kind = "Node";
  owner.name = node_name_;
  owner.uid = node_uid;
  lease.metadata.ownerReferences = {owner};
  lease.spec.holderIdentity = node_name_;
  lease.spec.leaseDurationSeconds = duration_seconds_;
  lease.spec.renewTime = Now();
}

kube::Task<absl::Status> NodeLease::Create(std::string node_uid) {
  kube::Lease lease;
  lease.metadata.name = node_name_;
  lease.metadata.namespace_ = "kube-node-lease";
  Fill(lease, node_uid);
  absl::StatusOr<kube::Lease> created = co_await client_.CreateLease(std::move(lease));
  CO_RETURN_IF_ERROR(created);
  lease_ = *std::move(created);
  co_return absl::OkStatus();
}

kube::Task<absl::Status> NodeLease::Renew(std::string node_uid) {
  absl::Status status;
  for (int i = 0; i < kMostConflicts; ++i) {
    if (lease_.metadata.name.empty()) {
      absl::StatusOr<kube::Lease> found = co_await client_.GetLease(node_name_);
      status = found.status();
      if (status.ok()) {
        lease_ = *std::move(found);
      } else if (status.code() == absl::StatusCode::kNotFound) {
        status = co_await Create(node_uid);
        if (status.code() != absl::StatusCode::kAlreadyExists) co_return status;
        continue;
      } else {
        co_return status;
      }
    }
    kube::Lease next = lease_;
    Fill(next, node_uid);
    absl::StatusOr<kube::Lease> stored = co_await client_.UpdateLease(std::move(next));
    status = stored.status();
    if (status.ok()) {
      lease_ = *std::move(stored);
      co_return status;
    }
    // Changed or deleted by somebody: a fresh look settles it. Anything else is for the caller's back-off.
    lease_ = kube::Lease{};
    if (status.code() != absl::StatusCode::kAborted && status.code() != absl::StatusCode::kNotFound) co_return status;
  }
  co_return status;
}

}  // namespace burstlet::provider
