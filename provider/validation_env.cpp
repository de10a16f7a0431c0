// Environment variables and the fields that they and files can be filled from.
#include <algorithm>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "kube/api/quantity.h"
#include "provider/validation.h"
#include "provider/validation_names.h"

namespace burstlet::provider::validation {
namespace {

bool Contains(const std::vector<std::string>& list, const std::string& value) {
  return std::find(list.begin(), list.end(), value) != list.end();
}

const std::vector<std::string>& EnvFields() {
  static const std::vector<std::string> kFields = {
      "metadata.name", "metadata.namespace", "metadata.uid", "spec.nodeName", "spec.serviceAccountName",
      "status.hostIP", "status.hostIPs",     "status.podIP", "status.podIPs"};
  return kFields;
}

/// Fields that the API knows at all, more than env or files may use.
bool IsPodField(const std::string& field) {
  static const std::vector<std::string> kMore = {"metadata.annotations", "metadata.labels", "spec.restartPolicy",
                                                 "spec.schedulerName",   "status.phase",    "spec.host"};
  return Contains(EnvFields(), field) || Contains(kMore, field);
}

/// "metadata.labels['key']"; false when there is no such subscript.
bool SplitSubscript(const std::string& field, std::string& base, std::string& key) {
  const std::size_t open = field.find("['");
  if (open == std::string::npos || !field.ends_with("']") || field.size() < open + 4) return false;
  base = field.substr(0, open);
  key = field.substr(open + 2, field.size() - open - 4);
  return !base.empty();
}

template <typename Selector>
void CheckKeySelector(Complaints& complaints, const std::string& path, const Selector& selector) {
  complaints.InvalidEach(path + ".name", selector.name, DnsSubdomain(selector.name));
  if (selector.key.empty()) {
    complaints.Required(path + ".key");
  } else {
    complaints.InvalidEach(path + ".key", selector.key, ConfigKey(selector.key));
  }
}

void CheckFileKey(Complaints& complaints, const std::string& path, const kube::FileKeySelector& selector) {
  if (selector.key.empty()) {
    complaints.Required(path + ".key");
  } else {
    complaints.InvalidEach(path + ".key", selector.key, EnvName(selector.key));
  }
  if (selector.volumeName.empty()) {
    complaints.Required(path + ".volumeName");
  } else {
    complaints.InvalidEach(path + ".volumeName", selector.volumeName, DnsLabel(selector.volumeName));
  }
  if (selector.path.empty()) {
    complaints.Required(path + ".path");
  } else {
    complaints.InvalidEach(path + ".path", selector.path, NoBacksteps(selector.path));
  }
}

void CheckValueFrom(Complaints& complaints, const std::string& path, const kube::EnvVar& variable) {
  const kube::EnvVarSource& source = *variable.valueFrom;
  if (source.fieldRef) CheckFieldRef(complaints, path + ".fieldRef", *source.fieldRef, EnvFields());
  if (source.resourceFieldRef) {
    CheckResourceFieldRef(complaints, path + ".resourceFieldRef", *source.resourceFieldRef, false);
  }
  if (source.configMapKeyRef) CheckKeySelector(complaints, path + ".configMapKeyRef", *source.configMapKeyRef);
  if (source.secretKeyRef) CheckKeySelector(complaints, path + ".secretKeyRef", *source.secretKeyRef);
  if (source.fileKeyRef) CheckFileKey(complaints, path + ".fileKeyRef", *source.fileKeyRef);
  const int sources = source.fieldRef.has_value() + source.resourceFieldRef.has_value() +
                      source.configMapKeyRef.has_value() + source.secretKeyRef.has_value() +
                      source.fileKeyRef.has_value();
  if (sources == 0) {
    complaints.Invalid(
        path, "",
        "must specify one of: `fieldRef`, `resourceFieldRef`, `configMapKeyRef`, `secretKeyRef` or `fileKeyRef`");
  } else if (!variable.value.empty()) {
    complaints.Invalid(path, "", "may not be specified when `value` is not empty");
  } else if (sources > 1) {
    complaints.Invalid(path, "", "may not have more than one field specified at a time");
  }
}

void CheckSourceName(Complaints& complaints, const std::string& path, const std::string& name) {
  if (name.empty()) {
    complaints.Required(path);
    return;
  }
  // As a prefix: a trailing hyphen may be there.
  std::string checked = name;
  if (checked.size() > 1 && checked.ends_with('-')) checked.back() = 'a';
  complaints.InvalidEach(path, name, DnsSubdomain(checked));
}

void CheckDivisor(Complaints& complaints, const std::string& path, const std::string& resource,
                  const kube::Quantity& divisor) {
  static const std::vector<std::string> kBytes = {"1",   "1k",  "1M",  "1G",  "1T",  "1P", "1E",
                                                  "1Ki", "1Mi", "1Gi", "1Ti", "1Pi", "1Ei"};
  static const char kByteText[] =
      "only divisor's values 1, 1k, 1M, 1G, 1T, 1P, 1E, 1Ki, 1Mi, 1Gi, 1Ti, 1Pi, 1Ei are "
      "supported with the ";
  if (divisor.text.empty() || kube::CompareQuantity(divisor, {"0"}) == 0) return;
  const std::string name = resource.substr(resource.find('.') + 1);
  if (name == "cpu") {
    if (divisor.text != "1m" && divisor.text != "1") {
      complaints.Invalid(path + ".divisor", resource,
                         "only divisor's values 1m and 1 are supported with the cpu resource");
    }
    return;
  }
  const char* kind = name == "memory"                 ? "memory"
                     : name == "ephemeral-storage"    ? "local ephemeral storage"
                     : name.starts_with("hugepages-") ? "hugepages"
                                                      : nullptr;
  if (kind != nullptr && !Contains(kBytes, divisor.text)) {
    complaints.Invalid(path + ".divisor", resource, absl::StrCat(kByteText, kind, " resource"));
  }
}

}  // namespace

void CheckFieldRef(Complaints& complaints, const std::string& path, const kube::ObjectFieldSelector& selector,
                   const std::vector<std::string>& fields) {
  if (selector.apiVersion.empty()) return complaints.Required(path + ".apiVersion");
  if (selector.fieldPath.empty()) return complaints.Required(path + ".fieldPath");
  const std::string& field = selector.fieldPath;
  const auto unconvertible = [&](const std::string& why) {
    complaints.Invalid(path + ".fieldPath", field, absl::StrCat("error converting fieldPath: ", why));
  };
  if (selector.apiVersion != "v1") return unconvertible(absl::StrCat("unsupported pod version: ", selector.apiVersion));
  std::string base;
  std::string key;
  if (SplitSubscript(field, base, key)) {
    if (base == "metadata.labels") return complaints.InvalidEach(path, key, QualifiedName(key));
    if (base != "metadata.annotations") {
      return unconvertible(absl::StrCat("field label does not support subscript: ", field));
    }
    const std::string lower = absl::AsciiStrToLower(key);
    return complaints.InvalidEach(path, lower, QualifiedName(lower));
  }
  if (!IsPodField(field)) return unconvertible(absl::StrCat("field label not supported: ", field));
  complaints.OneOf(path + ".fieldPath", field == "spec.host" ? "spec.nodeName" : field, fields);
}

void CheckResourceFieldRef(Complaints& complaints, const std::string& path, const kube::ResourceFieldSelector& selector,
                           bool needs_container) {
  static const std::vector<std::string> kResources = {"limits.cpu",   "limits.ephemeral-storage",   "limits.memory",
                                                      "requests.cpu", "requests.ephemeral-storage", "requests.memory"};
  const std::string& resource = selector.resource;
  if (needs_container && selector.containerName.empty()) {
    complaints.Required(path + ".containerName");
  } else if (resource.empty()) {
    complaints.Required(path + ".resource");
  } else if (!resource.starts_with("limits.hugepages-") && !resource.starts_with("requests.hugepages-")) {
    complaints.OneOf(path + ".resource", resource, kResources);
  }
  CheckDivisor(complaints, path, resource, selector.divisor);
}

void CheckEnv(Complaints& complaints, const std::string& path, const std::vector<kube::EnvVar>& env) {
  for (std::size_t i = 0; i < env.size(); ++i) {
    const std::string at = Index(path, i);
    if (env[i].name.empty()) {
      complaints.Required(at + ".name");
    } else {
      complaints.InvalidEach(at + ".name", env[i].name, EnvName(env[i].name));
    }
    if (env[i].valueFrom) CheckValueFrom(complaints, at + ".valueFrom", env[i]);
  }
}

void CheckEnvFrom(Complaints& complaints, const std::string& path, const std::vector<kube::EnvFromSource>& sources) {
  for (std::size_t i = 0; i < sources.size(); ++i) {
    const kube::EnvFromSource& source = sources[i];
    const std::string at = Index(path, i);
    if (!source.prefix.empty()) complaints.InvalidEach(at + ".prefix", source.prefix, EnvName(source.prefix));
    if (source.configMapRef) CheckSourceName(complaints, at + ".configMapRef.name", source.configMapRef->name);
    if (source.secretRef) CheckSourceName(complaints, at + ".secretRef.name", source.secretRef->name);
    if (!source.configMapRef && !source.secretRef) {
      complaints.Invalid(path, "", "must specify one of: `configMapRef` or `secretRef`");
    } else if (source.configMapRef && source.secretRef) {
      complaints.Invalid(path, "", "may not have more than one field specified at a time");
    }
  }
}

void CheckEnvFileVolumes(Complaints& complaints, const kube::PodSpec& spec) {
  const auto check = [&](const char* list, const std::vector<kube::Container>& containers) {
    for (std::size_t i = 0; i < containers.size(); ++i) {
      for (std::size_t j = 0; j < containers[i].env.size(); ++j) {
        const kube::EnvVar& variable = containers[i].env[j];
        if (!variable.valueFrom || !variable.valueFrom->fileKeyRef) continue;
        const std::string& name = variable.valueFrom->fileKeyRef->volumeName;
        const std::string path = absl::StrCat("spec.", list, "[", i, "].env[", j, "].valueFrom.fileKeyRef.volumeName");
        const auto volume = std::find_if(spec.volumes.begin(), spec.volumes.end(),
                                         [&name](const kube::Volume& candidate) { return candidate.name == name; });
        if (volume == spec.volumes.end()) {
          complaints.NotFound(path, name);
        } else if (!volume->emptyDir) {
          complaints.Invalid(path, name, "referenced volume must be of type emptyDir");
        }
      }
    }
  };
  check("initContainers", spec.initContainers);
  check("containers", spec.containers);
}

}  // namespace burstlet::provider::validation
