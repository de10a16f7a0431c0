#include <algorithm>
#include <cctype>
#include <set>
#include <tuple>

#include "absl/strings/str_cat.h"
#include "metrics/status.h"
#include "provider/translate/bandwidth.h"
#include "provider/translate/names.h"
#include "provider/translate/resources.h"
#include "provider/translate/translate.h"

namespace burstlet::provider {
namespace {

// What containerd gives every pod with a network of its own, so that unprivileged programs bind port 80 and ping.
constexpr std::pair<const char*, const char*> kDefaultSysctls[] = {{"net.ipv4.ip_unprivileged_port_start", "0"},
                                                                   {"net.ipv4.ping_group_range", "0 2147483647"}};

std::vector<std::pair<std::string, std::string>> Sysctls(const kube::Pod& pod) {
  std::vector<std::pair<std::string, std::string>> result;
  if (!pod.spec.hostNetwork) result.assign(std::begin(kDefaultSysctls), std::end(kDefaultSysctls));
  if (!pod.spec.securityContext) return result;
  for (const auto& sysctl : pod.spec.securityContext->sysctls) {
    std::string name = sysctl.name;
    std::replace(name.begin(), name.end(), '/', '.');  // the API takes both spellings
    auto same = std::find_if(result.begin(), result.end(), [&](const auto& one) { return one.first == name; });
    if (same != result.end()) {
      same->second = sysctl.value;
    } else {
      result.emplace_back(name, sysctl.value);
    }
  }
  return result;
}

std::vector<sandbox::SandboxSpec::HostPort> HostPorts(const kube::Pod& pod) {
  std::vector<sandbox::SandboxSpec::HostPort> result;
  if (pod.spec.hostNetwork) return result;  // the container's port is the host's already
  std::set<std::tuple<std::string, std::string, std::int32_t, std::int32_t>> seen;
  auto add = [&](const kube::Container& container) {
    for (const auto& port : container.ports) {
      if (port.hostPort <= 0 || port.hostPort > 65535 || port.containerPort <= 0 || port.containerPort > 65535)
        continue;
      sandbox::SandboxSpec::HostPort entry;
      entry.protocol = port.protocol.empty() ? "tcp" : port.protocol;
      for (char& c : entry.protocol) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
      entry.host_ip = port.hostIP;
      entry.host_port = static_cast<std::uint16_t>(port.hostPort);
      entry.container_port = static_cast<std::uint16_t>(port.containerPort);
      if (seen.emplace(entry.protocol, entry.host_ip, port.hostPort, port.containerPort).second) {
        result.push_back(std::move(entry));
      }
    }
  };
  for (const auto& container : pod.spec.initContainers) {
    if (IsSidecar(container)) add(container);
  }
  for (const auto& container : pod.spec.containers) add(container);
  return result;
}

}  // namespace

absl::StatusOr<sandbox::SandboxSpec> TranslateSandbox(const kube::Pod& pod, const ReadyVolumes& volumes,
                                                      const NodeInfo& node, const TranslateOptions& /*options*/) {
  sandbox::SandboxSpec spec;
  spec.id = pod.metadata.uid;
  spec.log_name = kube::ObjectName(pod.metadata);
  ASSIGN_OR_RETURN(spec.hostname, KernelHostname(pod, node));
  spec.host_network = pod.spec.hostNetwork;
  spec.host_pid = pod.spec.hostPID;
  spec.host_ipc = pod.spec.hostIPC;
  spec.share_process_namespace = pod.spec.shareProcessNamespace.value_or(false) && !pod.spec.hostPID;
  // hostUsers: the ids are the caller's to give (UserNamespaces).
  spec.sysctls = Sysctls(pod);
  spec.qos = PodQos(pod);
  spec.resources = PodResources(pod, node);
  for (const auto& volume : pod.spec.volumes) {
    if (volume.image) continue;  // mounted by each container for itself
    auto ready = volumes.find(volume.name);
    if (ready == volumes.end()) {
      return ReasonError(absl::StatusCode::kFailedPrecondition, "CreatePodSandboxError",
                         absl::StrCat("volume \"", volume.name, "\" is not mounted"));
    }
    spec.volumes.push_back({volume.name, ready->second.source});
  }
  spec.host_ports = HostPorts(pod);
  spec.labels = {{"io.kubernetes.pod.name", pod.metadata.name},
                 {"io.kubernetes.pod.namespace", pod.metadata.namespace_},
                 {"io.kubernetes.pod.uid", pod.metadata.uid}};
  RETURN_IF_ERROR(TranslateBandwidth(pod, spec));
  return spec;
}

kube::Container AsContainer(const kube::EphemeralContainer& ephemeral) {
  kube::Container result;
  result.name = ephemeral.name;
  result.image = ephemeral.image;
  result.command = ephemeral.command;
  result.args = ephemeral.args;
  result.workingDir = ephemeral.workingDir;
  result.ports = ephemeral.ports;
  result.envFrom = ephemeral.envFrom;
  result.env = ephemeral.env;
  result.resources = ephemeral.resources;
  result.resizePolicy = ephemeral.resizePolicy;
  result.restartPolicy = ephemeral.restartPolicy;
  result.restartPolicyRules = ephemeral.restartPolicyRules;
  result.volumeMounts = ephemeral.volumeMounts;
  result.volumeDevices = ephemeral.volumeDevices;
  result.livenessProbe = ephemeral.livenessProbe;
  result.readinessProbe = ephemeral.readinessProbe;
  result.startupProbe = ephemeral.startupProbe;
  result.lifecycle = ephemeral.lifecycle;
  result.terminationMessagePath = ephemeral.terminationMessagePath;
  result.terminationMessagePolicy = ephemeral.terminationMessagePolicy;
  result.imagePullPolicy = ephemeral.imagePullPolicy;
  result.securityContext = ephemeral.securityContext;
  result.stdin = ephemeral.stdin;
  result.stdinOnce = ephemeral.stdinOnce;
  result.tty = ephemeral.tty;
  return result;
}

}  // namespace burstlet::provider
