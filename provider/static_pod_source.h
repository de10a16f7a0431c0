// Where static pods come from: files of this host, or a URL. Each source tells all its pods at once, again after every
// change, and speaks for its own pods only.
//
// Owner: node_agent. Loop thread only.
#pragma once

#include <functional>
#include <memory>
#include <vector>

#include "kube/api/pod.h"

namespace burstlet::provider {

using StaticPodList = std::vector<std::shared_ptr<const kube::Pod>>;

class StaticPodSource {
 public:
  virtual ~StaticPodSource() = default;
  /// All pods that there are, called after the first look and after each change.
  virtual void OnChange(std::function<void(StaticPodList pods)> callback) = 0;
  virtual void Start() = 0;
  /// No callback comes any more.
  virtual void Stop() = 0;
};

}  // namespace burstlet::provider
