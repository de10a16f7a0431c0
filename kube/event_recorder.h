// Kubernetes events, off every path: queued, correlated (same event counts up), rate limited, never waited for.
//
// Source: client-go tools/record/events_cache.go; component "kubelet", host = node name. Loop thread only.
#pragma once

#include <memory>
#include <string>

#include "kube/client.h"

namespace burstlet::kube {

class EventRecorder {
 public:
  virtual ~EventRecorder() = default;
  /// `field_path` e.g. "spec.containers{web}" or "". type "Normal" | "Warning".
  virtual void PodEvent(const Pod& pod, const std::string& field_path, const std::string& type,
                        const std::string& reason, const std::string& message) = 0;
  virtual void NodeEvent(const std::string& type, const std::string& reason, const std::string& message) = 0;
  /// Sends what is queued, then ends its task.
  virtual Task<void> Stop() = 0;
};

std::unique_ptr<EventRecorder> NewEventRecorder(Client& client, Loop& loop, std::string node_name);

}  // namespace burstlet::kube
