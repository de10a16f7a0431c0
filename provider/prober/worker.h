// One probe of one run of a container: looks, counts, tells.
//
// Made when the container runs (and, but for the startup probe, has started), stopped with it. A coroutine that sleeps
// on the loop between looks; no thread, no work while it sleeps. Owner: PodProber. Loop thread only.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "kube/async/cancel.h"
#include "kube/async/offload.h"
#include "kube/async/signal_event.h"
#include "kube/async/task_group.h"
#include "provider/prober/outcome.h"
#include "provider/prober/probe_metrics.h"
#include "provider/prober/results.h"
#include "provider/sandbox_handle.h"

namespace burstlet::provider {

/// What all probes of the node use; the references outlive them.
struct ProbeServices {
  kube::Loop& loop;
  kube::WorkerPool& pool;
  kube::TaskGroup& tasks;
  ProbeMetrics* metrics = nullptr;  // null: nobody counts
};

/// What is probed.
struct ProbeSubject {
  ProbeKind kind = ProbeKind::kReadiness;
  kube::Container container;
  kube::Probe probe;
  std::string container_id;
  std::string pod_ip;
  std::shared_ptr<SandboxHandle> sandbox;
  ProbeIdentity identity;
};

class ProbeWorker : public std::enable_shared_from_this<ProbeWorker> {
 public:
  struct Callbacks {
    /// A result, every time that one is reached.
    std::function<void(const ProbeSubject& subject, bool success)> result;
    /// An event of the container, type Warning.
    std::function<void(const std::string& container, const std::string& reason, const std::string& message)> event;
  };

  ProbeWorker(ProbeServices services, ProbeSubject subject, ProbeSchedule schedule, Callbacks callbacks);
  void Start();
  /// No callback after this; a look under way is given up.
  void Stop();
  const ProbeSubject& subject() const { return subject_; }

 private:
  kube::Task<void> Run();
  kube::Task<ProbeOutcome> Look();
  kube::Task<ProbeOutcome> LookOnce();
  void Tell(const ProbeOutcome& outcome);
  void Count(const ProbeOutcome& outcome, kube::SteadyTime begin);

  ProbeServices services_;
  ProbeSubject subject_;
  ProbeSchedule schedule_;
  ProbeThresholds thresholds_;
  Callbacks callbacks_;
  kube::SignalEvent wake_;
  kube::CancelToken cancel_;
  bool stopped_ = false;
};

}  // namespace burstlet::provider
