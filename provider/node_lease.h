// The node's Lease: proof of life every ten seconds, for controllers that do not want to read whole Nodes.
//
// Loop thread only. Source: component-helpers apimachinery/lease/controller.go.
#pragma once

#include <string>

#include "absl/status/status.h"
#include "kube/client.h"

namespace burstlet::provider {

class NodeLease {
 public:
  NodeLease(kube::Client& client, std::string node_name, std::int32_t duration_seconds);

  /// Creates or renews once. `node_uid` is the owner: a Lease goes with its Node. Conflicts are settled by a fresh GET.
  kube::Task<absl::Status> Renew(std::string node_uid);

 private:
  kube::Task<absl::Status> Create(std::string node_uid);
  void Fill(kube::Lease& lease, const std::string& node_uid) const;

  kube::Client& client_;
  const std::string node_name_;
  const std::int32_t duration_seconds_;
  kube::Lease lease_;  // as last seen; no name: unknown
};

}  // namespace burstlet::provider
