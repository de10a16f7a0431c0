// Which ids of the host stand behind a pod's user namespace: one range per pod, never two pods the same.
//
// Owner: PodRuntime. Threads: any, a lock inside; calls write a small file. A pod's range is kept in its own directory
// (<root-dir>/pods/<uid>/userns, as the kubelet keeps it), written before anything runs with it, so that kill -9 at any
// moment gives no range away twice. It is free again when the pod's directory goes.
// Sources: pkg/kubelet/userns/userns_manager.go, kubelet_pods.go getKubeletMappings, KEP-127.
#pragma once

#include <cstdint>
#include <map>
#include <mutex>
#include <set>
#include <string>

#include "absl/status/statusor.h"
#include "kube/api/pod.h"
#include "provider/paths.h"
#include "sandbox/spec.h"

namespace burstlet::provider {

class UserNamespaces {
 public:
  /// What the node has to give: `count` ids from `first` on, `per_pod` for each pod.
  struct Range {
    std::uint32_t first = 0;
    std::uint32_t count = 0;
    std::uint32_t per_pod = 65536;
  };
  /// The ids of the user "kubelet" in /etc/subuid and /etc/subgid (the texts), which must be the same single range;
  /// without such a line all ids from `per_pod` to 2^31. Errors name what is wrong with them.
  static absl::StatusOr<Range> FindRange(const std::string& subuid, const std::string& subgid, std::uint32_t per_pod,
                                         std::int64_t max_pods);

  /// Reads what the pods on disk hold already. `start` spreads agents of one host over the range.
  UserNamespaces(Range range, AgentPaths paths, std::uint32_t start, bool by_default = false);

  /// hostUsers: false, or nothing said where `by_default` and the pod can have one: then it shares no namespace with
  /// the host and has nothing privileged.
  static bool Wants(const kube::Pod& pod, bool by_default);

  /// The pod's range, newly taken unless it has one. kResourceExhausted: none is left. Its directory must exist.
  absl::StatusOr<sandbox::IdMap> GetOrCreate(const std::string& uid);
  /// Wants, by this node's default.
  bool Wanted(const kube::Pod& pod) const { return Wants(pod, by_default_); }
  /// After the pod's directory has gone.
  void Release(const std::string& uid);

 private:
  absl::StatusOr<std::uint32_t> Take(const std::string& uid);

  const Range range_;
  const AgentPaths paths_;
  const bool by_default_;
  std::mutex mutex_;
  std::uint32_t next_ = 0;  // index to look at first
  std::set<std::uint32_t> used_;
  std::map<std::string, std::uint32_t> by_pod_;  // uid -> index
};

}  // namespace burstlet::provider
