#include "provider/volumes/payload.h"

#include <algorithm>
#include <set>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "metrics/status.h"
#include "provider/translate/environment.h"
#include "provider/translate/translate.h"

namespace burstlet::provider {
namespace {

constexpr std::int32_t kDefaultMode = 0644;
constexpr std::int64_t kDefaultTokenSeconds = 3600;

/// Modes and owners where an item has none of its own.
struct Defaults {
  std::int32_t mode = kDefaultMode;
  std::optional<std::int64_t> user;
};

FileProjection File(std::string data, std::optional<std::int32_t> mode, std::optional<std::int64_t> user,
                    const Defaults& defaults) {
  FileProjection file;
  file.data = std::move(data);
  file.mode = static_cast<mode_t>(mode.value_or(defaults.mode));
  file.uid = user ? user : defaults.user;
  return file;
}

/// All keys, or the chosen ones under their paths. `find` gives a key's bytes or null.
template <typename Find>
absl::Status AddKeys(const std::vector<kube::KeyToPath>& items, const std::vector<std::string>& keys, Find find,
                     bool optional, const std::string& missing, const Defaults& defaults, Payload& payload) {
  if (items.empty()) {
    for (const auto& key : keys) payload[key] = File(*find(key), std::nullopt, std::nullopt, defaults);
    return absl::OkStatus();
  }
  for (const auto& item : items) {
    const std::string* data = find(item.key);
    if (data == nullptr && optional) continue;
    if (data == nullptr) return absl::NotFoundError(absl::StrCat(missing, item.key));
    payload[item.path] = File(*data, item.mode, item.user, defaults);
  }
  return absl::OkStatus();
}

/// The object; an empty one when it is optional and not there.
template <typename T>
absl::StatusOr<std::shared_ptr<const T>> Lookup(
    const std::map<std::string, absl::StatusOr<std::shared_ptr<const T>>>& objects, const std::string& kind,
    const std::string& name, bool optional) {
  auto found = objects.find(name);
  if (found != objects.end() && found->second.ok()) return *found->second;
  absl::Status status = found != objects.end() ? found->second.status()
                                               : absl::NotFoundError(absl::StrCat(kind, " \"", name, "\" not found"));
  if (optional && absl::IsNotFound(status)) return std::make_shared<const T>();
  return status;
}

absl::Status AddConfigMap(const std::string& name, const std::vector<kube::KeyToPath>& items, bool optional,
                          const VolumeObjectsSnapshot& objects, const Defaults& defaults, Payload& payload) {
  ASSIGN_OR_RETURN(const auto object, Lookup(objects.config_maps, "configmap", name, optional));
  std::vector<std::string> keys;
  for (const auto& [key, value] : object->data) keys.push_back(key);
  for (const auto& [key, value] : object->binaryData) keys.push_back(key);
  auto find = [&](const std::string& key) -> const std::string* {
    if (auto text = object->data.find(key); text != object->data.end()) return &text->second;
    if (auto bytes = object->binaryData.find(key); bytes != object->binaryData.end()) return &bytes->second.data;
    return nullptr;
  };
  return AddKeys(items, keys, find, optional, "configmap references non-existent config key: ", defaults, payload);
}

absl::Status AddSecret(const std::string& name, const std::vector<kube::KeyToPath>& items, bool optional,
                       const VolumeObjectsSnapshot& objects, const Defaults& defaults, Payload& payload) {
  ASSIGN_OR_RETURN(const auto object, Lookup(objects.secrets, "secret", name, optional));
  std::vector<std::string> keys;
  for (const auto& [key, value] : object->data) keys.push_back(key);
  auto find = [&](const std::string& key) -> const std::string* {
    auto bytes = object->data.find(key);
    return bytes == object->data.end() ? nullptr : &bytes->second.data;
  };
  return AddKeys(items, keys, find, optional, "references non-existent secret key: ", defaults, payload);
}

/// Several errors of one volume as the kubelet prints them: one plain, more in brackets, equal ones once.
class Errors {
 public:
  void Add(const absl::Status& status) {
    if (status.ok()) return;
    if (first_.ok()) first_ = status;
    const std::string text(status.message());
    if (std::find(texts_.begin(), texts_.end(), text) == texts_.end()) texts_.push_back(text);
  }
  absl::Status Status() const {
    if (texts_.size() <= 1) return first_;
    return absl::Status(first_.code(), absl::StrCat("[", absl::StrJoin(texts_, ", "), "]"));
  }

