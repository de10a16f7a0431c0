// The pod lifecycle event generator: sandboxes' exit descriptors become calls on the loop. No polling, no relist.
//
// Owner: each PodWorker has one while it has a sandbox. Loop thread only. Named after pkg/kubelet/pleg.
#pragma once

#include <functional>
#include <memory>
#include <vector>

#include "absl/status/status.h"
#include "kube/async/loop.h"
#include "provider/sandbox_handle.h"

namespace burstlet::provider {

class PodLifecycleEvents {
 public:
  virtual ~PodLifecycleEvents() = default;
};

/// Calls `changed` with what ReadEvents yields, until destroyed; `died` once when the sandbox is gone.
std::unique_ptr<PodLifecycleEvents> WatchSandbox(kube::Loop& loop, std::shared_ptr<SandboxHandle> sandbox,
                                                 std::function<void(std::vector<sandbox::ContainerState>)> changed,
                                                 std::function<void(absl::Status)> died);

}  // namespace burstlet::provider
