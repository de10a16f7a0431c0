#include "provider/translate/mounts.h"

#include <algorithm>
#include <set>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "metrics/status.h"
#include "provider/translate/environment.h"
#include "provider/translate/expansion.h"

namespace burstlet::provider {
namespace {

absl::Status ConfigError(const std::string& message) {
  return ReasonError(absl::StatusCode::kFailedPrecondition, "CreateContainerConfigError", message);
}

/// The path's elements without empty ones and ".".
std::vector<std::string> Elements(const std::string& path) {
  std::vector<std::string> result = absl::StrSplit(path, '/');
  result.erase(std::remove_if(result.begin(), result.end(),
                              [](const std::string& element) { return element.empty() || element == "."; }),
               result.end());
  return result;
}

std::string CleanAbsolute(const std::string& path) { return absl::StrCat("/", absl::StrJoin(Elements(path), "/")); }

bool HasBackstep(const std::string& path) {
  const std::vector<std::string> elements = Elements(path);
  return std::find(elements.begin(), elements.end(), "..") != elements.end();
}

absl::StatusOr<std::string> SubPath(const kube::VolumeMount& mount, const std::map<std::string, std::string>& env) {
  std::string path = mount.subPath;
  if (!mount.subPathExpr.empty()) {
    std::set<std::string> missing;
    // An unset or empty variable would silently widen the mount to the whole volume.
    for (const std::string& name : ReferencedVariables(mount.subPathExpr)) {
      auto value = env.find(name);
      if (value == env.end() || value->second.empty()) missing.insert(name);
    }
    if (!missing.empty()) return ConfigError(absl::StrCat("missing value for ", absl::StrJoin(missing, ", ")));
    path = ExpandVariables(mount.subPathExpr, env);
  }
  if (path.empty()) return path;
  if (path.front() == '/') return ConfigError(absl::StrCat("error SubPath `", path, "` must not be an absolute path"));
  if (HasBackstep(path)) {
    return ConfigError(absl::StrCat("unable to provision SubPath `", path, "`: must not contain '..'"));
  }
  if (path.find('\0') != std::string::npos) return ConfigError("unable to provision SubPath: it has a NUL byte");
  return absl::StrJoin(Elements(path), "/");
}

absl::StatusOr<sandbox::Propagation> Propagation(const kube::VolumeMount& mount) {
  const std::string mode = mount.mountPropagation.value_or("None");
  if (mode == "None") return sandbox::Propagation::kPrivate;
  if (mode == "HostToContainer") return sandbox::Propagation::kHostToContainer;
  if (mode == "Bidirectional") return sandbox::Propagation::kBidirectional;
  return ConfigError(absl::StrCat("invalid MountPropagation mode: \"", mode, "\""));
}

absl::StatusOr<bool> RecursiveReadOnly(const kube::VolumeMount& mount) {
  const std::string mode = mount.recursiveReadOnly.value_or("Disabled");
  if (mode == "Disabled") return false;
  const std::string what = absl::StrCat("failed to resolve recursive read-only mode: volume \"", mount.name,
                                        "\" requested recursive ", "read-only mode, but it is not ");
  if (!mount.readOnly) return ConfigError(absl::StrCat(what, "read-only"));
  if (mount.mountPropagation.value_or("None") != "None") {
    return ConfigError(absl::StrCat(what, "compatible with propagation \"", *mount.mountPropagation, "\""));
  }
  // Every supported kernel can do it (mount_setattr with AT_RECURSIVE, Linux 5.12).
  if (mode == "IfPossible" || mode == "Enabled") return true;
  return ConfigError(
      absl::StrCat("failed to resolve recursive read-only mode: unknown recursive read-only mode \"", mode, "\""));
}

/// Content that the agent writes, or an image: containers never write to it, whatever the mount says.
bool ForcedReadOnly(const kube::Volume& volume) {
  return volume.configMap || volume.secret || volume.downwardAPI || volume.projected || volume.image;
}

absl::StatusOr<sandbox::MountSpec> TranslateMount(const kube::Pod& pod, const kube::Container& container,
                                                  const kube::VolumeMount& mount,
                                                  const std::map<std::string, std::string>& env,
                                                  const ImageVolumes& image_volumes) {
  const auto& volumes = pod.spec.volumes;
  auto volume = std::find_if(volumes.begin(), volumes.end(), [&](const auto& one) { return one.name == mount.name; });
  if (volume == volumes.end()) {
    return ConfigError(
        absl::StrCat("cannot find volume \"", mount.name, "\" to mount into container \"", container.name, "\""));
  }
  if (!mount.bindMountOptions.empty()) {
    return ConfigError(absl::StrCat("volumeMounts[", mount.name, "].bindMountOptions is not supported"));
  }
  if (HasBackstep(mount.mountPath)) {
    return ConfigError(
        absl::StrCat("volumeMounts[", mount.name, "].mountPath: \"", mount.mountPath, "\" must not contain '..'"));
  }
  sandbox::MountSpec result;
  if (volume->image) {
    const auto layers = image_volumes.find(mount.name);
    if (layers == image_volumes.end())
      return ConfigError(absl::StrCat("image of volume \"", mount.name, "\" is not there"));
    result.image_layers = layers->second;
  } else {
    result.volume = mount.name;
  }
  result.destination = CleanAbsolute(mount.mountPath);
  if (result.destination == "/") {
    return ConfigError(absl::StrCat("volumeMounts[", mount.name, "].mountPath: must not be the container's root"));
  }
  ASSIGN_OR_RETURN(result.sub_path, SubPath(mount, env));
  ASSIGN_OR_RETURN(result.propagation, Propagation(mount));
  ASSIGN_OR_RETURN(result.recursive_read_only, RecursiveReadOnly(mount));
  result.read_only = mount.readOnly || ForcedReadOnly(*volume);
  return result;
}

}  // namespace

absl::StatusOr<std::vector<sandbox::MountSpec>> TranslateMounts(const kube::Pod& pod, const kube::Container& container,
                                                                const std::map<std::string, std::string>& env,
                                                                const std::vector<sandbox::MountSpec>& files,
                                                                const ImageVolumes& image_volumes,
                                                                bool read_only_rootfs) {
  std::multimap<std::size_t, sandbox::MountSpec> by_depth;  // in order of insertion where the depth is the same
  auto add = [&](sandbox::MountSpec mount) {
    const std::size_t depth = Elements(mount.destination).size();
    by_depth.emplace(depth, std::move(mount));
  };
  std::set<std::string> taken;
  for (const auto& mount : container.volumeMounts) {
    ASSIGN_OR_RETURN(sandbox::MountSpec translated, TranslateMount(pod, container, mount, env, image_volumes));
    taken.insert(translated.destination);
    add(std::move(translated));
  }
  static const std::set<std::string> kManaged = {"/etc/hosts", "/etc/hostname", "/etc/resolv.conf"};
  for (const auto& file : files) {
    sandbox::MountSpec mount = file;
    mount.destination = CleanAbsolute(mount.destination);
    const bool managed = kManaged.count(mount.destination) != 0;
    // The user's own /etc/hosts wins over the managed one. A termination log is mounted over whatever is there.
    if (managed && taken.count(mount.destination) != 0) continue;
    // /etc/hosts stays writable, as the kubelet mounts it; the other two follow the root file system.
    if (managed && mount.destination != "/etc/hosts" && read_only_rootfs) mount.read_only = true;
    add(std::move(mount));
  }
  std::vector<sandbox::MountSpec> result;
  for (auto& [depth, mount] : by_depth) result.push_back(std::move(mount));
  return result;
}

}  // namespace burstlet::provider