 private:
  absl::Status first_;
  std::vector<std::string> texts_;
};

absl::Status AddDownwardApi(const kube::Pod& pod, const std::vector<kube::DownwardAPIVolumeFile>& items,
                            const NodeInfo& node, const std::vector<std::string>& pod_ips, const Defaults& defaults,
                            Payload& payload) {
  Errors errors;
  for (const auto& item : items) {
    absl::StatusOr<std::string> value = std::string();
    if (item.fieldRef) {
      value = FieldValue(pod, item.fieldRef->fieldPath, pod_ips, node.addresses);
    } else if (item.resourceFieldRef) {
      value = ResourceFieldValue(pod, item.resourceFieldRef->containerName, *item.resourceFieldRef, node);
    }
    errors.Add(value.status());
    if (value.ok()) payload[item.path] = File(*value, item.mode, item.user, defaults);
  }
  return errors.Status();
}

/// The one user that all containers run as, for whom a token may be made private (FsUserFrom).
std::optional<std::int64_t> CommonUser(const kube::Pod& pod) {
  std::optional<std::int64_t> pod_user;
  if (pod.spec.securityContext) pod_user = pod.spec.securityContext->runAsUser;
  std::set<std::int64_t> users;
  bool all = true;
  auto visit = [&](const std::optional<kube::SecurityContext>& context) {
    auto user = context && context->runAsUser ? context->runAsUser : pod_user;
    if (user) users.insert(*user);
    all = all && user.has_value();
  };
  for (const auto& container : pod.spec.initContainers) visit(container.securityContext);
  for (const auto& container : pod.spec.containers) visit(container.securityContext);
  for (const auto& container : pod.spec.ephemeralContainers) visit(container.securityContext);
  if (!all || users.size() != 1) return std::nullopt;
  return *users.begin();
}

/// Private to the pod's one user, where there is one; a group gets its read bit from fsGroup.
FileProjection Private(const kube::Pod& pod, std::string data, std::optional<std::int64_t> own_user,
                       const Defaults& defaults) {
  const auto user = own_user ? own_user : defaults.user ? defaults.user : CommonUser(pod);
  FileProjection file = File(std::move(data), std::nullopt, user, defaults);
  const bool has_group = pod.spec.securityContext && pod.spec.securityContext->fsGroup;
  if (user || has_group) file.mode = 0600;
  return file;
}

absl::Status AddToken(const kube::Pod& pod, const kube::ServiceAccountTokenProjection& projection,
                      const VolumeObjectsSnapshot& objects, const Defaults& defaults, Payload& payload) {
  auto token = objects.tokens.find(KeyOf(projection));
  if (token == objects.tokens.end()) return absl::NotFoundError("failed to fetch token: none was asked for");
  if (!token->second.ok()) return token->second.status();
  payload[projection.path] = Private(pod, *token->second, projection.user, defaults);
  return absl::OkStatus();
}

absl::Status AddAnchors(const kube::Pod& pod, const kube::ClusterTrustBundleProjection& projection,
                        const VolumeObjectsSnapshot& objects, const Defaults& defaults, Payload& payload) {
  if (!projection.name && !projection.signerName) {
    return absl::InvalidArgumentError("ClusterTrustBundle projection requires either name or signerName to be set");
  }
  const auto found = objects.anchors.find(KeyOf(projection));
  absl::StatusOr<std::string> anchors = absl::UnavailableError("ClusterTrustBundle informer has not yet synced");
  if (found != objects.anchors.end()) anchors = found->second;
  if (absl::IsNotFound(anchors.status()) && projection.optional.value_or(false)) anchors = std::string();
  if (!anchors.ok()) return anchors.status();
  payload[projection.path] = Private(pod, *std::move(anchors), projection.user, defaults);
  return absl::OkStatus();
}

absl::Status AddCertificate(const kube::Pod& pod, const kube::PodCertificateProjection& projection,
                            const CertificateKey& key, const VolumeObjectsSnapshot& objects, const Defaults& defaults,
                            Payload& payload) {
  const auto found = objects.certificates.find(key);
  if (found == objects.certificates.end()) return absl::UnavailableError("credential bundle is not issued yet");
  if (!found->second.ok()) return found->second.status();
  const CredentialBundle& bundle = *found->second;
  const auto add = [&](const std::string& path, const std::string& data) {
    if (!path.empty()) payload[path] = Private(pod, data, projection.user, defaults);
  };
  add(projection.credentialBundlePath, bundle.key_pem + bundle.chain_pem);
  add(projection.keyPath, bundle.key_pem);
  add(projection.certificateChainPath, bundle.chain_pem);
  return absl::OkStatus();
}

absl::StatusOr<Payload> ProjectedPayload(const kube::Pod& pod, const std::string& name,
                                         const kube::ProjectedVolumeSource& volume,
                                         const VolumeObjectsSnapshot& objects, const NodeInfo& node,
                                         const std::vector<std::string>& pod_ips) {
  const Defaults defaults{volume.defaultMode.value_or(kDefaultMode), volume.defaultUser};
  Payload payload;
  Errors errors;
  for (std::size_t i = 0; i < volume.sources.size(); ++i) {
    const auto& source = volume.sources[i];
    if (source.secret) {
      const auto& secret = *source.secret;
      errors.Add(AddSecret(secret.name, secret.items, secret.optional.value_or(false), objects, defaults, payload));
    } else if (source.configMap) {
      const auto& map = *source.configMap;
      errors.Add(AddConfigMap(map.name, map.items, map.optional.value_or(false), objects, defaults, payload));
    } else if (source.downwardAPI) {
      errors.Add(AddDownwardApi(pod, source.downwardAPI->items, node, pod_ips, defaults, payload));
    } else if (source.serviceAccountToken) {
      errors.Add(AddToken(pod, *source.serviceAccountToken, objects, defaults, payload));
    } else if (source.clusterTrustBundle) {
      errors.Add(AddAnchors(pod, *source.clusterTrustBundle, objects, defaults, payload));
    } else if (source.podCertificate) {
      errors.Add(AddCertificate(pod, *source.podCertificate, {name, i}, objects, defaults, payload));
    }
  }
  RETURN_IF_ERROR(errors.Status());
  return payload;
}

std::string CleanPath(const std::string& path) {
  std::vector<std::string> elements = absl::StrSplit(path, '/', absl::SkipEmpty());
  std::erase(elements, ".");
  return absl::StrCat("/", absl::StrJoin(elements, "/"));
}

void CollectNested(const std::vector<kube::VolumeMount>& mounts, const std::string& volume,
                   std::vector<std::string>& result) {
  std::vector<std::string> all;
  for (const auto& mount : mounts) all.push_back(CleanPath(mount.mountPath));
  std::sort(all.begin(), all.end());
  for (const auto& mine : mounts) {
    if (mine.name != volume) continue;
    const std::string prefix = CleanPath(mine.mountPath) + "/";
    std::vector<std::string> found;  // what lies below one of these is that mount's own affair
    for (const auto& path : all) {
      const bool deeper = std::any_of(found.begin(), found.end(),
                                      [&](const std::string& outer) { return path.rfind(outer + "/", 0) == 0; });
      if (path.rfind(prefix, 0) != 0 || deeper) continue;
      found.push_back(path);
      result.push_back(path.substr(prefix.size()));
    }
  }
}

}  // namespace

bool HasPayload(const kube::Volume& volume) {
  return volume.configMap || volume.secret || volume.downwardAPI || volume.projected;
}

TokenKey KeyOf(const kube::ServiceAccountTokenProjection& projection) {
  return {projection.audience, projection.expirationSeconds.value_or(kDefaultTokenSeconds)};
}

std::vector<TokenKey> PodTokens(const kube::Pod& pod) {
  std::set<TokenKey> keys;
  for (const auto& volume : pod.spec.volumes) {
    if (!volume.projected) continue;
    for (const auto& source : volume.projected->sources) {
      if (source.serviceAccountToken) keys.insert(KeyOf(*source.serviceAccountToken));
    }
  }
  return {keys.begin(), keys.end()};
}

std::vector<TrustKey> PodAnchors(const kube::Pod& pod) {
  std::set<TrustKey> keys;
  for (const auto& volume : pod.spec.volumes) {
    if (!volume.projected) continue;
    for (const auto& source : volume.projected->sources) {
      if (source.clusterTrustBundle) keys.insert(KeyOf(*source.clusterTrustBundle));
    }
  }
  return {keys.begin(), keys.end()};
}

std::vector<CertificateKey> PodCertificateSources(const kube::Pod& pod) {
  std::vector<CertificateKey> keys;
  for (const auto& volume : pod.spec.volumes) {
    if (!volume.projected) continue;
    for (std::size_t i = 0; i < volume.projected->sources.size(); ++i) {
      if (volume.projected->sources[i].podCertificate) keys.emplace_back(volume.name, i);
    }
  }
  return keys;
}

absl::StatusOr<Payload> VolumePayload(const kube::Pod& pod, const kube::Volume& volume,
                                      const VolumeObjectsSnapshot& objects, const NodeInfo& node,
                                      const std::vector<std::string>& pod_ips) {
  if (volume.projected) return ProjectedPayload(pod, volume.name, *volume.projected, objects, node, pod_ips);
  Payload payload;
  if (volume.configMap) {
    const auto& map = *volume.configMap;
    const Defaults defaults{map.defaultMode.value_or(kDefaultMode), map.defaultUser};
    RETURN_IF_ERROR(AddConfigMap(map.name, map.items, map.optional.value_or(false), objects, defaults, payload));
  } else if (volume.secret) {
    const auto& secret = *volume.secret;
    const Defaults defaults{secret.defaultMode.value_or(kDefaultMode), secret.defaultUser};
    RETURN_IF_ERROR(
        AddSecret(secret.secretName, secret.items, secret.optional.value_or(false), objects, defaults, payload));
  } else if (volume.downwardAPI) {
    const Defaults defaults{volume.downwardAPI->defaultMode.value_or(kDefaultMode), volume.downwardAPI->defaultUser};
    RETURN_IF_ERROR(AddDownwardApi(pod, volume.downwardAPI->items, node, pod_ips, defaults, payload));
  }
  return payload;
}

std::optional<GroupOwnership> PayloadOwnership(const kube::Pod& pod) {
  if (!pod.spec.securityContext || !pod.spec.securityContext->fsGroup) return std::nullopt;
  GroupOwnership group;
  group.gid = *pod.spec.securityContext->fsGroup;
  group.read_only = true;
  return group;
}

std::vector<std::string> NestedMountPoints(const kube::Pod& pod, const std::string& volume) {
  std::vector<std::string> result;
  for (const auto& container : pod.spec.initContainers) CollectNested(container.volumeMounts, volume, result);
  for (const auto& container : pod.spec.containers) CollectNested(container.volumeMounts, volume, result);
  for (const auto& container : pod.spec.ephemeralContainers) CollectNested(container.volumeMounts, volume, result);
  std::sort(result.begin(), result.end());
  result.erase(std::unique(result.begin(), result.end()), result.end());
  return result;
}

}  // namespace burstlet::provider
