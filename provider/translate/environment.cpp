#include "provider/translate/environment.h"

#include <algorithm>
#include <cctype>

#include "absl/strings/str_cat.h"
#include "metrics/log.h"
#include "metrics/status.h"
#include "provider/translate/env_file.h"
#include "provider/translate/expansion.h"
#include "provider/translate/translate.h"

namespace burstlet::provider {
namespace {

/// Variables in the order in which they were first set.
class Variables {
 public:
  void Set(const std::string& name, const std::string& value) {
    auto [entry, is_new] = values_.insert_or_assign(name, value);
    if (is_new) order_.push_back(entry->first);
  }
  bool Has(const std::string& name) const { return values_.count(name) != 0; }
  const std::map<std::string, std::string>& values() const { return values_; }
  const std::vector<std::string>& order() const { return order_; }

 private:
  std::map<std::string, std::string> values_;
  std::vector<std::string> order_;
};

absl::Status ConfigError(const absl::Status& status) { return WithReason(status, "CreateContainerConfigError"); }

absl::Status ConfigError(const std::string& message) {
  return ReasonError(absl::StatusCode::kFailedPrecondition, "CreateContainerConfigError", message);
}

std::string Upper(const std::string& text) {
  std::string result;
  for (unsigned char c : text) result.push_back(c == '-' ? '_' : static_cast<char>(std::toupper(c)));
  return result;
}

/// Docker's link variables and the older pair HOST and PORT (pkg/kubelet/envvars).
void AddService(const kube::Service& service, std::map<std::string, std::string>& env) {
  const auto& ports = service.spec.ports;
  if (ports.empty()) return;
  const std::string& ip = service.spec.clusterIP;
  const std::string prefix = Upper(service.metadata.name);
  env[prefix + "_SERVICE_HOST"] = ip;
  env[prefix + "_SERVICE_PORT"] = std::to_string(ports[0].port);
  const std::string host = ip.find(':') != std::string::npos ? absl::StrCat("[", ip, "]") : ip;
  for (std::size_t i = 0; i < ports.size(); ++i) {
    const auto& port = ports[i];
    if (!port.name.empty()) env[absl::StrCat(prefix, "_SERVICE_PORT_", Upper(port.name))] = std::to_string(port.port);
    std::string protocol = port.protocol.empty() ? "TCP" : port.protocol;
    std::string lower;
    for (unsigned char c : protocol) lower.push_back(static_cast<char>(std::tolower(c)));
    const std::string url = absl::StrCat(lower, "://", host, ":", port.port);
    if (i == 0) env[prefix + "_PORT"] = url;
    const std::string one = absl::StrCat(prefix, "_PORT_", port.port, "_", Upper(protocol));
    env[one] = url;
    env[one + "_PROTO"] = lower;
    env[one + "_PORT"] = std::to_string(port.port);
    env[one + "_ADDR"] = ip;
  }
}

/// The API server's own service always, the namespace's others unless enableServiceLinks is false.
std::map<std::string, std::string> ServiceEnvironment(const kube::Pod& pod, const EnvSources& sources) {
  std::map<std::string, const kube::Service*> chosen;
  for (const auto& service : sources.services) {
    const kube::ObjectMeta& meta = service->metadata;
    if (service->spec.clusterIP.empty() || service->spec.clusterIP == "None") continue;
    if (meta.namespace_ == "default" && meta.name == "kubernetes") {
      chosen.emplace(meta.name, service.get());
    } else if (meta.namespace_ == pod.metadata.namespace_ && pod.spec.enableServiceLinks.value_or(true)) {
      chosen[meta.name] = service.get();
    }
  }
  std::map<std::string, std::string> env;
  for (const auto& [name, service] : chosen) AddService(*service, env);
  return env;
}

/// The object, or null when it is missing and may be.
template <typename T>
absl::StatusOr<std::shared_ptr<const T>> Lookup(
    const std::map<std::string, absl::StatusOr<std::shared_ptr<const T>>>& objects, const std::string& kind,
    const std::string& name, bool optional) {
  auto found = objects.find(name);
  if (found != objects.end() && found->second.ok()) return *found->second;
  absl::Status status = found != objects.end() ? found->second.status()
                                               : absl::NotFoundError(absl::StrCat(kind, " \"", name, "\" not found"));
  if (optional && absl::IsNotFound(status)) return std::shared_ptr<const T>();
  return ConfigError(status);
}

absl::Status AddEnvFrom(const kube::EnvFromSource& from, const EnvSources& sources, Variables& variables) {
  if (from.configMapRef) {
    const auto& ref = *from.configMapRef;
    ASSIGN_OR_RETURN(auto object, Lookup(sources.config_maps, "configmap", ref.name, ref.optional.value_or(false)));
    if (!object) return absl::OkStatus();
    for (const auto& [key, value] : object->data) variables.Set(from.prefix + key, value);
  } else if (from.secretRef) {
    const auto& ref = *from.secretRef;
    ASSIGN_OR_RETURN(auto object, Lookup(sources.secrets, "secret", ref.name, ref.optional.value_or(false)));
    if (!object) return absl::OkStatus();
    for (const auto& [key, value] : object->data) variables.Set(from.prefix + key, value.data);
  }
  return absl::OkStatus();
}

using OptionalValue = absl::StatusOr<std::optional<std::string>>;

OptionalValue ConfigMapValue(const kube::Pod& pod, const kube::ConfigMapKeySelector& ref, const EnvSources& sources) {
  const bool optional = ref.optional.value_or(false);
  ASSIGN_OR_RETURN(auto object, Lookup(sources.config_maps, "configmap", ref.name, optional));
  if (object) {
    if (auto value = object->data.find(ref.key); value != object->data.end()) return value->second;
  }
  if (optional) return std::nullopt;
  return ConfigError(
      absl::StrCat("couldn't find key ", ref.key, " in ConfigMap ", pod.metadata.namespace_, "/", ref.name));
}

OptionalValue SecretValue(const kube::Pod& pod, const kube::SecretKeySelector& ref, const EnvSources& sources) {
  const bool optional = ref.optional.value_or(false);
  ASSIGN_OR_RETURN(auto object, Lookup(sources.secrets, "secret", ref.name, optional));
  if (object) {
    if (auto value = object->data.find(ref.key); value != object->data.end()) return value->second.data;
  }
  if (optional) return std::nullopt;
  return ConfigError(
      absl::StrCat("couldn't find key ", ref.key, " in Secret ", pod.metadata.namespace_, "/", ref.name));
}

/// A file that is missing or malformed is an error even where the key is optional, as with the kubelet.
OptionalValue FileValue(const kube::Pod& pod, const kube::FileKeySelector& ref, const EnvSources& sources) {
  const auto file = sources.files.find({ref.volumeName, ref.path});
  if (file == sources.files.end()) {
    return ConfigError(absl::StrCat("cannot find the volume \"", ref.volumeName, "\" referenced by FileKeyRef"));
  }
  auto value = file->second;  // the file's text; then the key's value in it
  if (value.ok()) value = EnvFileValue(*file->second, ref.key);
  if (!value.ok()) {
    Warn("Environment file not usable", {{"pod", kube::ObjectName(pod.metadata)},
                                         {"volume", ref.volumeName},
                                         {"err", std::string(value.status().message())}});
    return ConfigError("couldn't parse env file");
  }
  if (!value->empty()) return *std::move(value);
  if (ref.optional.value_or(false)) return std::nullopt;
  return ConfigError(absl::StrCat("environment variable key \"", ref.key, "\" not found in file \"", ref.path,
                                  "\" of volume \"", ref.volumeName, "\""));
}

/// The value of a reference; nothing when it is optional and missing.
OptionalValue ReferencedValue(const kube::Pod& pod, const kube::Container& container, const kube::EnvVarSource& from,
                              const EnvSources& sources, const NodeInfo& node) {
  if (from.fieldRef) {
    auto value = FieldValue(pod, from.fieldRef->fieldPath, sources.pod_ips, sources.host_ips);
    if (!value.ok()) return ConfigError(value.status());
    return *value;
  }
  if (from.resourceFieldRef) {
    const auto& ref = *from.resourceFieldRef;
    auto value = ResourceFieldValue(pod, ref.containerName.empty() ? container.name : ref.containerName, ref, node);
    if (!value.ok()) return ConfigError(value.status());
    return *value;
  }
  if (from.configMapKeyRef) return ConfigMapValue(pod, *from.configMapKeyRef, sources);
  if (from.secretKeyRef) return SecretValue(pod, *from.secretKeyRef, sources);
  if (from.fileKeyRef) return FileValue(pod, *from.fileKeyRef, sources);
  return std::string();
}

void CollectEnvironment(const kube::Container& container, ObjectNames& names) {
  for (const auto& from : container.envFrom) {
    if (from.configMapRef) names.config_maps.insert(from.configMapRef->name);
    if (from.secretRef) names.secrets.insert(from.secretRef->name);
  }
  for (const auto& variable : container.env) {
    if (!variable.valueFrom) continue;
    if (variable.valueFrom->configMapKeyRef) names.config_maps.insert(variable.valueFrom->configMapKeyRef->name);
    if (variable.valueFrom->secretKeyRef) names.secrets.insert(variable.valueFrom->secretKeyRef->name);
  }
}

}  // namespace

absl::StatusOr<std::vector<std::string>> MakeEnvironment(const kube::Pod& pod, const kube::Container& container,
                                                         const EnvSources& sources, const NodeInfo& node) {
  const std::map<std::string, std::string> services = ServiceEnvironment(pod, sources);
  Variables variables;
  for (const auto& from : container.envFrom) RETURN_IF_ERROR(AddEnvFrom(from, sources, variables));
  for (const auto& variable : container.env) {
    std::string value;
    if (!variable.value.empty()) {
      value = ExpandWith(variable.value, [&](const std::string& name) {
        for (const auto* values : {&variables.values(), &services}) {
          if (auto found = values->find(name); found != values->end()) return found->second;
        }
        return absl::StrCat("$(", name, ")");
      });
    } else if (variable.valueFrom) {
      auto found = ReferencedValue(pod, container, *variable.valueFrom, sources, node);
      if (!found.ok()) return found.status();
      if (!found->has_value()) continue;
      value = **found;
    }
    variables.Set(variable.name, value);
  }
  std::vector<std::string> result;
  for (const auto& name : variables.order()) {
    const std::string& value = variables.values().at(name);
    // A program would see the value cut off there.
    if (value.find('\0') != std::string::npos || name.find('\0') != std::string::npos) {
      return ConfigError(absl::StrCat("environment variable ", name, " has a NUL byte"));
    }
    result.push_back(absl::StrCat(name, "=", value));
  }
  for (const auto& [name, value] : services) {
    if (!variables.Has(name)) result.push_back(absl::StrCat(name, "=", value));
  }
  return result;
}

ObjectNames EnvironmentObjects(const kube::Pod& pod) {
  ObjectNames names;
  for (const auto* list : {&pod.spec.initContainers, &pod.spec.containers}) {
    for (const auto& container : *list) CollectEnvironment(container, names);
  }
  for (const auto& ephemeral : pod.spec.ephemeralContainers) CollectEnvironment(AsContainer(ephemeral), names);
  return names;
}

ObjectNames VolumeObjects(const kube::Pod& pod) {
  ObjectNames names;
  for (const auto& volume : pod.spec.volumes) {
    if (volume.configMap) names.config_maps.insert(volume.configMap->name);
    if (volume.secret) names.secrets.insert(volume.secret->secretName);
    if (!volume.projected) continue;
    for (const auto& source : volume.projected->sources) {
      if (source.configMap) names.config_maps.insert(source.configMap->name);
      if (source.secret) names.secrets.insert(source.secret->name);
    }
  }
  return names;
}

}  // namespace burstlet::provider
