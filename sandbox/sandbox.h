// A sandbox is the place where one pod runs: namespaces, cgroup, network and containers, or a VM.
//
// Owner: the pod's PodWorker. Threads: one caller at a time per sandbox, any thread; calls block for the few
// milliseconds the kernel needs and never for a container, a client or the network (stopping with grace is the
// caller's: Signal, an exit event, a timer). Failure: a Status with the kubelet's reason (metrics/status.h). After
// any error Remove still works, and may be called again at any time.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "sandbox/spec.h"
#include "sandbox/stats.h"

namespace burstlet::sandbox {

/// Wall clock, nanoseconds since 1970.
using UnixNanos = std::int64_t;

enum class ContainerPhase { kCreated, kRunning, kExited };

/// What is known of one container, now or when it ended.
struct ContainerState {
  std::string id;
  std::string name;
  unsigned attempt = 0;
  ContainerPhase phase = ContainerPhase::kCreated;
  pid_t pid = 0;  // in the agent's pid namespace; 0 when not running
  UnixNanos started_at = 0;
  UnixNanos finished_at = 0;
  int exit_code = 0;  // 128 + signal when killed by one
  int signal = 0;
  bool oom_killed = false;
  std::int64_t uid = 0;  // as resolved at start
  std::int64_t gid = 0;
  std::vector<std::int64_t> groups;
};

struct SandboxNetwork {
  std::vector<std::string> addresses;  // primary family first; empty with host network
  std::string host_interface;
};

/// How an exec'ed command ended.
struct ExecExit {
  int exit_code = 0;
  int signal = 0;
};

struct ExecSpec {
  std::vector<std::string> args;
  std::vector<std::string> env;  // empty = the container's own
  bool tty = false;
  bool want_stdin = false;
  bool want_stdout = true;
  bool want_stderr = true;  // ignored with a tty
  std::uint16_t columns = 0;
  std::uint16_t rows = 0;
};

/// A running command's ends, owned by the receiver (plain descriptors, CLOEXEC, non-blocking; -1 = not wanted).
/// With a tty `master` carries both directions and window sizes (TIOCSWINSZ). `exit_fd` becomes readable when the
/// command has ended and then yields exactly one ExecExit; end-of-file without one means that the sandbox is gone.
struct ExecStreams {
  int stdin_fd = -1;
  int stdout_fd = -1;
  int stderr_fd = -1;
  int master_fd = -1;
  int exit_fd = -1;
  pid_t pid = 0;
};

class Sandbox {
 public:
  virtual ~Sandbox() = default;

  virtual const std::string& id() const = 0;
  virtual const SandboxNetwork& network() const = 0;
  virtual UnixNanos created_at() const = 0;

  /// Starts one container and returns once its program has been exec'ed (its state is then kRunning, or already
  /// kExited for a short one). kNotFound / kPermissionDenied with reason StartError: no such program, not
  /// executable; reason CreateContainerError: rootfs, mount or user could not be set up; RunContainerError: the
  /// rest. A failed start leaves nothing of the container behind but its log.
  virtual absl::StatusOr<ContainerState> Start(const ContainerSpec& spec) = 0;
  /// To the container's first process. kNotFound: it has ended. kUnavailable: sent, but the program has no handler for
  /// it yet, and the kernel drops such signals for the first process of a pid namespace: worth another try soon.
  virtual absl::Status Signal(const std::string& container_id, int signal) = 0;
  /// SIGKILL to every process of the container (cgroup.kill, or the pid namespace's init on v1).
  virtual absl::Status Kill(const std::string& container_id) = 0;
  virtual absl::StatusOr<ExecStreams> Exec(const std::string& container_id, const ExecSpec& spec) = 0;
  /// Attaches to the container's own streams: stdout/stderr are copies from now on, stdin is the container's.
  virtual absl::StatusOr<ExecStreams> Attach(const std::string& container_id, bool want_stdin) = 0;
  virtual absl::Status UpdateResources(const std::string& container_id, const Resources& resources) = 0;
  virtual absl::Status UpdatePodResources(const Resources& resources) = 0;
  /// The log file moves to a new one at its path: call after renaming the old file (log rotation).
  virtual absl::Status ReopenLog(const std::string& container_id) = 0;
  /// Forgets an exited container and frees what it held (cgroup, writable layer).
  virtual absl::Status RemoveContainer(const std::string& container_id) = 0;
  /// What the pod and its running containers have used. kNotFound: the sandbox is gone.
  virtual absl::StatusOr<SandboxStats> Stats(StatsDetail detail) = 0;
  /// The root of one of the pod's volumes, as its containers have it (O_PATH; owned by the caller). kNotFound: no such
  /// volume. What lies below is the containers' doing: resolve with RESOLVE_IN_ROOT or RESOLVE_BENEATH.
  virtual absl::StatusOr<int> OpenVolume(const std::string& name) = 0;
  /// A descriptor of the pod's network namespace (for port-forward); owned by the caller.
  virtual absl::StatusOr<int> NetworkNamespace() = 0;

  /// Readable (level) when ReadEvents has something, or when the sandbox has died. Open until destruction.
  virtual int event_fd() const = 0;
  /// Containers whose state changed, newest state each, without blocking. An error means that the sandbox died:
  /// every container is gone (137, ContainerStatusUnknown).
  virtual absl::StatusOr<std::vector<ContainerState>> ReadEvents() = 0;
  /// All containers of the sandbox that have not been removed.
  virtual absl::StatusOr<std::vector<ContainerState>> Containers() = 0;

  /// Kills what is left and frees everything: processes, cgroups, mounts, address, directories.
  virtual absl::Status Remove() = 0;
};

/// What a restarted agent finds. `sandbox` is null when the sandbox died meanwhile (then `spec` tells what it was and
/// its remains have been swept).
struct RecoveredSandbox {
  SandboxSpec spec;
  std::unique_ptr<Sandbox> sandbox;
};

/// Makes sandboxes of one kind. Owner: node_agent. Threads: any.
class SandboxDriver {
 public:
  virtual ~SandboxDriver() = default;
  /// Namespaces, cgroups, network and volumes are ready on return; no container runs yet.
  virtual absl::StatusOr<std::unique_ptr<Sandbox>> Create(const SandboxSpec& spec) = 0;
  /// Adopts what outlived the agent; sweeps what did not (other boot id, dead wardens, half-made directories).
  /// Called once, before the first Create.
  virtual absl::StatusOr<std::vector<RecoveredSandbox>> Recover() = 0;
  /// What all its sandboxes together have used, where one cgroup holds them: only `cgroup` and `usage` are set.
  virtual absl::StatusOr<ContainerStats> TotalUsage(StatsDetail detail) {
    (void)detail;
    return absl::UnimplementedError("this driver has no cgroup of its own");
  }
};

}  // namespace burstlet::sandbox
