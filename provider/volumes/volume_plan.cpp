#include "provider/volumes/volume_plan.h"

#include <fcntl.h>

#include <algorithm>
#include <cctype>
#include <set>

#include "absl/strings/str_cat.h"
#include "metrics/status.h"
#include "provider/volumes/directory.h"
#include "provider/volumes/empty_dir.h"
#include "provider/volumes/host_path.h"
#include "sandbox/os/safe_path.h"

namespace burstlet::provider {
namespace {

using sandbox::UniqueFd;

std::string ContentRoot(const std::string& root_dir) { return absl::StrCat(root_dir, "/volumes"); }
std::string PodsRoot(const std::string& root_dir) { return absl::StrCat(root_dir, "/pods"); }

absl::Status SetUpError(const std::string& volume, const absl::Status& status) {
  return WithReason(Annotate(status, absl::StrCat("MountVolume.SetUp failed for volume \"", volume, "\" ")),
                    "FailedMount");
}

/// Why this volume can't be made ready at all; OK for those that can.
absl::Status CheckKind(const kube::Volume& volume) {
  if (!IsPlainName(volume.name) || volume.name.front() == '.') {
    return absl::InvalidArgumentError("not a valid volume name");
  }
  if (HasPayload(volume) || volume.emptyDir || volume.hostPath) return absl::OkStatus();
  if (volume.image) return absl::OkStatus();  // mounted at each start of a container, with the images it has then
  if (volume.persistentVolumeClaim || volume.ephemeral || volume.csi || volume.nfs) {
    return absl::UnimplementedError("persistentVolumeClaim, ephemeral, csi and nfs volumes are not supported");
  }
  return absl::UnimplementedError("no volume plugin matched");
}

absl::Status ApplyContent(int pod_directory, const VolumePlan::Content& content,
                          const std::optional<GroupOwnership>& group) {
  ASSIGN_OR_RETURN(const UniqueFd volume, MakeInside(pod_directory, content.volume, 0755));
  for (const auto& path : content.nested_mount_points) {
    auto made = MakeInside(volume.get(), path, 0755);
    if (!made.ok()) return Annotate(made.status(), "unable to create nested volume mountpoints");
  }
  return WritePayload(volume.get(), content.payload, group).status();
}

absl::Status ApplyContents(const VolumePlan& plan) {
  if (plan.contents.empty()) return absl::OkStatus();
  ASSIGN_OR_RETURN(const UniqueFd base, OpenOwnDirectory(ContentRoot(plan.root_dir)));
  ASSIGN_OR_RETURN(const UniqueFd pod_directory, MakeInside(base.get(), plan.pod->metadata.uid, 0700));
  const auto group = PayloadOwnership(*plan.pod);
  for (const auto& content : plan.contents) {
    const absl::Status status = ApplyContent(pod_directory.get(), content, group);
    if (!status.ok()) return SetUpError(content.volume, status);
  }
  return absl::OkStatus();
}

absl::Status ApplyOther(const VolumePlan& plan, const kube::Volume& volume) {
  if (volume.hostPath) return CheckHostPath(*volume.hostPath);
  if (volume.emptyDir->medium == "Memory") return absl::OkStatus();
  if (IsHugePageMedium(volume.emptyDir->medium)) return HugePageSize(*plan.pod, volume.emptyDir->medium).status();
  RETURN_IF_ERROR(sandbox::MakeDirectory(PodsRoot(plan.root_dir), 0700));
  ASSIGN_OR_RETURN(const UniqueFd pods, OpenOwnDirectory(PodsRoot(plan.root_dir)));
  ASSIGN_OR_RETURN(const UniqueFd pod_directory, MakeInside(pods.get(), plan.pod->metadata.uid, 0700));
  return SetUpEmptyDir(pod_directory.get(), volume.name, *plan.pod, *volume.emptyDir);
}

/// A directory that need not be there.
absl::StatusOr<UniqueFd> OpenOptional(const std::string& path) {
  auto directory = OpenOwnDirectory(path);
  if (!directory.ok() && absl::IsNotFound(directory.status())) return UniqueFd();
  return directory;
}

}  // namespace

bool IsPodUid(const std::string& uid) {
  return !uid.empty() && uid.size() <= 128 &&
         std::all_of(uid.begin(), uid.end(), [](unsigned char c) { return std::isalnum(c) != 0 || c == '-'; });
}

absl::StatusOr<VolumePlan> MakePlan(const std::string& root_dir, std::shared_ptr<const kube::Pod> pod,
                                    const VolumeObjectsSnapshot& objects, const NodeInfo& node,
                                    const std::vector<std::string>& pod_ips, PlanScope scope,
                                    std::vector<absl::Status>* skipped) {
  VolumePlan plan;
  plan.root_dir = root_dir;
  plan.pod = pod;
  for (const auto& volume : pod->spec.volumes) {
    if (scope == PlanScope::kAll) {
      const absl::Status kind = CheckKind(volume);
      if (!kind.ok()) return SetUpError(volume.name, kind);
    }
    if (volume.image) continue;
    if (!HasPayload(volume)) {
      if (scope == PlanScope::kAll) plan.others.push_back(volume);
      continue;
    }
    auto payload = VolumePayload(*pod, volume, objects, node, pod_ips);
    if (payload.ok()) {
      plan.contents.push_back({volume.name, *std::move(payload), NestedMountPoints(*pod, volume.name)});
    } else if (scope == PlanScope::kAll) {
      return SetUpError(volume.name, payload.status());
    } else if (skipped != nullptr) {
      skipped->push_back(SetUpError(volume.name, payload.status()));
    }
  }
  return plan;
}

absl::Status ApplyPlan(const VolumePlan& plan) {
  RETURN_IF_ERROR(ApplyContents(plan));
  for (const auto& volume : plan.others) {
    const absl::Status status = ApplyOther(plan, volume);
    if (!status.ok()) return SetUpError(volume.name, status);
  }
  return absl::OkStatus();
}

ReadyVolumes VolumesOf(const VolumePlan& plan, const NodeInfo& node) {
  ReadyVolumes result;
  const std::string& uid = plan.pod->metadata.uid;
  const auto& context = plan.pod->spec.securityContext;
  const std::optional<std::int64_t> group = context ? context->fsGroup : std::nullopt;
  for (const auto& content : plan.contents) {
    ReadyVolume& ready = result[content.volume];
    ready.source.path = absl::StrCat(ContentRoot(plan.root_dir), "/", uid, "/", content.volume);
    ready.read_only = true;
    ready.fs_group = group;
  }
  for (const auto& volume : plan.others) {
    ReadyVolume& ready = result[volume.name];
    if (volume.hostPath) {
      ready.source.path = volume.hostPath->path;
    } else if (volume.emptyDir->medium == "Memory") {
      ready.source = MemoryVolume(*plan.pod, *volume.emptyDir, node);
      ready.fs_group = group;
    } else if (IsHugePageMedium(volume.emptyDir->medium)) {
      ready.source = HugePageVolume(*plan.pod, *volume.emptyDir);
      ready.fs_group = group;
    } else {
      ready.source.path = absl::StrCat(PodsRoot(plan.root_dir), "/", uid, "/", kEmptyDirs, "/", volume.name);
      ready.fs_group = group;
    }
  }
  return result;
}

absl::Status RemovePodVolumes(const std::string& root_dir, const std::string& uid) {
  if (!IsPodUid(uid)) return absl::InvalidArgumentError(absl::StrCat("not a pod UID: ", uid));
  absl::Status first;
  auto note = [&](const absl::Status& status) {
    if (first.ok() && !absl::IsNotFound(status)) first = status;
  };
  auto contents = OpenOptional(ContentRoot(root_dir));
  note(contents.status());
  if (contents.ok() && contents->valid()) note(DeleteTree(contents->get(), uid));
  auto pods = OpenOptional(PodsRoot(root_dir));
  note(pods.status());
  if (pods.ok() && pods->valid()) {
    auto pod_directory = OpenInside(pods->get(), uid, O_DIRECTORY);
    note(pod_directory.status());
    // The pod's record beside it belongs to the pod's worker.
    if (pod_directory.ok()) note(DeleteTree(pod_directory->get(), "volumes"));
  }
  return first.ok() ? first : Annotate(first, absl::StrCat("volumes of pod ", uid));
}

std::vector<std::string> PodsOnDisk(const std::string& root_dir) {
  std::set<std::string> uids;
  auto add = [&](const std::string& root, bool with_volumes) {
    auto directory = OpenOptional(root);
    if (!directory.ok() || !directory->valid()) return;
    auto names = ListNames(directory->get());
    if (!names.ok()) return;
    for (const auto& name : *names) {
      if (!IsPodUid(name)) continue;
      if (with_volumes && !OpenInside(directory->get(), absl::StrCat(name, "/volumes"), O_DIRECTORY).ok()) continue;
      uids.insert(name);
    }
  };
  add(ContentRoot(root_dir), false);
  add(PodsRoot(root_dir), true);
  return {uids.begin(), uids.end()};
}

bool HasContentOnDisk(const std::string& root_dir, const std::string& uid) {
  if (!IsPodUid(uid)) return false;
  auto contents = OpenOptional(ContentRoot(root_dir));
  return contents.ok() && contents->valid() && OpenInside(contents->get(), uid, O_DIRECTORY).ok();
}

}  // namespace burstlet::provider
