#include "provider/defaults.h"

#include <cstdint>
#include <optional>
#include <utility>

#include "cache/image_ref.h"
#include "kube/api/quantity.h"
#include "provider/status/generate.h"
#include "provider/translate/resources.h"

namespace burstlet::provider {
namespace {

constexpr std::int32_t kDefaultMode = 0644;
constexpr std::int64_t kDefaultTokenSeconds = 3600;
// Above this a quantity has no whole number of thousandths in 64 bits, and none below one either.
constexpr std::int64_t kMostWithMilli = 9'000'000'000'000'000;

std::string PullPolicy(const std::string& image) {
  const auto ref = cache::ParseImageRef(image);
  return ref.ok() && ref->tag == "latest" ? "Always" : "IfNotPresent";
}

/// The server keeps numbers, so their text comes back canonical: "1024Mi" is "1Gi". ValidatePod tells of what is none.
void Canonicalize(kube::Quantity& quantity) {
  if (kube::ParseQuantity(quantity.text).ok()) quantity = kube::AddQuantity(quantity, kube::Quantity{"0"});
}

void DefaultDivisor(std::optional<kube::ResourceFieldSelector>& selector) {
  if (!selector) return;
  if (selector->divisor.text.empty()) selector->divisor.text = "0";
  Canonicalize(selector->divisor);
}

/// Resources are no finer than a thousandth.
void RoundUp(kube::ResourceList& list) {
  for (auto& [name, quantity] : list) {
    if (!kube::ParseQuantity(quantity.text).ok()) continue;
    const std::int64_t value = kube::QuantityValue(quantity);
    if (value < kMostWithMilli && value > -kMostWithMilli) {
      const kube::Quantity rounded = kube::QuantityFromMilli(kube::QuantityMilliValue(quantity));
      if (kube::CompareQuantity(rounded, quantity) != 0) quantity = rounded;
    }
    Canonicalize(quantity);
  }
}

void RequestsFromLimits(kube::ResourceRequirements& resources) {
  for (const auto& [name, quantity] : resources.limits) resources.requests.emplace(name, quantity);
}

// --- containers -----------------------------------------------------------------------------------------------------

void DefaultHttpGet(std::optional<kube::HTTPGetAction>& action) {
  if (!action) return;
  if (action->path.empty()) action->path = "/";
  if (action->scheme.empty()) action->scheme = "HTTP";
}

void DefaultProbe(std::optional<kube::Probe>& probe) {
  if (!probe) return;
  if (probe->timeoutSeconds == 0) probe->timeoutSeconds = 1;
  if (probe->periodSeconds == 0) probe->periodSeconds = 10;
  if (probe->successThreshold == 0) probe->successThreshold = 1;
  if (probe->failureThreshold == 0) probe->failureThreshold = 3;
  DefaultHttpGet(probe->httpGet);
  if (probe->grpc && !probe->grpc->service) probe->grpc->service = "";
}

void DefaultFieldRef(std::optional<kube::ObjectFieldSelector>& selector) {
  if (selector && selector->apiVersion.empty()) selector->apiVersion = "v1";
}

void DefaultEnv(std::vector<kube::EnvVar>& env) {
  for (kube::EnvVar& variable : env) {
    if (!variable.valueFrom) continue;
    DefaultFieldRef(variable.valueFrom->fieldRef);
    auto& file = variable.valueFrom->fileKeyRef;
    if (file && !file->optional) file->optional = false;
    DefaultDivisor(variable.valueFrom->resourceFieldRef);
  }
}

/// Containers and ephemeral containers have the same fields.
template <typename ContainerLike>
void DefaultContainer(ContainerLike& container) {
  if (container.imagePullPolicy.empty()) container.imagePullPolicy = PullPolicy(container.image);
  if (container.terminationMessagePath.empty()) container.terminationMessagePath = "/dev/termination-log";
  if (container.terminationMessagePolicy.empty()) container.terminationMessagePolicy = "File";
  for (kube::ContainerPort& port : container.ports) {
    if (port.protocol.empty()) port.protocol = "TCP";
  }
  DefaultEnv(container.env);
  RoundUp(container.resources.limits);
  RoundUp(container.resources.requests);
  DefaultProbe(container.livenessProbe);
  DefaultProbe(container.readinessProbe);
  DefaultProbe(container.startupProbe);
  if (!container.lifecycle) return;
  if (container.lifecycle->postStart) DefaultHttpGet(container.lifecycle->postStart->httpGet);
  if (container.lifecycle->preStop) DefaultHttpGet(container.lifecycle->preStop->httpGet);
}

void HostNetworkPorts(std::vector<kube::Container>& containers) {
  for (kube::Container& container : containers) {
    for (kube::ContainerPort& port : container.ports) {
      if (port.hostPort == 0) port.hostPort = port.containerPort;
    }
  }
}

/// The annotation that was the profile before there was a field; nothing for what it does not know.
std::optional<kube::AppArmorProfile> AnnotatedAppArmor(const std::string& value) {
  static const std::string kLocalhost = "localhost/";
  if (value == "unconfined") return kube::AppArmorProfile{"Unconfined", std::nullopt};
  if (value == "runtime/default") return kube::AppArmorProfile{"RuntimeDefault", std::nullopt};
  if (!value.starts_with(kLocalhost) || value.size() == kLocalhost.size()) return std::nullopt;
  return kube::AppArmorProfile{"Localhost", value.substr(kLocalhost.size())};
}

/// pkg/registry/core/pod/strategy.go applyAppArmorVersionSkew: the container's own field wins, and what the pod has
/// anyway is not repeated.
void AppArmorFromAnnotation(const kube::Pod& pod, kube::Container& container) {
  const auto annotation =
      pod.metadata.annotations.find("container.apparmor.security.beta.kubernetes.io/" + container.name);
  if (annotation == pod.metadata.annotations.end()) return;
  if (container.securityContext && container.securityContext->appArmorProfile) return;
  const std::optional<kube::AppArmorProfile> profile = AnnotatedAppArmor(annotation->second);
  if (!profile) return;
  const auto& of_pod = pod.spec.securityContext->appArmorProfile;
  if (of_pod && of_pod->type == profile->type && of_pod->localhostProfile == profile->localhostProfile) return;
  if (!container.securityContext) container.securityContext.emplace();
  container.securityContext->appArmorProfile = profile;
}

// --- volumes --------------------------------------------------------------------------------------------------------

struct SourceCounter {
  int sources = 0;
  template <typename T>
  void operator()(const char*, const std::optional<T>& source, kube::Presence) {
    sources += source.has_value() ? 1 : 0;
  }
  void operator()(const char*, const std::string&, kube::Presence) {}
};

void DefaultFiles(std::vector<kube::DownwardAPIVolumeFile>& files) {
  for (kube::DownwardAPIVolumeFile& file : files) {
    DefaultFieldRef(file.fieldRef);
    DefaultDivisor(file.resourceFieldRef);
  }
}

template <typename Source>
void DefaultMode(std::optional<Source>& source) {
  if (source && !source->defaultMode) source->defaultMode = kDefaultMode;
}

void DefaultVolume(kube::Volume& volume) {
  SourceCounter counter;
  VisitFields(counter, std::as_const(volume));
  if (counter.sources == 0) volume.emptyDir.emplace();
  if (volume.emptyDir && volume.emptyDir->sizeLimit) Canonicalize(*volume.emptyDir->sizeLimit);
  if (volume.image && volume.image->pullPolicy.empty()) volume.image->pullPolicy = PullPolicy(volume.image->reference);
  if (volume.hostPath && !volume.hostPath->type) volume.hostPath->type = "";
  DefaultMode(volume.secret);
  DefaultMode(volume.configMap);
  DefaultMode(volume.downwardAPI);
  DefaultMode(volume.projected);
  if (volume.downwardAPI) DefaultFiles(volume.downwardAPI->items);
  if (!volume.projected) return;
  for (kube::VolumeProjection& source : volume.projected->sources) {
    if (source.downwardAPI) DefaultFiles(source.downwardAPI->items);
    auto& token = source.serviceAccountToken;
    if (token && !token->expirationSeconds) token->expirationSeconds = kDefaultTokenSeconds;
  }
}

// --- pod-level resources (pkg/api/pod/util.go DefaultPodLevelResources)
// -----------------------------------------------

bool IsHugePages(const std::string& name) { return name.starts_with("hugepages-"); }
bool IsOvercommitted(const std::string& name) { return name == "cpu" || name == "memory"; }
bool IsPodLevel(const std::string& name) { return IsOvercommitted(name) || IsHugePages(name); }

bool AllContainersLimit(const kube::PodSpec& spec, const std::string& name) {
  for (const auto* list : {&spec.initContainers, &spec.containers}) {
    for (const kube::Container& container : *list) {
      if (container.resources.limits.count(name) == 0) return false;
    }
  }
  return true;
}

/// Limits where every container has one: their sum, or the pod's request when that is more.
void PodLevelLimits(const kube::PodSpec& spec, const kube::ResourceList& container_limits,
                    kube::ResourceRequirements& resources) {
  for (const auto& [name, request] : resources.requests) {
    if (!IsPodLevel(name) || resources.limits.count(name) != 0 || !AllContainersLimit(spec, name)) continue;
    const auto limit = container_limits.find(name);
    if (limit == container_limits.end()) continue;
    resources.limits[name] = kube::CompareQuantity(request, limit->second) > 0 ? request : limit->second;
  }
}

void DefaultPodLevelResources(kube::PodSpec& spec) {
  if (!spec.resources || (spec.resources->requests.empty() && spec.resources->limits.empty())) return;
  kube::Pod without_pod_level;
  without_pod_level.spec.containers = spec.containers;
  without_pod_level.spec.initContainers = spec.initContainers;
  const kube::ResourceList requests = PodRequests(without_pod_level);
  const kube::ResourceList limits = PodLimits(without_pod_level);
  kube::ResourceRequirements& resources = *spec.resources;
  for (const auto& [name, limit] : limits) {
    if (IsHugePages(name) && resources.requests.count(name) == 0) resources.limits.emplace(name, limit);
  }
  for (const auto& [name, request] : requests) {
    if (IsOvercommitted(name)) resources.requests.emplace(name, request);
  }
  for (const auto& [name, limit] : resources.limits) {
    if (IsPodLevel(name)) resources.requests.emplace(name, limit);
  }
  PodLevelLimits(spec, limits, resources);
}

void DefaultSpec(kube::PodSpec& spec) {
  if (spec.serviceAccountName.empty()) spec.serviceAccountName = spec.serviceAccount;
  spec.serviceAccount = spec.serviceAccountName;
  if (spec.dnsPolicy.empty()) spec.dnsPolicy = "ClusterFirst";
  if (spec.restartPolicy.empty()) spec.restartPolicy = "Always";
  if (!spec.securityContext) spec.securityContext.emplace();
  auto& grace = spec.terminationGracePeriodSeconds;
  if (!grace) grace = 30;
  if (*grace < 0) grace = 1;
  if (spec.schedulerName.empty()) spec.schedulerName = "default-scheduler";
  if (!spec.enableServiceLinks) spec.enableServiceLinks = true;
}

}  // namespace

void ApplyPodDefaults(kube::Pod& pod) {
  kube::PodSpec& spec = pod.spec;
  for (auto* list : {&spec.initContainers, &spec.containers}) {
    for (kube::Container& container : *list) {
      RequestsFromLimits(container.resources);
      DefaultContainer(container);
    }
  }
  for (kube::EphemeralContainer& container : spec.ephemeralContainers) DefaultContainer(container);
  DefaultSpec(spec);
  if (spec.hostNetwork) {
    HostNetworkPorts(spec.containers);
    HostNetworkPorts(spec.initContainers);
  }
  for (kube::Volume& volume : spec.volumes) DefaultVolume(volume);
  RoundUp(spec.overhead);
  if (spec.resources) {
    RoundUp(spec.resources->limits);
    RoundUp(spec.resources->requests);
  }
  DefaultPodLevelResources(spec);
  for (auto* list : {&spec.initContainers, &spec.containers}) {
    for (kube::Container& container : *list) AppArmorFromAnnotation(pod, container);
  }
  pod.status = {};  // a create takes no status
  pod.status.phase = "Pending";
  pod.status.qosClass = PodQosClass(pod);
}

}  // namespace burstlet::provider
