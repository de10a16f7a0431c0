// Containers and init containers.
#include <set>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "provider/translate/resources.h"
#include "provider/validation.h"
#include "provider/validation_names.h"

namespace burstlet::provider::validation {
namespace {

constexpr std::int64_t kMostPort = 65535;
constexpr std::size_t kMostRules = 20;
constexpr std::size_t kMostExitCodes = 255;

void CheckPorts(Complaints& complaints, const std::string& path, const std::vector<kube::ContainerPort>& ports) {
  std::set<std::string> names;
  for (std::size_t i = 0; i < ports.size(); ++i) {
    const kube::ContainerPort& port = ports[i];
    const std::string at = Index(path, i);
    if (!port.name.empty()) {
      const std::vector<std::string> messages = PortName(port.name);
      complaints.InvalidEach(at + ".name", port.name, messages);
      if (messages.empty() && !names.insert(port.name).second) complaints.Duplicate(at + ".name", port.name);
    }
    if (port.containerPort == 0) {
      complaints.Required(at + ".containerPort");
    } else {
      complaints.InRange(at + ".containerPort", port.containerPort, 1, kMostPort);
    }
    if (port.hostPort != 0) complaints.InRange(at + ".hostPort", port.hostPort, 1, kMostPort);
    complaints.OneOf(at + ".protocol", port.protocol, {"SCTP", "TCP", "UDP"}, true);
  }
}

/// Each host port once among what runs together.
void CheckHostPort(Complaints& complaints, const std::string& path, const kube::Container& container,
                   std::set<std::string>& taken) {
  for (std::size_t i = 0; i < container.ports.size(); ++i) {
    const kube::ContainerPort& port = container.ports[i];
    if (port.hostPort == 0) continue;
    const std::string text = absl::StrCat(port.protocol, "/", port.hostIP, "/", port.hostPort);
    if (!taken.insert(text).second) complaints.Duplicate(Index(path + ".ports", i) + ".hostPort", text);
  }
}

void CheckResizePolicy(Complaints& complaints, const std::string& path, const kube::Container& container,
                       const kube::PodSpec& spec) {
  std::set<std::string> seen;
  for (std::size_t i = 0; i < container.resizePolicy.size(); ++i) {
    const kube::ContainerResizePolicy& policy = container.resizePolicy[i];
    if (!seen.insert(policy.resourceName).second) complaints.Duplicate(Index(path, i), policy.resourceName);
    complaints.OneOf(path, policy.resourceName, {"cpu", "memory"}, true);
    complaints.OneOf(path, policy.restartPolicy, {"NotRequired", "RestartContainer"}, true);
    if (spec.restartPolicy == "Never" && policy.restartPolicy != "NotRequired") {
      complaints.Invalid(path, policy.restartPolicy, "must be 'NotRequired' when pod `restartPolicy` is 'Never'");
    }
  }
}

void CheckRestart(Complaints& complaints, const std::string& path, const kube::Container& container) {
  const auto& rules = container.restartPolicyRules;
  if (container.restartPolicy) {
    complaints.OneOf(path + ".restartPolicy", *container.restartPolicy, {"Always", "Never", "OnFailure"});
  } else if (!rules.empty()) {
    complaints.Required(path + ".restartPolicy", "must specify restartPolicy when restart rules are used");
  }
  if (rules.size() > kMostRules) complaints.TooMany(path + ".restartPolicyRules", rules.size(), kMostRules);
  for (std::size_t i = 0; i < rules.size(); ++i) {
    const std::string at = Index(path + ".restartPolicyRules", i);
    complaints.OneOf(at + ".action", rules[i].action, {"Restart", "RestartAllContainers"});
    if (!rules[i].exitCodes) {
      complaints.Required(at + ".exitCodes", "must be specified");
      continue;
    }
    complaints.OneOf(at + ".exitCodes.operator", rules[i].exitCodes->operator_, {"In", "NotIn"});
    const std::size_t count = rules[i].exitCodes->values.size();
    if (count > kMostExitCodes) complaints.TooMany(at + ".exitCodes.values", count, kMostExitCodes);
  }
}

void CheckCommon(Complaints& complaints, const std::string& path, const kube::Container& container,
                 const kube::PodSpec& spec, const VolumeMap& volumes) {
  if (container.name.empty()) {
    complaints.Required(path + ".name");
  } else {
    complaints.InvalidEach(path + ".name", container.name, DnsLabel(container.name));
  }
  if (container.image.empty()) complaints.Required(path + ".image");
  complaints.OneOf(path + ".terminationMessagePolicy", container.terminationMessagePolicy,
                   {"File", "FallbackToLogsOnError"}, true);
  CheckPorts(complaints, path + ".ports", container.ports);
  CheckEnv(complaints, path + ".env", container.env);
  CheckEnvFrom(complaints, path + ".envFrom", container.envFrom);
  CheckVolumeMounts(complaints, path + ".volumeMounts", container, volumes);
  CheckVolumeDevices(complaints, path + ".volumeDevices", container, volumes);
  CheckPullPolicy(complaints, path + ".imagePullPolicy", container.imagePullPolicy);
  CheckResources(complaints, path + ".resources", container.resources, spec);
  CheckResizePolicy(complaints, path + ".resizePolicy", container, spec);
  if (container.securityContext) {
    CheckSecurityContext(complaints, path + ".securityContext", *container.securityContext, spec);
  }
  if (container.image.size() != absl::StripAsciiWhitespace(container.image).size()) {
    complaints.Invalid(path + ".image", container.image, "must not have leading or trailing whitespace");
  }
}

void CheckHooks(Complaints& complaints, const std::string& path, const kube::Container& container,
                const kube::PodSpec& spec) {
  if (container.lifecycle) CheckLifecycle(complaints, path + ".lifecycle", *container.lifecycle, spec);
  if (container.livenessProbe) {
    CheckProbe(complaints, path + ".livenessProbe", *container.livenessProbe, ProbeKind::kLiveness, spec);
  }
  if (container.readinessProbe) {
    CheckProbe(complaints, path + ".readinessProbe", *container.readinessProbe, ProbeKind::kReadiness, spec);
  }
  if (container.startupProbe) {
    CheckProbe(complaints, path + ".startupProbe", *container.startupProbe, ProbeKind::kStartup, spec);
  }
}

void ForbidHooks(Complaints& complaints, const std::string& path, const kube::Container& container) {
  const auto forbid = [&](const char* name, bool present) {
    if (present) {
      complaints.Forbidden(absl::StrCat(path, ".", name),
                           "may not be set for init containers without restartPolicy=Always");
    }
  };
  forbid("lifecycle", container.lifecycle.has_value());
  forbid("livenessProbe", container.livenessProbe.has_value());
  forbid("readinessProbe", container.readinessProbe.has_value());
  forbid("startupProbe", container.startupProbe.has_value());
}

void CheckInitContainer(Complaints& complaints, const std::string& path, const kube::Container& container,
                        const kube::PodSpec& spec) {
  // Init containers run one after the other: each may have the ports of another one.
  std::set<std::string> taken;
  Complaints ports;
  // The server's path has the index inside a list of one.
  CheckHostPort(ports, "spec.initContainers[0]", container, taken);
  complaints.Append(ports);
  if (IsSidecar(container)) {
    CheckHooks(complaints, path, container, spec);
    return;
  }
  ForbidHooks(complaints, path, container);
  for (std::size_t i = 0; i < container.resizePolicy.size(); ++i) {
    if (container.resizePolicy[i].restartPolicy != "RestartContainer") continue;
    complaints.Invalid(Index(path + ".resizePolicy", i) + ".restartPolicy", "RestartContainer",
                       "must not be set to 'RestartContainer' for non-sidecar initContainers");
  }
}

}  // namespace

void CheckPullPolicy(Complaints& complaints, const std::string& path, const std::string& policy) {
  complaints.OneOf(path, policy, {"Always", "IfNotPresent", "Never"}, true);
}

void CheckContainers(Complaints& complaints, const kube::PodSpec& spec, const VolumeMap& volumes) {
  if (spec.containers.empty()) complaints.Required("spec.containers");
  std::set<std::string> names;
  std::set<std::string> host_ports;
  for (std::size_t i = 0; i < spec.containers.size(); ++i) {
    const kube::Container& container = spec.containers[i];
    const std::string path = Index("spec.containers", i);
    CheckCommon(complaints, path, container, spec, volumes);
    if (!names.insert(container.name).second) complaints.Duplicate(path + ".name", container.name);
    CheckHooks(complaints, path, container, spec);
    CheckRestart(complaints, path, container);
    CheckHostPort(complaints, path, container, host_ports);
  }
  for (std::size_t i = 0; i < spec.initContainers.size(); ++i) {
    const kube::Container& container = spec.initContainers[i];
    const std::string path = Index("spec.initContainers", i);
    CheckCommon(complaints, path, container, spec, volumes);
    CheckRestart(complaints, path, container);
    if (names.count(container.name) != 0) complaints.Duplicate(path + ".name", container.name);
    // A missing name is told once, as long as no other container lacks one too.
    if (!container.name.empty()) names.insert(container.name);
    CheckInitContainer(complaints, path, container, spec);
  }
}

}  // namespace burstlet::provider::validation
