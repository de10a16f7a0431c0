// A container's environment: values, references, `$(VAR)` expansion, service links.
//
// Pure: objects come in through EnvSources. Failure: kFailedPrecondition with reason CreateContainerConfigError and the
// kubelet's words ("couldn't find key K in ConfigMap ns/name"). Source: kubelet_pods.go makeEnvironmentVariables,
// third_party/forked/golang/expansion.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "kube/api/core.h"
#include "kube/api/pod.h"
#include "provider/node_info.h"

namespace burstlet::provider {

/// (volume, path in it) -> an environment file's text, or why there is none.
using EnvFileTexts = std::map<std::pair<std::string, std::string>, absl::StatusOr<std::string>>;

struct EnvSources {
  /// By name in the pod's namespace; an error status says why it is not there.
  std::map<std::string, absl::StatusOr<std::shared_ptr<const kube::ConfigMap>>> config_maps;
  std::map<std::string, absl::StatusOr<std::shared_ptr<const kube::Secret>>> secrets;
  std::vector<std::shared_ptr<const kube::Service>> services;  // of the pod's namespace and the master's
  EnvFileTexts files;
  std::vector<std::string> pod_ips;
  std::vector<std::string> host_ips;
  std::map<std::string, std::string> image_env;  // unused by expansion, as in the kubelet
};

/// "NAME=value" in the kubelet's order. The image's own environment is not part of it (TranslateContainer adds it).
absl::StatusOr<std::vector<std::string>> MakeEnvironment(const kube::Pod& pod, const kube::Container& container,
                                                         const EnvSources& sources, const NodeInfo& node);

/// The objects a pod's containers refer to (env, envFrom), for fetching; `volumes` likewise.
struct ObjectNames {
  std::set<std::string> config_maps;
  std::set<std::string> secrets;
};
ObjectNames EnvironmentObjects(const kube::Pod& pod);
ObjectNames VolumeObjects(const kube::Pod& pod);

/// fieldRef values (pkg/fieldpath, pkg/kubelet): metadata.name, metadata.labels['k'], spec.nodeName, status.podIP, ...
absl::StatusOr<std::string> FieldValue(const kube::Pod& pod, const std::string& field_path,
                                       const std::vector<std::string>& pod_ips,
                                       const std::vector<std::string>& host_ips);
/// resourceFieldRef values, node allocatable where the container has no limit.
absl::StatusOr<std::string> ResourceFieldValue(const kube::Pod& pod, const std::string& container_name,
                                               const kube::ResourceFieldSelector& selector, const NodeInfo& node);

/// `$(NAME)` replaced from `values`; "$$(NAME)" stays literal; unknown names stay as they are.
std::string ExpandVariables(const std::string& text, const std::map<std::string, std::string>& values);

}  // namespace burstlet::provider
