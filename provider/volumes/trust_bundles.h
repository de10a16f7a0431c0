// The cluster's ClusterTrustBundles, watched from the first pod that projects one.
//
// Owner: node_agent. Loop thread only. Failure: kNotFound when there is nothing to project, kUnavailable while the API
// server has not answered yet; the words are the kubelet's.
// Source: pkg/kubelet/clustertrustbundle/clustertrustbundle_manager.go.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "kube/api/trust.h"
#include "kube/async/cancel.h"
#include "kube/async/signal_event.h"
#include "kube/async/task_group.h"
#include "kube/client.h"
#include "provider/volumes/credentials.h"

namespace burstlet::provider {

class TrustBundles {
 public:
  TrustBundles(kube::Client& client, kube::Loop& loop, kube::TaskGroup& tasks);
  ~TrustBundles();

  /// The pod projects trust bundles: changes are told to it.
  void Acquire(const std::string& uid);
  void Release(const std::string& uid) { users_.erase(uid); }
  void OnChange(std::function<void(const std::string& uid)> callback) { on_change_ = std::move(callback); }

  /// PEM of all anchors, each once.
  kube::Task<absl::StatusOr<std::string>> Get(TrustKey key);

 private:
  void Start();
  void Put(const std::string& object);
  void Changed();
  absl::StatusOr<std::string> Find(const TrustKey& key) const;

  kube::Client& client_;
  kube::Loop& loop_;
  kube::TaskGroup& tasks_;
  kube::CancelToken cancel_;
  bool started_ = false;
  bool synced_ = false;
  std::map<std::string, kube::ClusterTrustBundle> bundles_;  // by name
  std::set<std::string> users_;
  std::vector<std::shared_ptr<kube::SignalEvent>> waiters_;
  std::function<void(const std::string&)> on_change_;
};

/// Whether labels satisfy a selector (meta/v1 LabelSelector). kInvalidArgument for an unknown operator.
absl::StatusOr<bool> SelectorMatches(const kube::LabelSelector& selector,
                                     const std::map<std::string, std::string>& labels);

/// The anchors of several bundles' PEM texts, each once, in an order of their own that is always the same.
std::string NormalizedAnchors(const std::vector<std::string>& texts);

}  // namespace burstlet::provider
