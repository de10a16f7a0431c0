// Pod -> SandboxSpec and ContainerSpec: what Kubernetes' words mean for a Linux sandbox. Pure, golden-tested.
//
// No I/O: images, volumes, environment and files come in ready. Failure: Status with the kubelet's reason
// (CreateContainerConfigError) and a message that names the field. Threads: any.
// Sources: pkg/kubelet/kuberuntime/kuberuntime_container_linux.go, kuberuntime_sandbox_linux.go, security_context.go,
// pkg/kubelet/cm (cgroup values), containerd's CRI defaults for masked paths and capabilities.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "cache/image_store.h"
#include "kube/api/pod.h"
#include "provider/node_info.h"
#include "provider/runtime_view.h"
#include "sandbox/spec.h"

namespace burstlet::provider {

/// A volume made ready by the VolumeManager.
struct ReadyVolume {
  sandbox::VolumeSource source;
  bool read_only = false;  // forced (configMap, secret, image, ...)
  /// Group that owns the volume (fsGroup), for information.
  std::optional<std::int64_t> fs_group;
};

/// Volume name -> where it is.
using ReadyVolumes = std::map<std::string, ReadyVolume>;

/// Image volumes of one container: volume name -> the image's layers, topmost first.
using ImageVolumes = std::map<std::string, std::vector<std::string>>;

struct TranslateOptions {
  bool seccomp_default = true;  // RuntimeDefault where the pod says nothing
  std::string seccomp_profile_root;
  /// Name as in localhostProfile -> the file's text or why there is none, read by the caller.
  std::map<std::string, absl::StatusOr<std::string>> localhost_profiles;
  bool allow_privilege_escalation_default = true;  // podDefaults, where the pod says nothing
  /// AppArmor's profile of containers that name none or RuntimeDefault; empty: the node has none.
  std::string app_armor_default;
};

/// The pod's place: names, namespaces, cgroup of the pod, volumes, host ports, sysctls.
absl::StatusOr<sandbox::SandboxSpec> TranslateSandbox(const kube::Pod& pod, const ReadyVolumes& volumes,
                                                      const NodeInfo& node, const TranslateOptions& options);

/// Everything that one start of one container depends on.
struct ContainerInput {
  const kube::Container& container;  // ephemeral containers come as their common part
  ContainerKind kind = ContainerKind::kApp;
  std::string id;  // chosen by the worker
  unsigned attempt = 0;
  const cache::Image& image;
  std::vector<std::string> env;           // from MakeEnvironment
  std::vector<sandbox::MountSpec> files;  // /etc/hosts, /etc/hostname, /etc/resolv.conf, termination log
  std::string log_path;
  ImageVolumes image_volumes = {};
};

absl::StatusOr<sandbox::ContainerSpec> TranslateContainer(const kube::Pod& pod, const ContainerInput& input,
                                                          const NodeInfo& node, const TranslateOptions& options);

/// cgroup values of one container / the pod (also for in-place resize later). Source: pkg/kubelet/cm/helpers_linux.go.
sandbox::Resources ContainerResources(const kube::Pod& pod, const kube::Container& container, const NodeInfo& node);
sandbox::Resources PodResources(const kube::Pod& pod, const NodeInfo& node);

/// Names and contents of the pod's own files.
struct HostNames {
  std::string hostname;  // at most 63 characters
  std::string domain;    // "sub.ns.svc.cluster.local" or ""
};
absl::StatusOr<HostNames> PodHostNames(const kube::Pod& pod, const std::string& cluster_domain);
std::string HostsFile(const kube::Pod& pod, const std::vector<std::string>& pod_ips, const HostNames& names,
                      const std::string& host_hosts_file);
/// dnsPolicy and dnsConfig with the kubelet's limits (pkg/kubelet/network/dns/dns.go).
absl::StatusOr<std::string> ResolvConf(const kube::Pod& pod, const NodeInfo& node,
                                       const std::string& host_resolv_conf_text);

/// The same container as an ordinary one.
kube::Container AsContainer(const kube::EphemeralContainer& ephemeral);

}  // namespace burstlet::provider
