// Sends spans to an OpenTelemetry collector over OTLP/HTTP, in batches, off every pod's path.
//
// Loop thread only. Failure: a batch that the collector does not take is tried a few times and then dropped; spans
// beyond the queue's bound are dropped at once; both are logged. Configuration: TracingConfiguration of the kubelet
// (component-base/tracing/api/v1), but for the protocol.
#pragma once

#include <cstdint>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "kube/async/signal_event.h"
#include "kube/async/task_group.h"
#include "kube/client.h"
#include "provider/tracing/pod_trace.h"

namespace burstlet::provider {

struct TracingConfig {
  std::string endpoint;  // "http://host:port"; empty: no traces
  std::int64_t sampling_rate_per_million = 1'000'000;
};

class TraceExporter {
 public:
  /// kInvalidArgument for an endpoint that is no URL.
  static absl::StatusOr<std::unique_ptr<TraceExporter>> Open(kube::Loop& loop, kube::TaskGroup& tasks,
                                                             const TracingConfig& config, const std::string& node_name);
  TraceExporter(kube::Loop& loop, std::unique_ptr<kube::Client> client, std::int64_t rate, std::string node_name);

  void PodStarted(const kube::Pod& pod, const PodTimeline& timeline);
  /// What is queued is sent; for as long as the task group lives.
  kube::Task<void> Run();

 private:
  kube::Task<absl::Status> Send(std::string body);

  kube::Loop& loop_;
  std::unique_ptr<kube::Client> client_;
  const std::int64_t rate_;
  const Attributes resource_;
  std::mt19937_64 random_{std::random_device{}()};
  kube::SignalEvent wake_;
  std::vector<Span> queue_;
  std::uint64_t dropped_ = 0;
};

}  // namespace burstlet::provider
