// emptyDir: a directory of the pod on disk, or a tmpfs in its mount namespace.
//
// SetUpEmptyDir blocks, any thread; the others are pure. Failure: a status with the kubelet's words.
// Source: pkg/volume/emptydir/empty_dir.go.
#pragma once

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"
#include "kube/api/pod.h"
#include "provider/node_info.h"
#include "sandbox/spec.h"

namespace burstlet::provider {

/// Below the pod's directory, as the kubelet names it.
inline constexpr char kEmptyDirs[] = "volumes/kubernetes.io~empty-dir";

/// Bytes a memory-backed one may hold: its own limit, the pod's or the node's, whichever is least.
std::int64_t MemoryVolumeSize(const kube::Pod& pod, const kube::EmptyDirVolumeSource& source, const NodeInfo& node);

/// Medium Memory: nothing to make here, the sandbox mounts it.
sandbox::VolumeSource MemoryVolume(const kube::Pod& pod, const kube::EmptyDirVolumeSource& source,
                                   const NodeInfo& node);

/// Medium HugePages or HugePages-<size>: the size of its pages, from the medium or else from the pod's one kind of huge
/// page requests. kInvalidArgument, with the kubelet's words: none, or several. Source: empty_dir.go,
/// getPageSizeMountOption.
absl::StatusOr<std::int64_t> HugePageSize(const kube::Pod& pod, const std::string& medium);
/// The same as what the sandbox mounts; the size has been checked before.
sandbox::VolumeSource HugePageVolume(const kube::Pod& pod, const kube::EmptyDirVolumeSource& source);
bool IsHugePageMedium(const std::string& medium);

/// Makes the directory `name` in the pod's directory `pod_directory` unless it is there, with mode and fsGroup set
/// before it appears: what a container did to it later stays.
absl::Status SetUpEmptyDir(int pod_directory, const std::string& name, const kube::Pod& pod,
                           const kube::EmptyDirVolumeSource& source);

}  // namespace burstlet::provider
