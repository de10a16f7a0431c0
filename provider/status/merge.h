// What the API server keeps of a status, and whether two statuses say the same.
//
// Pure functions. Source: pkg/kubelet/status/status_manager.go (normalizeStatus, isPodStatusByKubeletEqual,
// mergePodStatus). Threads: any.
#pragma once

#include <string>

#include "kube/api/pod.h"

namespace burstlet::provider {

/// Cuts times to seconds and termination messages to the pod's share of 12 KiB: what comes back from the server.
void NormalizeStatus(const kube::Pod& pod, kube::PodStatus& status);

/// Copies the fields that nodes do not own (claims, nomination, volume health) from `from`.
void KeepForeignFields(const kube::PodStatus& from, kube::PodStatus& to);

/// `next` with the foreign conditions and fields of `stored`, which is newer than what `next` was made from.
kube::PodStatus MergeStatus(const kube::PodStatus& stored, kube::PodStatus next);

/// A text that is equal for statuses that differ in nothing a node owns: foreign conditions, the order of conditions,
/// transition times without a transition and the spelling of quantities do not count.
std::string StatusFingerprint(const kube::PodStatus& status);

}  // namespace burstlet::provider
