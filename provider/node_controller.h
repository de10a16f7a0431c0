// Keeps the Node object and its Lease alive: registers or adopts, renews, reports, and comes back after outages.
//
// The node's own credentials suffice (Node authorizer, NodeRestriction): its own Node by name, its own Lease. Taints
// are written at creation only, since a node may not change them later; a difference is logged. A Node that somebody
// deletes is registered again, unless told not to. Stopping leaves the Node as it is. Owner: node_agent. Loop thread
// only. Failure: never; an API server that is away is retried for ever, from 100 ms to 7 s. Sources:
// pkg/kubelet/kubelet_node_status.go, component-helpers apimachinery/lease/controller.go.
#pragma once

#include <chrono>
#include <functional>
#include <memory>

#include "kube/api/node.h"
#include "kube/async/loop.h"
#include "kube/async/task_group.h"
#include "kube/client.h"
#include "kube/event_recorder.h"
#include "provider/node_info.h"
#include "provider/node_startup.h"
#include "provider/node_status.h"

namespace burstlet::provider {

struct NodeControllerConfig {
  bool register_node = true;  // false: somebody else makes the Node
  bool recreate_node = true;
  std::chrono::milliseconds update_frequency{10'000};   // how often the status is looked at
  std::chrono::milliseconds report_frequency{300'000};  // how often it is sent when nothing changed
  std::int32_t lease_duration_seconds = 40;
  std::chrono::milliseconds lease_renew_interval{10'000};
  NodeStartup* startup = nullptr;  // told of the registration's steps; outlives the tasks
};

class NodeController {
 public:
  virtual ~NodeController() = default;
  /// Spawns the tasks: registration and status, lease, the watch of the own Node.
  virtual void Start() = 0;
  /// The tasks end; the owner joins the TaskGroup.
  virtual void Stop() = 0;
  /// The Node as the API server has it, null before it was seen. Labels and taints of admission come from here.
  virtual std::shared_ptr<const kube::Node> current() const = 0;
  /// Called once, on the loop, when the Node exists and has this agent's status.
  virtual void WhenRegistered(std::function<void()> callback) = 0;
  /// Something that the status shows has changed: looks at once.
  virtual void Refresh() = 0;
};

/// `input` is asked on the loop before each status. `events` may be null. All references outlive the tasks.
std::unique_ptr<NodeController> NewNodeController(kube::Client& client, kube::Loop& loop, kube::TaskGroup& tasks,
                                                  const NodeInfo& info, NodeControllerConfig config,
                                                  std::function<NodeConditionsInput()> input,
                                                  kube::EventRecorder* events);

}  // namespace burstlet::provider
