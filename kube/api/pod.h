// Pods: what is asked (PodSpec) and what is (PodStatus).
//
// Plain data with the JSON spelling of the API reference, Kubernetes 1.37 (k8s.io/api/core/v1/types.go); the field
// lists at the end of each struct drive kube/json: decoding, encoding and the search for unknown fields.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "kube/api/container.h"
#include "kube/api/meta.h"

namespace burstlet::kube {

struct Sysctl {
  std::string name;
  std::string value;
};
BURSTLET_API_FIELDS(Sysctl, (name, value));

struct PodSecurityContext {
  std::optional<SELinuxOptions> seLinuxOptions;
  std::optional<RawJson> windowsOptions;
  std::optional<std::int64_t> runAsUser;
  std::optional<std::int64_t> runAsGroup;
  std::optional<bool> runAsNonRoot;
  std::vector<std::int64_t> supplementalGroups;
  std::optional<std::string> supplementalGroupsPolicy;
  std::optional<std::int64_t> fsGroup;
  std::vector<Sysctl> sysctls;
  std::optional<std::string> fsGroupChangePolicy;
  std::optional<SeccompProfile> seccompProfile;
  std::optional<AppArmorProfile> appArmorProfile;
  std::optional<std::string> seLinuxChangePolicy;
};
BURSTLET_API_FIELDS(PodSecurityContext, (), seLinuxOptions, windowsOptions, runAsUser, runAsGroup, runAsNonRoot,
                    supplementalGroups, supplementalGroupsPolicy, fsGroup, sysctls, fsGroupChangePolicy, seccompProfile,
                    appArmorProfile, seLinuxChangePolicy);

struct Toleration {
  std::string key;
  std::string operator_;
  std::string value;
  std::string effect;
  std::optional<std::int64_t> tolerationSeconds;
};
BURSTLET_API_FIELDS(Toleration, (), key, operator_, value, effect, tolerationSeconds);

struct HostAlias {
  std::string ip;
  std::vector<std::string> hostnames;
};
BURSTLET_API_FIELDS(HostAlias, (ip), hostnames);

struct PodDNSConfigOption {
  std::string name;
  std::optional<std::string> value;
};
BURSTLET_API_FIELDS(PodDNSConfigOption, (), name, value);

struct PodDNSConfig {
  std::vector<std::string> nameservers;
  std::vector<std::string> searches;
  std::vector<PodDNSConfigOption> options;
};
BURSTLET_API_FIELDS(PodDNSConfig, (), nameservers, searches, options);

struct PodReadinessGate {
  std::string conditionType;
};
BURSTLET_API_FIELDS(PodReadinessGate, (conditionType));

struct PodOS {
  std::string name;
};
BURSTLET_API_FIELDS(PodOS, (name));

struct PodSchedulingGate {
  std::string name;
};
BURSTLET_API_FIELDS(PodSchedulingGate, (name));

struct PodResourceClaim {
  std::string name;
  std::optional<std::string> resourceClaimName;
  std::optional<std::string> resourceClaimTemplateName;
};
BURSTLET_API_FIELDS(PodResourceClaim, (name), resourceClaimName, resourceClaimTemplateName);

struct EvictionResponder {
  std::string name;
  std::optional<std::int32_t> priority;
};
BURSTLET_API_FIELDS(EvictionResponder, (name, priority));

struct PodSpec {
  std::vector<Volume> volumes;
  std::vector<Container> initContainers;
  std::vector<Container> containers;
  std::vector<EphemeralContainer> ephemeralContainers;
  std::string restartPolicy;
  std::optional<std::int64_t> terminationGracePeriodSeconds;
  std::optional<std::int64_t> activeDeadlineSeconds;
  std::string dnsPolicy;
  std::map<std::string, std::string> nodeSelector;
  std::string serviceAccountName;
  std::string serviceAccount;
  std::optional<bool> automountServiceAccountToken;
  std::string nodeName;
  bool hostNetwork = false;
  bool hostPID = false;
  bool hostIPC = false;
  std::optional<bool> shareProcessNamespace;
  std::optional<PodSecurityContext> securityContext;
  std::vector<LocalObjectReference> imagePullSecrets;
  std::string hostname;
  std::string subdomain;
  std::optional<RawJson> affinity;
  std::string schedulerName;
  std::vector<Toleration> tolerations;
  std::vector<HostAlias> hostAliases;
  std::string priorityClassName;
  std::optional<std::int32_t> priority;
  std::optional<PodDNSConfig> dnsConfig;
  std::vector<PodReadinessGate> readinessGates;
  std::optional<std::string> runtimeClassName;
  std::optional<bool> enableServiceLinks;
  std::optional<std::string> preemptionPolicy;
  ResourceList overhead;
  std::vector<RawJson> topologySpreadConstraints;
  std::optional<bool> setHostnameAsFQDN;
  std::optional<PodOS> os;
  std::optional<bool> hostUsers;
  std::vector<PodSchedulingGate> schedulingGates;
  std::vector<PodResourceClaim> resourceClaims;
  std::optional<ResourceRequirements> resources;
  std::optional<std::string> hostnameOverride;
  std::optional<RawJson> schedulingGroup;
  std::vector<EvictionResponder> evictionResponders;
};
BURSTLET_API_FIELDS(PodSpec, (containers), volumes, initContainers, ephemeralContainers, restartPolicy,
                    terminationGracePeriodSeconds, activeDeadlineSeconds, dnsPolicy, nodeSelector, serviceAccountName,
                    serviceAccount, automountServiceAccountToken, nodeName, hostNetwork, hostPID, hostIPC,
                    shareProcessNamespace, securityContext, imagePullSecrets, hostname, subdomain, affinity,
                    schedulerName, tolerations, hostAliases, priorityClassName, priority, dnsConfig, readinessGates,
                    runtimeClassName, enableServiceLinks, preemptionPolicy, overhead, topologySpreadConstraints,
                    setHostnameAsFQDN, os, hostUsers, schedulingGates, resourceClaims, resources, hostnameOverride,
                    schedulingGroup, evictionResponders);

struct PodCondition {
  std::string type;
  std::int64_t observedGeneration = 0;
  std::string status;
  Time lastProbeTime;
  Time lastTransitionTime;
  std::string reason;
  std::string message;
};
BURSTLET_API_FIELDS(PodCondition, (type, status), observedGeneration, lastProbeTime, lastTransitionTime, reason,
                    message);

struct HostIP {
  std::string ip;
};
BURSTLET_API_FIELDS(HostIP, (ip));

struct PodIP {
  std::string ip;
};
BURSTLET_API_FIELDS(PodIP, (ip));

struct ContainerStateWaiting {
  std::string reason;
  std::string message;
};
BURSTLET_API_FIELDS(ContainerStateWaiting, (), reason, message);

struct ContainerStateRunning {
  Time startedAt;
};
BURSTLET_API_FIELDS(ContainerStateRunning, (), startedAt);

struct ContainerStateTerminated {
  std::int32_t exitCode = 0;
  std::int32_t signal = 0;
  std::string reason;
  std::string message;
  Time startedAt;
  Time finishedAt;
  std::string containerID;
};
BURSTLET_API_FIELDS(ContainerStateTerminated, (exitCode), signal, reason, message, startedAt, finishedAt, containerID);

struct ContainerState {
  std::optional<ContainerStateWaiting> waiting;
  std::optional<ContainerStateRunning> running;
  std::optional<ContainerStateTerminated> terminated;
};
BURSTLET_API_FIELDS(ContainerState, (), waiting, running, terminated);

struct ImageVolumeStatus {
  std::string imageRef;
};
BURSTLET_API_FIELDS(ImageVolumeStatus, (), imageRef);

struct VolumeStatus {
  std::optional<ImageVolumeStatus> image;
};
BURSTLET_API_FIELDS(VolumeStatus, (), image);

struct VolumeMountStatus {
  std::string name;
  std::string mountPath;
  bool readOnly = false;
  std::optional<std::string> recursiveReadOnly;
  std::optional<VolumeStatus> volumeStatus;
};
BURSTLET_API_FIELDS(VolumeMountStatus, (name, mountPath), readOnly, recursiveReadOnly, volumeStatus);

struct LinuxContainerUser {
  std::int64_t uid = 0;
  std::int64_t gid = 0;
  std::vector<std::int64_t> supplementalGroups;
};
BURSTLET_API_FIELDS(LinuxContainerUser, (uid, gid), supplementalGroups);

struct ContainerUser {
  std::optional<LinuxContainerUser> linux;
};
BURSTLET_API_FIELDS(ContainerUser, (), linux);

struct ResourceHealth {
  std::string resourceID;
  std::string health;
  std::optional<std::string> message;
};
BURSTLET_API_FIELDS(ResourceHealth, (resourceID), health, message);

struct ResourceStatus {
  std::string name;
  std::vector<ResourceHealth> resources;
};
BURSTLET_API_FIELDS(ResourceStatus, (name), resources);

struct ContainerStatus {
  std::string name;
  ContainerState state;
  ContainerState lastState;
  bool ready = false;
  std::int32_t restartCount = 0;
  std::string image;
  std::string imageID;
  std::string containerID;
  std::optional<bool> started;
  ResourceList allocatedResources;
  std::optional<ResourceRequirements> resources;
  std::vector<VolumeMountStatus> volumeMounts;
  std::optional<ContainerUser> user;
  std::vector<ResourceStatus> allocatedResourcesStatus;
  std::optional<std::string> stopSignal;
};
BURSTLET_API_FIELDS(ContainerStatus, (name, ready, restartCount, image, imageID), state, lastState, containerID,
                    started, allocatedResources, resources, volumeMounts, user, allocatedResourcesStatus, stopSignal);

struct NodeAllocatableMappedResources {
  std::string name;
  std::optional<Quantity> quantity;
};
BURSTLET_API_FIELDS(NodeAllocatableMappedResources, (name, quantity));

struct NodeAllocatableOverheadResources {
  std::string name;
  std::optional<Quantity> perPod;
  std::optional<Quantity> perContainer;
};
BURSTLET_API_FIELDS(NodeAllocatableOverheadResources, (name), perPod, perContainer);

struct NodeAllocatableResourceClaimStatus {
  std::string resourceClaimName;
  std::vector<std::string> containers;
  std::vector<NodeAllocatableMappedResources> mapping;
  std::vector<NodeAllocatableOverheadResources> overhead;
};
BURSTLET_API_FIELDS(NodeAllocatableResourceClaimStatus, (resourceClaimName), containers, mapping, overhead);

struct VolumeHealthCondition {
  std::string status;
  std::string reason;
  std::string message;
};
BURSTLET_API_FIELDS(VolumeHealthCondition, (status, reason), message);

struct PodVolumeHealth {
  std::string name;
  std::vector<VolumeHealthCondition> healthConditions;
  Time lastTransitionTime;
};
BURSTLET_API_FIELDS(PodVolumeHealth, (name), healthConditions, lastTransitionTime);

struct PodStatus {
  std::int64_t observedGeneration = 0;
  std::string phase;
  std::vector<PodCondition> conditions;
  std::string message;
  std::string reason;
  std::string nominatedNodeName;
  std::string hostIP;
  std::vector<HostIP> hostIPs;
  std::string podIP;
  std::vector<PodIP> podIPs;
  std::optional<Time> startTime;
  std::vector<ContainerStatus> initContainerStatuses;
  std::vector<ContainerStatus> containerStatuses;
  std::string qosClass;
  std::vector<ContainerStatus> ephemeralContainerStatuses;
  std::string resize;
  std::vector<RawJson> resourceClaimStatuses;
  std::optional<RawJson> extendedResourceClaimStatus;
  ResourceList allocatedResources;
  std::optional<ResourceRequirements> resources;
  std::vector<NodeAllocatableResourceClaimStatus> nodeAllocatableResourceClaimStatuses;
  std::vector<PodVolumeHealth> volumeHealth;
};
BURSTLET_API_FIELDS(PodStatus, (), observedGeneration, phase, conditions, message, reason, nominatedNodeName, hostIP,
                    hostIPs, podIP, podIPs, startTime, initContainerStatuses, containerStatuses, qosClass,
                    ephemeralContainerStatuses, resize, resourceClaimStatuses, extendedResourceClaimStatus,
                    allocatedResources, resources, nodeAllocatableResourceClaimStatuses, volumeHealth);

struct Pod {
  std::string apiVersion;
  std::string kind;
  ObjectMeta metadata;
  PodSpec spec;
  PodStatus status;
};
BURSTLET_API_FIELDS(Pod, (metadata), apiVersion, kind, spec, status);

}  // namespace burstlet::kube
