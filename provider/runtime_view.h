// What a pod's worker knows of its pod right now: the input of status generation, plain data.
//
// Owner: the PodWorker, on the loop. It is the node's own record (the kubelet's PodStatus of its runtime): every
// instance of a container since the sandbox was made, as far as it still matters (the newest two).
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "kube/api/pod.h"

namespace burstlet::provider {

enum class ContainerKind { kInit, kApp, kEphemeral };

/// One run of a container.
struct ContainerInstance {
  enum class Phase { kRunning, kExited };
  std::string id;  // 64 hex digits; shown as "burstlet://<id>"
  unsigned attempt = 0;
  Phase phase = Phase::kRunning;
  std::int64_t started_at = 0;   // unix nanos
  std::int64_t finished_at = 0;  // unix nanos
  int exit_code = 0;
  int signal = 0;
  bool oom_killed = false;
  std::string reason;    // set when it says more than the exit code: StartError, ContainerStatusUnknown, ...
  std::string message;   // termination message, or the start error
  std::string image;     // as resolved: "docker.io/library/nginx:1"
  std::string image_id;  // "docker.io/library/nginx@sha256:..."
  std::optional<kube::LinuxContainerUser> user;
  /// As applied: limits with the pod's where the container has none, requests of its own.
  kube::ResourceRequirements resources;
  int stop_signal = 15;
  /// The node ends (or has ended) this run to run the container anew, whatever its exit code and its policy say: for
  /// a changed image, a failed probe or RestartAllContainers, or because a resize asks for it.
  enum class Restart { kNone, kAsked, kForResize };
  Restart restart = Restart::kNone;
  bool restart_asked() const { return restart != Restart::kNone; }
  bool restart_for_resize() const { return restart == Restart::kForResize; }
  void AskRestart() {
    if (!restart_asked()) restart = Restart::kAsked;
  }
  /// Taken away by RestartAllContainers: it counts, but nothing of it is left in the sandbox.
  bool removed_for_restart = false;
  /// False for runs in a sandbox that is gone: they count as history, an init container runs again.
  bool in_current_sandbox = true;
};

/// Why a container does not run (yet).
struct WaitingInfo {
  std::string reason;
  std::string message;
};

/// One container of the spec.
struct ContainerView {
  ContainerKind kind = ContainerKind::kApp;
  std::vector<ContainerInstance> instances;  // newest first, at most two
  unsigned restart_count = 0;
  std::optional<WaitingInfo> waiting;  // wins over the default ContainerCreating / PodInitializing
  /// Probe results: absent = no such probe or no result yet.
  std::optional<bool> startup_passed;
  std::optional<bool> readiness_passed;
  std::string image;  // newest known, also before a first start
  std::string image_id;
};

/// What the pod's own cgroup was last set to, and the spec.resources that belong to it.
struct AppliedPodResources {
  kube::ResourceRequirements spec;
  std::int64_t cpuShares = 0;  // 0: not known
  std::int64_t cpuQuota = 0;   // microseconds per period; 0: no limit
  std::int64_t cpuPeriod = 0;
  std::int64_t memoryLimit = 0;  // bytes; 0: no limit
};
BURSTLET_API_FIELDS(AppliedPodResources, (), spec, cpuShares, cpuQuota, cpuPeriod, memoryLimit);

struct PodRuntimeView {
  /// By container name, over init, app and ephemeral containers.
  std::map<std::string, ContainerView> containers;
  bool sandbox_ready = false;        // a sandbox exists, with its network
  std::vector<std::string> pod_ips;  // empty with host network
  /// Every container has stopped and none will start again: the worker has ended the pod.
  bool terminated = false;
  /// The pod is being torn down (deleted, evicted, deadline): no container will be restarted.
  bool terminating = false;
  /// A container's rule has asked for RestartAllContainers, and the others are on their way down.
  bool restarting_all = false;
  /// Overrides the phase with Failed: admission, eviction, deadline.
  std::optional<WaitingInfo> failure;
  /// The highest metadata.generation that was admitted.
  std::int64_t observed_generation = 0;
  kube::Time start_time;  // when the node first saw the pod
  AppliedPodResources applied;
  /// PodResizePending and PodResizeInProgress, as long as they hold.
  std::optional<kube::PodCondition> resize_pending;
  std::optional<kube::PodCondition> resize_in_progress;
};

}  // namespace burstlet::provider
