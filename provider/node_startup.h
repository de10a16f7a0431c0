// How long it took from the host's boot until the node was ready, step by step: kubelet_node_startup_*.
//
// Told once, and only when this agent made the Node: for an adopted one the time since the host's boot says nothing.
// Owner: node_agent. Loop thread only. Source: pkg/kubelet/util/node_startup_latency_tracker.go.
#pragma once

#include <optional>

#include "metrics/catalog.h"

namespace burstlet::provider {

class NodeStartup {
 public:
  /// Unix seconds; `started` is the agent's start.
  NodeStartup(Metrics& metrics, double booted, double started)
      : metrics_(metrics), booted_(booted), started_(started) {}

  void Attempted(double now);
  void Registered(double now);
  void Ready(double now);

 private:
  Metrics& metrics_;
  const double booted_;
  const double started_;
  std::optional<double> attempted_;
  std::optional<double> registered_;
  bool told_ = false;
};

/// Unix seconds of the host's boot.
double BootTime();

}  // namespace burstlet::provider
