// Volumes and how containers mount them.
#include <algorithm>
#include <set>

#include "absl/strings/str_cat.h"
#include "kube/api/quantity.h"
#include "provider/validation.h"
#include "provider/validation_names.h"

namespace burstlet::provider::validation {
namespace {

constexpr std::int32_t kMostEmptyDirMode = 01777;

/// The sources that a volume has.
struct SourceVisitor {
  std::vector<std::string> names;

  template <typename T>
  void operator()(const char* name, const std::optional<T>& source, kube::Presence) {
    if (source) names.emplace_back(name);
  }
  void operator()(const char*, const std::string&, kube::Presence) {}
};

/// Of several sources the first in the server's order is taken for the one that was meant.
std::size_t Rank(const std::string& source) {
  static const std::vector<std::string> kOrder = {"emptyDir",
                                                  "hostPath",
                                                  "gitRepo",
                                                  "gcePersistentDisk",
                                                  "awsElasticBlockStore",
                                                  "secret",
                                                  "nfs",
                                                  "iscsi",
                                                  "glusterfs",
                                                  "flocker",
                                                  "persistentVolumeClaim",
                                                  "rbd",
                                                  "cinder",
                                                  "cephfs",
                                                  "quobyte",
                                                  "downwardAPI",
                                                  "fc",
                                                  "flexVolume",
                                                  "configMap",
                                                  "azureFile",
                                                  "vsphereVolume",
                                                  "photonPersistentDisk",
                                                  "portworxVolume",
                                                  "azureDisk",
                                                  "storageos",
                                                  "projected",
                                                  "scaleIO",
                                                  "csi",
                                                  "ephemeral",
                                                  "image"};
  return static_cast<std::size_t>(std::find(kOrder.begin(), kOrder.end(), source) - kOrder.begin());
}

void CheckEmptyDir(Complaints& complaints, const std::string& path, const kube::EmptyDirVolumeSource& source) {
  if (source.sizeLimit) {
    if (!kube::ParseQuantity(source.sizeLimit->text).ok() || kube::CompareQuantity(*source.sizeLimit, {"0"}) < 0) {
      complaints.Forbidden(path + ".sizeLimit", "SizeLimit field must be a valid resource quantity");
    }
  }
  if (source.mode && (*source.mode < 0 || *source.mode > kMostEmptyDirMode)) {
    complaints.Invalid(path + ".mode", *source.mode, "must be a number between 0 and 01777 (octal), both inclusive");
  }
}

void CheckHostPath(Complaints& complaints, const std::string& path, const kube::HostPathVolumeSource& source) {
  if (source.path.empty()) {
    complaints.Required(path + ".path");
    return;
  }
  complaints.InvalidEach(path + ".path", source.path, NoBacksteps(source.path));
  if (source.type) {
    complaints.OneOf(
        path + ".type", *source.type,
        {"", "BlockDevice", "CharDevice", "Directory", "DirectoryOrCreate", "File", "FileOrCreate", "Socket"});
  }
}

void CheckItems(Complaints& complaints, const std::string& path, const std::vector<kube::KeyToPath>& items) {
  for (std::size_t i = 0; i < items.size(); ++i) CheckKeyToPath(complaints, Index(path + ".items", i), items[i]);
}

void CheckNfs(Complaints& complaints, const std::string& path, const kube::NFSVolumeSource& source) {
  if (source.server.empty()) complaints.Required(path + ".server");
  if (source.path.empty()) complaints.Required(path + ".path");
  if (!source.path.starts_with('/')) complaints.Invalid(path + ".path", source.path, "must be an absolute path");
}

void CheckCsi(Complaints& complaints, const std::string& path, const kube::CSIVolumeSource& source) {
  if (source.driver.empty()) complaints.Required(path + ".driver");
  if (source.nodePublishSecretRef && source.nodePublishSecretRef->name.empty()) {
    complaints.Required(path + ".nodePublishSecretRef.name");
  }
}

/// A ConfigMap or Secret: the same fields under another name of the name.
template <typename Source>
void CheckFiles(Complaints& complaints, const std::string& path, const std::string& name_path, const std::string& name,
                const Source& source) {
  if (name.empty()) complaints.Required(name_path);
  CheckFileMode(complaints, path + ".defaultMode", source.defaultMode);
  CheckUser(complaints, path + ".defaultUser", source.defaultUser);
  CheckItems(complaints, path, source.items);
}

void CheckDownward(Complaints& complaints, const std::string& path, const kube::DownwardAPIVolumeSource& source) {
  CheckFileMode(complaints, path + ".defaultMode", source.defaultMode);
  CheckUser(complaints, path + ".defaultUser", source.defaultUser);
  // The server's paths have no index here.
  for (const kube::DownwardAPIVolumeFile& file : source.items) CheckDownwardFile(complaints, path, file);
}

void CheckImage(Complaints& complaints, const std::string& path, const kube::ImageVolumeSource& source) {
  if (source.reference.empty()) complaints.Required(path + ".reference");
  CheckPullPolicy(complaints, path + ".pullPolicy", source.pullPolicy);
}

void CheckSource(Complaints& complaints, const std::string& path, const kube::Volume& volume) {
  SourceVisitor visitor;
  VisitFields(visitor, volume);
  std::vector<std::string>& sources = visitor.names;
  std::sort(sources.begin(), sources.end(),
            [](const std::string& a, const std::string& b) { return Rank(a) < Rank(b); });
  if (sources.empty()) complaints.Required(path, "must specify a volume type");
  for (std::size_t i = 1; i < sources.size(); ++i) {
    complaints.Forbidden(absl::StrCat(path, ".", sources[i]), "may not specify more than 1 volume type");
  }
  if (sources.size() > 1) return;
  if (volume.emptyDir) CheckEmptyDir(complaints, path + ".emptyDir", *volume.emptyDir);
  if (volume.hostPath) CheckHostPath(complaints, path + ".hostPath", *volume.hostPath);
  if (volume.nfs) CheckNfs(complaints, path + ".nfs", *volume.nfs);
  if (volume.csi) CheckCsi(complaints, path + ".csi", *volume.csi);
  if (volume.image) CheckImage(complaints, path + ".image", *volume.image);
  if (volume.downwardAPI) CheckDownward(complaints, path + ".downwardAPI", *volume.downwardAPI);
  if (volume.projected) CheckProjected(complaints, path + ".projected", *volume.projected);
  if (volume.secret) {
    const std::string secret = path + ".secret";
    CheckFiles(complaints, secret, secret + ".secretName", volume.secret->secretName, *volume.secret);
  }
  if (volume.configMap) {
    const std::string map = path + ".configMap";
    CheckFiles(complaints, map, map + ".name", volume.configMap->name, *volume.configMap);
  }
  if (volume.persistentVolumeClaim && volume.persistentVolumeClaim->claimName.empty()) {
    complaints.Required(path + ".persistentVolumeClaim.claimName");
  }
  if (volume.ephemeral && !volume.ephemeral->volumeClaimTemplate) {
    complaints.Required(path + ".ephemeral.volumeClaimTemplate");
  }
}

void CheckPropagation(Complaints& complaints, const std::string& path, const std::string& propagation,
                      const kube::Container& container) {
  complaints.OneOf(path, propagation, {"Bidirectional", "HostToContainer", "None"});
  const bool privileged = container.securityContext && container.securityContext->privileged.value_or(false);
  if (propagation == "Bidirectional" && !privileged) {
    complaints.Forbidden(path, "Bidirectional mount propagation is available only to privileged containers");
  }
}

void CheckRecursive(Complaints& complaints, const std::string& path, const kube::VolumeMount& mount) {
  if (!mount.recursiveReadOnly || *mount.recursiveReadOnly == "Disabled") return;
  const std::string& value = *mount.recursiveReadOnly;
  if (value != "Enabled" && value != "IfPossible") {
    complaints.NotSupported(path, value, {"Disabled", "Enabled", "IfPossible"});
    return;
  }
  if (!mount.readOnly) complaints.Forbidden(path, "may only be specified when readOnly is true");
  if (mount.mountPropagation.value_or("None") != "None") {
    complaints.Forbidden(path, "may only be specified when mountPropagation is None or not specified");
  }
}

/// Sub-paths, propagation and recursion; the server's paths name the list for these, not the mount.
void CheckMountOptions(Complaints& complaints, const std::string& list, const std::string& path,
                       const kube::VolumeMount& mount, const kube::Container& container) {
  complaints.InvalidEach(list + ".subPath", mount.subPath, DescendingPath(mount.subPath));
  if (!mount.subPathExpr.empty()) {
    if (!mount.subPath.empty()) {
      complaints.Invalid(path + ".subPathExpr", mount.subPathExpr, "subPathExpr and subPath are mutually exclusive");
    }
    complaints.InvalidEach(list + ".subPathExpr", mount.subPathExpr, DescendingPath(mount.subPathExpr));
  }
  if (mount.mountPropagation) {
    CheckPropagation(complaints, list + ".mountPropagation", *mount.mountPropagation, container);
  }
  CheckRecursive(complaints, list + ".recursiveReadOnly", mount);
  std::set<std::string> seen;
  for (std::size_t i = 0; i < mount.bindMountOptions.size(); ++i) {
    const std::string at = Index(path + ".bindMountOptions", i);
    complaints.OneOf(at, mount.bindMountOptions[i], {"nodev", "noexec", "nosuid"});
    if (!seen.insert(mount.bindMountOptions[i]).second) complaints.Duplicate(at, mount.bindMountOptions[i]);
  }
}

}  // namespace

VolumeMap CheckVolumes(Complaints& complaints, const std::vector<kube::Volume>& volumes) {
  VolumeMap good;
  for (std::size_t i = 0; i < volumes.size(); ++i) {
    const kube::Volume& volume = volumes[i];
    const std::string path = Index("spec.volumes", i);
    Complaints own;
    CheckSource(own, path, volume);
    if (volume.name.empty()) {
      own.Required(path + ".name");
    } else {
      own.InvalidEach(path + ".name", volume.name, DnsLabel(volume.name));
    }
    if (good.count(volume.name) != 0) own.Duplicate(path + ".name", volume.name);
    if (!complaints.Append(own)) good[volume.name] = &volume;
  }
  return good;
}

void CheckVolumeMounts(Complaints& complaints, const std::string& path, const kube::Container& container,
                       const VolumeMap& volumes) {
  std::set<std::string> mount_points;
  std::set<std::string> device_names;
  std::set<std::string> device_paths;
  for (const kube::VolumeDevice& device : container.volumeDevices) {
    device_names.insert(device.name);
    device_paths.insert(device.devicePath);
  }
  for (std::size_t i = 0; i < container.volumeMounts.size(); ++i) {
    const kube::VolumeMount& mount = container.volumeMounts[i];
    const std::string at = Index(path, i);
    if (mount.name.empty()) complaints.Required(at + ".name");
    if (volumes.count(mount.name) == 0) complaints.NotFound(at + ".name", mount.name);
    if (mount.mountPath.empty()) complaints.Required(at + ".mountPath");
    if (!mount_points.insert(mount.mountPath).second) {
      complaints.Invalid(at + ".mountPath", mount.mountPath, "must be unique");
    }
    if (device_names.count(mount.name) != 0) {
      complaints.Invalid(at + ".name", mount.name, "must not already exist in volumeDevices");
    }
    if (device_paths.count(mount.mountPath) != 0) {
      complaints.Invalid(at + ".mountPath", mount.mountPath, "must not already exist as a path in volumeDevices");
    }
    CheckMountOptions(complaints, path, at, mount, container);
  }
}

void CheckVolumeDevices(Complaints& complaints, const std::string& path, const kube::Container& container,
                        const VolumeMap& volumes) {
  std::set<std::string> names;
  std::set<std::string> paths;
  for (std::size_t i = 0; i < container.volumeDevices.size(); ++i) {
    const kube::VolumeDevice& device = container.volumeDevices[i];
    const std::string at = Index(path, i);
    if (device.name.empty()) {
      complaints.Required(at + ".name");
    } else if (!names.insert(device.name).second) {
      complaints.Invalid(at + ".name", device.name, "must be unique");
    }
    const auto volume = volumes.find(device.name);
    if (volume == volumes.end()) {
      complaints.NotFound(at + ".name", device.name);
    } else if (!volume->second->persistentVolumeClaim && !volume->second->ephemeral) {
      complaints.Invalid(at + ".name", device.name,
                         "can only use volume source type of PersistentVolumeClaim or Ephemeral for block mode");
    }
    if (device.devicePath.empty()) complaints.Required(at + ".devicePath");
    if (paths.count(device.devicePath) != 0)
      complaints.Invalid(at + ".devicePath", device.devicePath, "must be unique");
    if (!NoBacksteps(device.devicePath).empty()) {
      complaints.Invalid(at + ".devicePath", device.devicePath, "can not contain backsteps ('..')");
    } else {
      paths.insert(device.devicePath);
    }
  }
}

}  // namespace burstlet::provider::validation
