// What the API server adds to a pod that leaves things out, and what it refuses: for pods that never meet one.
//
// Pure. Golden tests hold both against a real server's dry run. Sources: pkg/apis/core/v1/defaults.go,
// pkg/apis/core/validation/validation.go, the ServiceAccount and DefaultTolerationSeconds admission plug-ins (not
// applied: there is no cluster).
#pragma once

#include <string>
#include <vector>

#include "kube/api/pod.h"

namespace burstlet::provider {

/// Fills in defaults in place, as a create of the pod would.
void ApplyPodDefaults(kube::Pod& pod);

/// The API server's complaints: "spec.containers[0].name: Required value". Empty: the pod is valid.
std::vector<std::string> ValidatePod(const kube::Pod& pod);

}  // namespace burstlet::provider
