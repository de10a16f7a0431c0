// ValidatePod: the parts in the server's order, and what is the pod's own.
#include "provider/validation.h"

#include <limits>
#include <set>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "provider/defaults.h"
#include "provider/validation_names.h"

namespace burstlet::provider {
namespace validation {
namespace {

constexpr std::size_t kMostAnnotationBytes = 256 * 1024;

void CheckLabels(Complaints& complaints, const std::string& path, const std::map<std::string, std::string>& labels) {
  for (const auto& [key, value] : labels) {
    complaints.InvalidEach(path, key, QualifiedName(key));
    complaints.InvalidEach(path, value, LabelValue(value));
  }
}

void CheckMetadata(Complaints& complaints, const kube::ObjectMeta& metadata) {
  if (metadata.name.empty()) {
    complaints.Required("metadata.name", "name or generateName is required");
  } else {
    complaints.InvalidEach("metadata.name", metadata.name, DnsSubdomain(metadata.name));
  }
  if (metadata.namespace_.empty()) {
    complaints.Required("metadata.namespace");
  } else {
    complaints.InvalidEach("metadata.namespace", metadata.namespace_, DnsLabel(metadata.namespace_));
  }
  CheckLabels(complaints, "metadata.labels", metadata.labels);
  std::size_t bytes = 0;
  for (const auto& [key, value] : metadata.annotations) {
    complaints.InvalidEach("metadata.annotations", key, QualifiedName(absl::AsciiStrToLower(key)));
    bytes += key.size() + value.size();
  }
  if (bytes > kMostAnnotationBytes) complaints.TooLong("metadata.annotations", kMostAnnotationBytes);
}

void CheckTolerationValue(Complaints& complaints, const std::string& path, const kube::Toleration& toleration) {
  const std::string at = path + ".operator";
  if (toleration.operator_.empty() || toleration.operator_ == "Equal") {
    const std::vector<std::string> messages = LabelValue(toleration.value);
    if (!messages.empty()) complaints.Invalid(at, toleration.value, absl::StrJoin(messages, ";"));
  } else if (toleration.operator_ == "Exists") {
    if (!toleration.value.empty()) {
      complaints.Invalid(at, toleration.value, "value must be empty when `operator` is 'Exists'");
    }
  } else if (toleration.operator_ == "Lt" || toleration.operator_ == "Gt") {
    // TaintTolerationComparisonOperators is off in 1.37.
    complaints.NotSupported(at, toleration.operator_, {"Equal", "Exists", "Lt", "Gt"});
  } else {
    complaints.NotSupported(at, toleration.operator_, {"Equal", "Exists"});
  }
}

void CheckTolerations(Complaints& complaints, const std::vector<kube::Toleration>& tolerations) {
  for (std::size_t i = 0; i < tolerations.size(); ++i) {
    const kube::Toleration& toleration = tolerations[i];
    const std::string path = Index("spec.tolerations", i);
    if (!toleration.key.empty()) complaints.InvalidEach(path + ".key", toleration.key, QualifiedName(toleration.key));
    if (toleration.key.empty() && toleration.operator_ != "Exists") {
      complaints.Invalid(path + ".operator", toleration.operator_,
                         "operator must be Exists when `key` is empty, which means \"match all values and all keys\"");
    }
    if (toleration.tolerationSeconds && toleration.effect != "NoExecute") {
      complaints.Invalid(path + ".effect", toleration.effect,
                         "effect must be 'NoExecute' when `tolerationSeconds` is set");
    }
    CheckTolerationValue(complaints, path, toleration);
    if (!toleration.effect.empty()) {
      complaints.OneOf(path + ".effect", toleration.effect, {"NoSchedule", "PreferNoSchedule", "NoExecute"});
    }
  }
}

void CheckGates(Complaints& complaints, const kube::PodSpec& spec) {
  for (std::size_t i = 0; i < spec.readinessGates.size(); ++i) {
    const std::string& type = spec.readinessGates[i].conditionType;
    complaints.InvalidEach(Index("spec.readinessGates", i) + ".conditionType", type, QualifiedName(type));
  }
  std::set<std::string> seen;
  for (std::size_t i = 0; i < spec.schedulingGates.size(); ++i) {
    const std::string& name = spec.schedulingGates[i].name;
    const std::string path = Index("spec.schedulingGates", i);
    complaints.InvalidEach(path, name, QualifiedName(name));
    if (!seen.insert(name).second) complaints.Duplicate(path, name);
  }
  if (!spec.nodeName.empty() && !spec.schedulingGates.empty()) {
    complaints.Forbidden("spec.nodeName", "cannot be set until all schedulingGates have been cleared");
  }
}

void CheckClasses(Complaints& complaints, const kube::PodSpec& spec) {
  const auto name = [&](const char* path, const std::string& value) {
    if (!value.empty()) complaints.InvalidEach(path, value, DnsSubdomain(value));
  };
  name("spec.serviceAccountName", spec.serviceAccountName);
  name("spec.nodeName", spec.nodeName);
  name("spec.priorityClassName", spec.priorityClassName);
  if (spec.runtimeClassName) {
    complaints.InvalidEach("spec.runtimeClassName", *spec.runtimeClassName, DnsSubdomain(*spec.runtimeClassName));
  }
  if (spec.preemptionPolicy) {
    complaints.OneOf("spec.preemptionPolicy", *spec.preemptionPolicy, {"PreemptLowerPriority", "Never"}, true);
  }
  if (!spec.os) return;
  if (spec.os->name.empty()) {
    complaints.Required("spec.os.name");
  } else {
    complaints.OneOf("spec.os", spec.os->name, {"linux", "windows"});
  }
}

void CheckTimes(Complaints& complaints, const kube::PodSpec& spec) {
  if (!spec.terminationGracePeriodSeconds) {
    complaints.Required("spec.terminationGracePeriodSeconds");
  } else {
    complaints.NotNegative("spec.terminationGracePeriodSeconds", *spec.terminationGracePeriodSeconds);
  }
  if (spec.activeDeadlineSeconds) {
    complaints.InRange("spec.activeDeadlineSeconds", *spec.activeDeadlineSeconds, 1,
                       std::numeric_limits<std::int32_t>::max());
  }
}

/// Tokens are issued to an account; admission names one where there is a cluster.
void CheckTokens(Complaints& complaints, const kube::PodSpec& spec) {
  if (!spec.serviceAccountName.empty()) return;
  for (std::size_t i = 0; i < spec.volumes.size(); ++i) {
    if (!spec.volumes[i].projected) continue;
    const std::vector<kube::VolumeProjection>& sources = spec.volumes[i].projected->sources;
    for (std::size_t j = 0; j < sources.size(); ++j) {
      if (!sources[j].serviceAccountToken) continue;
      complaints.Forbidden(absl::StrCat("spec.volumes[", i, "].projected.sources[", j, "].serviceAccountToken"),
                           "must not be specified when serviceAccountName is not set");
    }
  }
}

}  // namespace
}  // namespace validation

std::vector<std::string> ValidatePod(const kube::Pod& pod) {
  using namespace validation;  // NOLINT(google-build-using-namespace): the parts of this very function
  const kube::PodSpec& spec = pod.spec;
  Complaints complaints;
  CheckMetadata(complaints, pod.metadata);
  CheckAppArmorAnnotations(complaints, pod);
  CheckTimes(complaints, spec);
  const VolumeMap volumes = CheckVolumes(complaints, spec.volumes);
  validation::CheckContainers(complaints, spec, volumes);
  CheckPodResources(complaints, spec);
  CheckHostNetworkPorts(complaints, spec);
  complaints.OneOf("spec.restartPolicy", spec.restartPolicy, {"Always", "OnFailure", "Never"}, true);
  CheckDns(complaints, spec);
  CheckLabels(complaints, "spec.nodeSelector", spec.nodeSelector);
  CheckPodSecurityContext(complaints, spec);
  CheckNodeAffinity(complaints, spec);
  CheckGates(complaints, spec);
  CheckHostNamespaces(complaints, spec);
  CheckHostNames(complaints, spec);
  CheckClasses(complaints, spec);
  CheckTolerations(complaints, spec.tolerations);
  CheckOverhead(complaints, spec);
  CheckEnvFileVolumes(complaints, spec);
  CheckTokens(complaints, spec);
  if (!spec.ephemeralContainers.empty()) complaints.Forbidden("spec.ephemeralContainers", "cannot be set on create");
  return complaints.Take();
}

}  // namespace burstlet::provider
