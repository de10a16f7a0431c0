// The files that the node itself gives a pod: /etc/hosts, /etc/hostname, /etc/resolv.conf, the termination log.
//
// They lie in the pod's directory (provider/paths.h) and are bound into its containers. Blocking; pool threads.
// Source: kubelet_pods.go makeMounts, ensureHostsFile; kuberuntime_container.go makeMounts (termination log).
#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "kube/api/pod.h"
#include "provider/node_info.h"
#include "provider/paths.h"
#include "provider/translate/dns.h"
#include "provider/translate/translate.h"
#include "sandbox/spec.h"

namespace burstlet::provider {

/// The pod's directory.
absl::Status MakePodDirs(const AgentPaths& paths, const kube::Pod& pod);
/// The answer is what the pod is to be told of its DNS.
absl::StatusOr<std::vector<DnsWarning>> WritePodFiles(const AgentPaths& paths, const kube::Pod& pod,
                                                      const std::vector<std::string>& pod_ips, const HostNames& names,
                                                      const NodeInfo& node);
/// The container's log directory and its empty termination message file.
absl::Status PrepareContainerFiles(const AgentPaths& paths, const kube::Pod& pod, const std::string& container,
                                   unsigned attempt);
/// How they are mounted; what the container mounts itself at the same place wins.
std::vector<sandbox::MountSpec> PodFileMounts(const AgentPaths& paths, const kube::Pod& pod,
                                              const kube::Container& container, unsigned attempt);

}  // namespace burstlet::provider
