// What the API server adds to a pod that leaves things out, and what it refuses: for pods that never meet one.
//
// Pure, any thread. Golden tests (test/testdata/defaults) hold both against a real server's dry run. Sources:
// pkg/apis/core/v1/defaults.go, pkg/apis/core/validation/validation.go, the ServiceAccount and DefaultTolerationSeconds
// admission plug-ins (not applied: there is no cluster).
#pragma once

#include <string>
#include <vector>

#include "kube/api/pod.h"

namespace burstlet::provider {

/// Fills in defaults in place, as a create of the pod would: the status is replaced, quantities become canonical.
/// Fields behind feature gates that are off in 1.37 stay as they were written, where a server would drop them.
void ApplyPodDefaults(kube::Pod& pod);

/// The API server's complaints: "spec.containers[0].name: Required value". Empty: the pod is valid. The pod has its
/// defaults and a namespace. Not looked into: affinity but the node's required one, topology spread, volumes of in-tree
/// drivers (RawJson), Windows.
std::vector<std::string> ValidatePod(const kube::Pod& pod);

}  // namespace burstlet::provider
