// The pod network by CNI plugins: what a cluster's own network (bridge, Calico, Cilium, ...) installs on the node.
//
// A pod's network is made when a sandbox is handed to it, because plugins want to know whose it is: its namespace is
// named below /run/netns, then each plugin of the list runs (ADD). DEL runs them backwards with the configuration and
// result of then. A DEL that fails is tried again until it succeeds, also after a restart.
//
// Owner: PodRuntime. Threads: any that may block for as long as the plugins do; different pods run side by side.
// Failure: a Status in the words of container runtimes; a failed AttachPod has been undone.
#pragma once

#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "absl/status/statusor.h"
#include "provider/cni/cni_plugin.h"
#include "provider/cni/cni_records.h"
#include "provider/cni/cni_watch.h"
#include "sandbox/net/pod_network.h"

namespace burstlet::provider {

struct CniNetworkOptions {
  std::string conf_dir = "/etc/cni/net.d";
  std::vector<std::string> bin_dirs = {"/opt/cni/bin"};
  std::string records_dir;             // of the agent
  std::string netns_prefix;            // path and begin of the names of the pods' namespaces
  std::vector<std::string> pod_cidrs;  // for plugins with the capability ipRanges; may be empty
  std::chrono::seconds plugin_time_limit{60};
  std::chrono::seconds retry{10};
  std::function<void()> changed;  // NotReady says something else; on another thread
};

class CniNetwork final : public sandbox::PodNetwork {
 public:
  static absl::StatusOr<std::unique_ptr<CniNetwork>> Open(CniNetworkOptions options);
  ~CniNetwork() override;

  /// Why pods can't have a network now, in the kubelet's words; "" when they can.
  std::string NotReady() const;

  bool made_ahead() const override { return false; }
  absl::StatusOr<sandbox::PodAddresses> AttachPod(int netns_fd, const sandbox::SandboxSpec& spec) override;
  absl::StatusOr<sandbox::PodAddresses> Attach(int netns_fd, const std::string& owner) override;
  absl::Status Rename(const std::string& owner, const std::string& new_owner) override;
  absl::Status Reserve(const std::string& owner, const sandbox::PodAddresses& addresses) override;
  absl::Status AddHostPorts(const std::string& owner,
                            const std::vector<sandbox::SandboxSpec::HostPort>& ports) override;
  absl::Status Detach(const std::string& owner) override;
  absl::Status SweepInterfaces() override;
  absl::Status Close() override;
  std::vector<std::string> gateway_addresses() const override { return {}; }

 private:
  explicit CniNetwork(CniNetworkOptions options);
  absl::Status Add(CniRecord& record) const;
  absl::Status Delete(const std::string& id);
  void Retry();
  absl::Status CollectGarbage(const CniNetworkConfig& config, const std::vector<std::string>& ids) const;

  const CniNetworkOptions options_;
  const CniRunner runner_;
  const CniRecords records_;
  std::unique_ptr<CniWatch> watch_;

  std::mutex mutex_;
  std::condition_variable wake_;
  std::set<std::string> held_;  // by living sandboxes
  std::set<std::string> owed_;  // whose DEL has failed
  bool stopping_ = false;
  std::thread thread_;
};

}  // namespace burstlet::provider
