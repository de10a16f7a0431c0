// Wardens with namespaces and network ready, waiting for a pod: what is slow about a sandbox (a network namespace, a
// process) has happened before it is asked for.
//
// A pooled warden has run nobody's code and is handed out once. Owner: the native driver. Threads: any; refilling is a
// nice thread's work and never a caller's, unless the pool is empty. A pooled warden ends by itself when the agent
// does. Failure of Take: a Status; the refilling thread logs and tries again at the next hand-out.
#pragma once

#include <condition_variable>
#include <deque>
#include <memory>
#include <mutex>
#include <string>
#include <thread>

#include "absl/status/statusor.h"
#include "sandbox/native/warden_client.h"
#include "sandbox/net/pod_network.h"
#include "sandbox/os/cgroup.h"
#include "sandbox/os/unique_fd.h"
#include "sandbox/spec.h"

namespace burstlet::sandbox {

/// A running warden, not yet set up.
struct WardenProcess {
  pid_t pid = 0;
  UniqueFd pidfd;
  std::unique_ptr<WardenClient> client;
  UniqueFd user_namespace;    // the pod's own, if it has one
  std::string network_owner;  // its name in the network's books; empty = none
  PodAddresses addresses;
};

class WardenPool {
 public:
  struct Config {
    std::string warden_path;
    unsigned size = 8;
  };
  /// Loads the warden's program into a sealed memfd: upgrades on disk don't touch running pods, and nothing a
  /// container can open is executed (CVE-2019-5736).
  static absl::StatusOr<std::unique_ptr<WardenPool>> Open(const Config& config, CgroupTree& cgroups,
                                                          PodNetwork* network);
  ~WardenPool();

  /// A warden with `flags` (warden::SpawnFlags); from the pool when they are the usual ones.
  /// With warden::kNewUser `ids` are the user namespace's; such a warden is made when it is asked for.
  absl::StatusOr<WardenProcess> Take(unsigned flags, const IdMap& ids = {});
  /// Starts filling; before Recover is done nothing is spawned.
  void Start();
  /// Ends a warden that was never set up.
  void Discard(WardenProcess warden);

 private:
  WardenPool(const Config& config, CgroupTree& cgroups, PodNetwork* network)
      : config_(config), cgroups_(cgroups), network_(network) {}
  absl::StatusOr<WardenProcess> Spawn(unsigned flags, const IdMap& ids);
  void Refill();

  const Config config_;
  CgroupTree& cgroups_;
  PodNetwork* const network_;
  UniqueFd program_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<WardenProcess> ready_;
  bool stopping_ = false;
  bool paused_ = false;  // the last spawn failed
  unsigned long counter_ = 0;
  std::thread thread_;
};

/// SIGKILL and a bounded wait for the end; reaps it when it is our child.
absl::Status KillAndWait(int pidfd);

}  // namespace burstlet::sandbox
