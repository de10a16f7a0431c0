// Containers as a pod specifies them.
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
#include "kube/api/volume.h"

namespace burstlet::kube {

struct ContainerPort {
  std::string name;
  std::int32_t hostPort = 0;
  std::int32_t containerPort = 0;
  std::string protocol;
  std::string hostIP;
};
BURSTLET_API_FIELDS(ContainerPort, (containerPort), name, hostPort, protocol, hostIP);

struct ConfigMapEnvSource {
  std::string name;
  std::optional<bool> optional;
};
BURSTLET_API_FIELDS(ConfigMapEnvSource, (), name, optional);

struct SecretEnvSource {
  std::string name;
  std::optional<bool> optional;
};
BURSTLET_API_FIELDS(SecretEnvSource, (), name, optional);

struct EnvFromSource {
  std::string prefix;
  std::optional<ConfigMapEnvSource> configMapRef;
  std::optional<SecretEnvSource> secretRef;
};
BURSTLET_API_FIELDS(EnvFromSource, (), prefix, configMapRef, secretRef);

struct ConfigMapKeySelector {
  std::string name;
  std::string key;
  std::optional<bool> optional;
};
BURSTLET_API_FIELDS(ConfigMapKeySelector, (key), name, optional);

struct SecretKeySelector {
  std::string name;
  std::string key;
  std::optional<bool> optional;
};
BURSTLET_API_FIELDS(SecretKeySelector, (key), name, optional);

struct FileKeySelector {
  std::string volumeName;
  std::string path;
  std::string key;
  std::optional<bool> optional;
};
BURSTLET_API_FIELDS(FileKeySelector, (volumeName, path, key), optional);

struct EnvVarSource {
  std::optional<ObjectFieldSelector> fieldRef;
  std::optional<ResourceFieldSelector> resourceFieldRef;
  std::optional<ConfigMapKeySelector> configMapKeyRef;
  std::optional<SecretKeySelector> secretKeyRef;
  std::optional<FileKeySelector> fileKeyRef;
};
BURSTLET_API_FIELDS(EnvVarSource, (), fieldRef, resourceFieldRef, configMapKeyRef, secretKeyRef, fileKeyRef);

struct EnvVar {
  std::string name;
  std::string value;
  std::optional<EnvVarSource> valueFrom;
};
BURSTLET_API_FIELDS(EnvVar, (name), value, valueFrom);

struct ResourceClaim {
  std::string name;
  std::string request;
};
BURSTLET_API_FIELDS(ResourceClaim, (name), request);

struct ResourceRequirements {
  ResourceList limits;
  ResourceList requests;
  std::vector<ResourceClaim> claims;
};
BURSTLET_API_FIELDS(ResourceRequirements, (), limits, requests, claims);

struct ContainerResizePolicy {
  std::string resourceName;
  std::string restartPolicy;
};
BURSTLET_API_FIELDS(ContainerResizePolicy, (resourceName, restartPolicy));

struct ContainerRestartRuleOnExitCodes {
  std::string operator_;
  std::vector<std::int32_t> values;
};
BURSTLET_API_FIELDS(ContainerRestartRuleOnExitCodes, (), operator_, values);

struct ContainerRestartRule {
  std::string action;
  std::optional<ContainerRestartRuleOnExitCodes> exitCodes;
};
BURSTLET_API_FIELDS(ContainerRestartRule, (), action, exitCodes);

struct ExecAction {
  std::vector<std::string> command;
};
BURSTLET_API_FIELDS(ExecAction, (), command);

struct HTTPHeader {
  std::string name;
  std::string value;
};
BURSTLET_API_FIELDS(HTTPHeader, (name, value));

struct HTTPGetAction {
  std::string path;
  IntOrString port;
  std::string host;
  std::string scheme;
  std::vector<HTTPHeader> httpHeaders;
  std::optional<std::string> protocol;
};
BURSTLET_API_FIELDS(HTTPGetAction, (port), path, host, scheme, httpHeaders, protocol);

struct TCPSocketAction {
  IntOrString port;
  std::string host;
};
BURSTLET_API_FIELDS(TCPSocketAction, (port), host);

struct GRPCAction {
  std::int32_t port = 0;
  std::optional<std::string> service;
  std::optional<std::string> mode;
};
BURSTLET_API_FIELDS(GRPCAction, (port, service), mode);

struct Probe {
  std::optional<ExecAction> exec;
  std::optional<HTTPGetAction> httpGet;
  std::optional<TCPSocketAction> tcpSocket;
  std::optional<GRPCAction> grpc;
  std::int32_t initialDelaySeconds = 0;
  std::int32_t timeoutSeconds = 0;
  std::int32_t periodSeconds = 0;
  std::int32_t successThreshold = 0;
  std::int32_t failureThreshold = 0;
  std::optional<std::int64_t> terminationGracePeriodSeconds;
};
BURSTLET_API_FIELDS(Probe, (), exec, httpGet, tcpSocket, grpc, initialDelaySeconds, timeoutSeconds, periodSeconds,
                    successThreshold, failureThreshold, terminationGracePeriodSeconds);

struct SleepAction {
  std::int64_t seconds = 0;
};
BURSTLET_API_FIELDS(SleepAction, (seconds));

struct LifecycleHandler {
  std::optional<ExecAction> exec;
  std::optional<HTTPGetAction> httpGet;
  std::optional<TCPSocketAction> tcpSocket;
  std::optional<SleepAction> sleep;
};
BURSTLET_API_FIELDS(LifecycleHandler, (), exec, httpGet, tcpSocket, sleep);

struct Lifecycle {
  std::optional<LifecycleHandler> postStart;
  std::optional<LifecycleHandler> preStop;
  std::optional<std::string> stopSignal;
};
BURSTLET_API_FIELDS(Lifecycle, (), postStart, preStop, stopSignal);

struct Capabilities {
  std::vector<std::string> add;
  std::vector<std::string> drop;
};
BURSTLET_API_FIELDS(Capabilities, (), add, drop);

struct SELinuxOptions {
  std::string user;
  std::string role;
  std::string type;
  std::string level;
};
BURSTLET_API_FIELDS(SELinuxOptions, (), user, role, type, level);

struct SeccompProfile {
  std::string type;
  std::optional<std::string> localhostProfile;
};
BURSTLET_API_FIELDS(SeccompProfile, (type), localhostProfile);

struct AppArmorProfile {
  std::string type;
  std::optional<std::string> localhostProfile;
};
BURSTLET_API_FIELDS(AppArmorProfile, (type), localhostProfile);

struct SecurityContext {
  std::optional<Capabilities> capabilities;
  std::optional<bool> privileged;
  std::optional<SELinuxOptions> seLinuxOptions;
  std::optional<RawJson> windowsOptions;
  std::optional<std::int64_t> runAsUser;
  std::optional<std::int64_t> runAsGroup;
  std::optional<bool> runAsNonRoot;
  std::optional<bool> readOnlyRootFilesystem;
  std::optional<bool> allowPrivilegeEscalation;
  std::optional<std::string> procMount;
  std::optional<SeccompProfile> seccompProfile;
  std::optional<AppArmorProfile> appArmorProfile;
};
BURSTLET_API_FIELDS(SecurityContext, (), capabilities, privileged, seLinuxOptions, windowsOptions, runAsUser,
                    runAsGroup, runAsNonRoot, readOnlyRootFilesystem, allowPrivilegeEscalation, procMount,
                    seccompProfile, appArmorProfile);

struct Container {
  std::string name;
  std::string image;
  std::vector<std::string> command;
  std::vector<std::string> args;
  std::string workingDir;
  std::vector<ContainerPort> ports;
  std::vector<EnvFromSource> envFrom;
  std::vector<EnvVar> env;
  ResourceRequirements resources;
  std::vector<ContainerResizePolicy> resizePolicy;
  std::optional<std::string> restartPolicy;
  std::vector<ContainerRestartRule> restartPolicyRules;
  std::vector<VolumeMount> volumeMounts;
  std::vector<VolumeDevice> volumeDevices;
  std::optional<Probe> livenessProbe;
  std::optional<Probe> readinessProbe;
  std::optional<Probe> startupProbe;
  std::optional<Lifecycle> lifecycle;
  std::string terminationMessagePath;
  std::string terminationMessagePolicy;
  std::string imagePullPolicy;
  std::optional<SecurityContext> securityContext;
  bool stdin = false;
  bool stdinOnce = false;
  bool tty = false;
};
BURSTLET_API_FIELDS(Container, (name), image, command, args, workingDir, ports, envFrom, env, resources, resizePolicy,
                    restartPolicy, restartPolicyRules, volumeMounts, volumeDevices, livenessProbe, readinessProbe,
                    startupProbe, lifecycle, terminationMessagePath, terminationMessagePolicy, imagePullPolicy,
                    securityContext, stdin, stdinOnce, tty);

struct EphemeralContainer {
  std::string name;
  std::string image;
  std::vector<std::string> command;
  std::vector<std::string> args;
  std::string workingDir;
  std::vector<ContainerPort> ports;
  std::vector<EnvFromSource> envFrom;
  std::vector<EnvVar> env;
  ResourceRequirements resources;
  std::vector<ContainerResizePolicy> resizePolicy;
  std::optional<std::string> restartPolicy;
  std::vector<ContainerRestartRule> restartPolicyRules;
  std::vector<VolumeMount> volumeMounts;
  std::vector<VolumeDevice> volumeDevices;
  std::optional<Probe> livenessProbe;
  std::optional<Probe> readinessProbe;
  std::optional<Probe> startupProbe;
  std::optional<Lifecycle> lifecycle;
  std::string terminationMessagePath;
  std::string terminationMessagePolicy;
  std::string imagePullPolicy;
  std::optional<SecurityContext> securityContext;
  bool stdin = false;
  bool stdinOnce = false;
  bool tty = false;
  std::string targetContainerName;
};
BURSTLET_API_FIELDS(EphemeralContainer, (name), image, command, args, workingDir, ports, envFrom, env, resources,
                    resizePolicy, restartPolicy, restartPolicyRules, volumeMounts, volumeDevices, livenessProbe,
                    readinessProbe, startupProbe, lifecycle, terminationMessagePath, terminationMessagePolicy,
                    imagePullPolicy, securityContext, stdin, stdinOnce, tty, targetContainerName);

}  // namespace burstlet::kube
