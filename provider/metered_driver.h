// Counts and times what sandboxes are asked to do: a driver around a driver.
//
// Owner: PodRuntime. Threads: as the driver inside. Source of the names:
// pkg/kubelet/kuberuntime/instrumented_services.go.
#pragma once

#include <memory>

#include "metrics/catalog.h"
#include "sandbox/sandbox.h"

namespace burstlet::provider {

/// `metrics` outlives the driver and its sandboxes.
std::unique_ptr<sandbox::SandboxDriver> Metered(std::unique_ptr<sandbox::SandboxDriver> driver, Metrics& metrics);

}  // namespace burstlet::provider
