// A pod's resources as its source wants them against those that the node has allocated to it.
//
// The allocated pod is the desired one with other resources; it is what runs, is accounted and survives the agent (in
// the pod's record). Pure functions. Threads: any.
// Sources: KEP-1287, KEP-5419, pkg/kubelet/allocation/allocation_manager.go (UpdatePodFromAllocation),
// pkg/kubelet/events/resize.go.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "kube/api/pod.h"

namespace burstlet::provider {

/// Equal amounts, however they are written.
bool SameResources(const kube::ResourceList& a, const kube::ResourceList& b);
bool SameResources(const kube::ResourceRequirements& a, const kube::ResourceRequirements& b);
/// Of the pod and of all its init and app containers.
bool SameResources(const kube::Pod& a, const kube::Pod& b);

/// `desired` with the resources of `allocated`; the same object when they are equal.
std::shared_ptr<const kube::Pod> WithAllocation(std::shared_ptr<const kube::Pod> desired, const kube::Pod& allocated);

/// CPU or memory requests of the whole pod grow.
bool IncreasesRequests(const kube::Pod& allocated, const kube::Pod& desired);

/// "Pod resize started: {...}": what is wanted of each container, its generation and the error, as JSON.
std::string ResizeMessage(const std::string& what, const kube::Pod& pod, std::int64_t generation,
                          const std::string& error = "");

/// A resize that waits for its allocation.
struct PendingResize {
  std::string uid;
  bool increases = false;
  std::int64_t priority = 0;
  bool guaranteed = false;
  std::optional<kube::Time> since;  // absent: not judged yet
};
/// The order in which they get what becomes free: those that ask for no more, then by priority, Guaranteed first,
/// longest waiting first; those not judged yet last.
void SortPending(std::vector<PendingResize>& pending);

}  // namespace burstlet::provider
