// Nodes.
//
// Plain data with the JSON spelling of the API reference, Kubernetes 1.37 (k8s.io/api/core/v1/types.go); the field
// lists at the end of each struct drive kube/json: decoding, encoding and the search for unknown fields.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "kube/api/meta.h"

namespace burstlet::kube {

struct Taint {
  std::string key;
  std::string value;
  std::string effect;
  std::optional<Time> timeAdded;
};
BURSTLET_API_FIELDS(Taint, (key, effect), value, timeAdded);

struct NodePodPreemptionPolicy {
  std::vector<std::string> disableResizePreemption;
};
BURSTLET_API_FIELDS(NodePodPreemptionPolicy, (), disableResizePreemption);

struct NodeSpec {
  std::string podCIDR;
  std::vector<std::string> podCIDRs;
  std::string providerID;
  bool unschedulable = false;
  std::vector<Taint> taints;
  std::optional<RawJson> configSource;
  std::string externalID;
  std::optional<NodePodPreemptionPolicy> podPreemptionPolicy;
};
BURSTLET_API_FIELDS(NodeSpec, (), podCIDR, podCIDRs, providerID, unschedulable, taints, configSource, externalID,
                    podPreemptionPolicy);

struct NodeCondition {
  std::string type;
  std::string status;
  Time lastHeartbeatTime;
  Time lastTransitionTime;
  std::string reason;
  std::string message;
};
BURSTLET_API_FIELDS(NodeCondition, (type, status), lastHeartbeatTime, lastTransitionTime, reason, message);

struct NodeAddress {
  std::string type;
  std::string address;
};
BURSTLET_API_FIELDS(NodeAddress, (type, address));

struct DaemonEndpoint {
  std::int32_t Port = 0;
};
BURSTLET_API_FIELDS(DaemonEndpoint, (Port));

struct NodeDaemonEndpoints {
  DaemonEndpoint kubeletEndpoint;
};
BURSTLET_API_FIELDS(NodeDaemonEndpoints, (), kubeletEndpoint);

struct NodeSwapStatus {
  std::optional<std::int64_t> capacity;
};
BURSTLET_API_FIELDS(NodeSwapStatus, (), capacity);

struct NodeSystemInfo {
  std::string machineID;
  std::string systemUUID;
  std::string bootID;
  std::string kernelVersion;
  std::string osImage;
  std::string containerRuntimeVersion;
  std::string kubeletVersion;
  std::string kubeProxyVersion;
  std::string operatingSystem;
  std::string architecture;
  std::optional<NodeSwapStatus> swap;
  std::optional<bool> runningInUserNamespace;
};
BURSTLET_API_FIELDS(NodeSystemInfo,
                    (machineID, systemUUID, bootID, kernelVersion, osImage, containerRuntimeVersion, kubeletVersion,
                     kubeProxyVersion, operatingSystem, architecture),
                    swap, runningInUserNamespace);

struct ContainerImage {
  std::vector<std::string> names;
  std::int64_t sizeBytes = 0;
};
BURSTLET_API_FIELDS(ContainerImage, (names), sizeBytes);

struct AttachedVolume {
  std::string name;
  std::string devicePath;
};
BURSTLET_API_FIELDS(AttachedVolume, (name, devicePath));

struct NodeRuntimeHandlerFeatures {
  std::optional<bool> recursiveReadOnlyMounts;
  std::optional<bool> userNamespaces;
};
BURSTLET_API_FIELDS(NodeRuntimeHandlerFeatures, (), recursiveReadOnlyMounts, userNamespaces);

struct NodeRuntimeHandler {
  std::string name;
  std::optional<NodeRuntimeHandlerFeatures> features;
};
BURSTLET_API_FIELDS(NodeRuntimeHandler, (name), features);

struct NodeFeatures {
  std::optional<bool> supplementalGroupsPolicy;
};
BURSTLET_API_FIELDS(NodeFeatures, (), supplementalGroupsPolicy);

struct NodeStatus {
  ResourceList capacity;
  ResourceList allocatable;
  std::string phase;
  std::vector<NodeCondition> conditions;
  std::vector<NodeAddress> addresses;
  NodeDaemonEndpoints daemonEndpoints;
  NodeSystemInfo nodeInfo;
  std::vector<ContainerImage> images;
  std::vector<std::string> volumesInUse;
  std::vector<AttachedVolume> volumesAttached;
  std::optional<RawJson> config;
  std::vector<NodeRuntimeHandler> runtimeHandlers;
  std::optional<NodeFeatures> features;
  std::vector<std::string> declaredFeatures;
};
BURSTLET_API_FIELDS(NodeStatus, (), capacity, allocatable, phase, conditions, addresses, daemonEndpoints, nodeInfo,
                    images, volumesInUse, volumesAttached, config, runtimeHandlers, features, declaredFeatures);

struct Node {
  std::string apiVersion;
  std::string kind;
  ObjectMeta metadata;
  NodeSpec spec;
  NodeStatus status;
};
BURSTLET_API_FIELDS(Node, (metadata), apiVersion, kind, spec, status);

}  // namespace burstlet::kube
