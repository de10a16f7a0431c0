// The probes of one pod: a ProbeWorker for each probe of each running container, results into the worker's view.
//
// Sync is told whenever something of the pod may have changed and compares. A new run of a container starts without
// results; liveness and readiness wait for the startup probe; once the pod is terminating only readiness goes on.
// Source: pkg/kubelet/prober/prober_manager.go. Owner: the PodWorker. Loop thread only.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <utility>

#include "provider/prober/worker.h"
#include "provider/runtime_view.h"

namespace burstlet::provider {

class PodProber {
 public:
  struct Callbacks {
    /// startup_passed or readiness_passed of a container have changed.
    std::function<void()> changed;
    /// The container has to be restarted: its liveness or startup probe failed.
    std::function<void(const ProbeSubject& subject)> failed;
    std::function<void(const std::string& container, const std::string& reason, const std::string& message)> event;
  };

  /// True when the pod has any probe.
  static bool Wanted(const kube::Pod& pod);

  /// `view` is the owner's and outlives the prober.
  PodProber(ProbeServices services, PodRuntimeView& view, Callbacks callbacks);
  ~PodProber();

  void Sync(const kube::Pod& pod, const std::shared_ptr<SandboxHandle>& sandbox, const std::string& pod_ip);
  /// The next containers that Sync sees are of a former agent: what their last status said holds until the first
  /// result.
  void Adopt(const kube::Pod& pod);

 private:
  using Key = std::pair<std::string, ProbeKind>;
  void SyncContainer(const kube::Container& container, const std::shared_ptr<SandboxHandle>& sandbox,
                     const std::string& pod_ip);
  void Ensure(ProbeKind kind, const kube::Container& container, const kube::Probe& probe,
              const std::shared_ptr<SandboxHandle>& sandbox, const std::string& pod_ip);
  void StopProbe(const std::string& container, ProbeKind kind);
  void Result(const ProbeSubject& subject, bool success);

  ProbeServices services_;
  PodRuntimeView& view_;
  Callbacks callbacks_;
  std::map<Key, std::shared_ptr<ProbeWorker>> workers_;
  ProbeIdentity pod_;              // of the pod; type and container open
  std::set<std::string> adopted_;  // ids of containers of a former agent
};

}  // namespace burstlet::provider
