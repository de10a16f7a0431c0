// The hooks of a container: postStart and preStop.
//
// A hook is a command in the container, a request to it, or a pause. When it runs and what its failure means is the
// PodWorker's; this only runs it, until it is over or its guard fires. Any HTTP answer is a success, as on a kubelet.
// Source: pkg/kubelet/lifecycle/handlers.go. Loop thread only.
#pragma once

#include <memory>
#include <string>

#include "absl/status/status.h"
#include "kube/api/pod.h"
#include "kube/async/offload.h"
#include "kube/async/task.h"
#include "provider/prober/guard.h"
#include "provider/sandbox_handle.h"

namespace burstlet::provider {

struct HookTarget {
  std::shared_ptr<const kube::Pod> pod;
  kube::Container container;
  std::string container_id;
  std::string pod_ip;
  std::shared_ptr<SandboxHandle> sandbox;
};

struct HookOutcome {
  /// The message is for the container's status: it may hold what the command printed, so it is not for events.
  absl::Status status;
  /// Asked for HTTPS, answered in plain HTTP, and repeated so ("host:port"; else empty).
  std::string plain_http_host;
};

kube::Task<HookOutcome> RunHook(kube::Loop& loop, kube::WorkerPool& pool, HookTarget target,
                                kube::LifecycleHandler handler, std::shared_ptr<ProbeGuard> guard);

}  // namespace burstlet::provider
