// What must be on disk for a pod's volumes, as plain data, and the blocking work that puts it there.
//
// MakePlan is pure; ApplyPlan and RemovePodVolumes run on the worker pool, one at a time per pod. Failure: a status in
// the kubelet's form, `MountVolume.SetUp failed for volume "v" : why`.
#pragma once

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "kube/api/pod.h"
#include "provider/node_info.h"
#include "provider/translate/translate.h"
#include "provider/volumes/payload.h"

namespace burstlet::provider {

struct VolumePlan {
  struct Content {
    std::string volume;
    Payload payload;
    std::vector<std::string> nested_mount_points;
  };
  std::string root_dir;
  std::shared_ptr<const kube::Pod> pod;
  std::vector<Content> contents;
  std::vector<kube::Volume> others;  // emptyDir, hostPath
};

enum class PlanScope { kAll, kContentsOnly };

/// With kContentsOnly a volume whose content can't be made is left as it is, and its error put into `skipped`.
absl::StatusOr<VolumePlan> MakePlan(const std::string& root_dir, std::shared_ptr<const kube::Pod> pod,
                                    const VolumeObjectsSnapshot& objects, const NodeInfo& node,
                                    const std::vector<std::string>& pod_ips, PlanScope scope,
                                    std::vector<absl::Status>* skipped);

/// Writes what differs.
absl::Status ApplyPlan(const VolumePlan& plan);

/// Where the volumes of an applied plan are.
ReadyVolumes VolumesOf(const VolumePlan& plan, const NodeInfo& node);

/// Deletes the pod's directories; what is a mount point stays, with an error.
absl::Status RemovePodVolumes(const std::string& root_dir, const std::string& uid);

/// UIDs with volume directories below the root.
std::vector<std::string> PodsOnDisk(const std::string& root_dir);

/// Whether files of the pod's volumes were written before, by this agent or the one before it.
bool HasContentOnDisk(const std::string& root_dir, const std::string& uid);

/// Safe as a directory's name: [A-Za-z0-9-]+, not empty.
bool IsPodUid(const std::string& uid);

}  // namespace burstlet::provider
