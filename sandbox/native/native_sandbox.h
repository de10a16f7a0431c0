// One pod run by a warden: the agent's side of it.
//
// Owner: the pod's worker. Threads: see sandbox.h; a lock makes one caller at a time of many. What it knows of its
// containers comes from the warden's events, so a fresh object on a running warden (Adopt) is as good as the old one.
#pragma once

#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "sandbox/native/janitor.h"
#include "sandbox/native/launch_plan.h"
#include "sandbox/native/sandbox_state.h"
#include "sandbox/native/warden_client.h"
#include "sandbox/native/warden_pool.h"
#include "sandbox/os/cgroup.h"
#include "sandbox/paths.h"
#include "sandbox/sandbox.h"

namespace burstlet::sandbox {

/// What all sandboxes of a driver share.
struct NativeContext {
  Paths paths{""};
  std::string boot_id;
  std::unique_ptr<CgroupTree> cgroups;
  PodNetwork* network = nullptr;
  std::unique_ptr<Janitor> janitor;
  std::unique_ptr<WardenPool> pool;
};

class NativeSandbox : public Sandbox {
 public:
  static absl::StatusOr<std::unique_ptr<Sandbox>> Create(NativeContext& context, const SandboxSpec& spec);
  /// Takes over a running sandbox from its record. Any error: it is dead.
  static absl::StatusOr<std::unique_ptr<Sandbox>> Adopt(NativeContext& context, SandboxState state);
  /// Frees what a dead sandbox left.
  static void Sweep(NativeContext& context, const SandboxState& state);

  const std::string& id() const override { return state_.spec.id; }
  const SandboxNetwork& network() const override { return state_.network; }
  UnixNanos created_at() const override { return state_.created_at; }

  absl::StatusOr<ContainerState> Start(const ContainerSpec& spec) override;
  absl::Status Signal(const std::string& container_id, int signal) override;
  absl::Status Kill(const std::string& container_id) override;
  absl::StatusOr<ExecStreams> Exec(const std::string& container_id, const ExecSpec& spec) override;
  absl::StatusOr<ExecStreams> Attach(const std::string& container_id, bool want_stdin) override;
  absl::Status UpdateResources(const std::string& container_id, const Resources& resources) override;
  absl::Status UpdatePodResources(const Resources& resources) override;
  absl::Status ReopenLog(const std::string& container_id) override;
  absl::Status RemoveContainer(const std::string& container_id) override;
  absl::StatusOr<SandboxStats> Stats(StatsDetail detail) override;
  absl::StatusOr<int> OpenVolume(const std::string& name) override;
  absl::StatusOr<int> NetworkNamespace() override;
  int event_fd() const override { return events_.get(); }
  absl::StatusOr<std::vector<ContainerState>> ReadEvents() override;
  absl::StatusOr<std::vector<ContainerState>> Containers() override;
  absl::Status Remove() override;

 private:
  /// A container as the agent knows it.
  struct Entry {
    ContainerState state;
    UniqueFd pidfd;
    std::string log_path;
    std::string pid_target;  // the container whose pid namespace it is in; empty: as the sandbox says
  };

  /// Files that stats are read from, kept open. The interfaces' file holds the network namespace: closed by Remove.
  struct StatsSources {
    std::map<std::string, CgroupMeter> meters;  // by cgroup path
    UniqueFd net_dev;
  };

  NativeSandbox(NativeContext& context, SandboxState state) : context_(context), state_(std::move(state)) {}

  absl::Status SetUp();
  void ReleaseEndedQuotas();
  absl::Status SetUpNetwork(WardenProcess& process);
  /// A file of /proc/<warden>.
  absl::StatusOr<int> OpenOfWarden(const std::string& path, int flags);
  absl::Status SendSetup(int directory_fd);
  absl::StatusOr<std::vector<UniqueFd>> PrepareVolumes() const;
  /// Directories, root file system, user, cgroup: all a start needs before the warden is asked.
  absl::StatusOr<LaunchPlan> PrepareContainer(const ContainerSpec& spec, ContainerState& state);
  absl::Status PrepareCgroup(const ContainerSpec& spec, const std::string& cgroup);
  absl::StatusOr<UniqueFd> PrepareRootfs(const ContainerSpec& spec);
  absl::Status Launch(const ContainerSpec& spec, const LaunchPlan& plan);
  void CleanUp(const std::string& container_id);
  /// The host's id behind the pod's root.
  std::uint32_t IdBase() const {
    return state_.spec.user_namespace.empty() ? 0 : state_.spec.user_namespace[0].host_id;
  }
  bool OwnPidNamespace() const { return !state_.spec.host_pid && !state_.spec.share_process_namespace; }
  /// Its first process is the init of a pid namespace.
  bool LeadsPidNamespace(const Entry& entry) const { return OwnPidNamespace() && entry.pid_target.empty(); }
  /// A duplicate of the target's pidfd; kFailedPrecondition when that container does not run.
  absl::StatusOr<UniqueFd> PidTargetFd(const std::string& container_id);
  std::string PodCgroup() const;
  std::string ContainerCgroup(const std::string& container_id) const;
  Entry* Find(const std::string& container_id);
  void Take(const warden::Record& record, std::vector<std::string>& changed);
  absl::Status ReadRecords(std::vector<std::string>& changed);
  absl::Status AdoptContainer(const std::string& container_id, Entry& entry);
  CgroupMeter& Meter(const std::string& cgroup);
  std::vector<InterfaceStats> ReadInterfaces();
  std::vector<ContainerState> StatesOf(const std::vector<std::string>& ids);

  NativeContext& context_;
  SandboxState state_;
  std::mutex mutex_;
  std::unique_ptr<WardenClient> client_;
  UniqueFd events_;
  UniqueFd pidfd_;
  UniqueFd user_namespace_;  // invalid: the host's
  pid_t warden_pid_ = 0;
  bool dead_ = false;
  bool removed_ = false;
  std::map<std::string, Entry> containers_;
  StatsSources stats_sources_;
  std::vector<std::string> pending_;  // changes learned of while doing something else
};

}  // namespace burstlet::sandbox
