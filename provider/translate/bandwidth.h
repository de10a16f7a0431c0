// The annotations that limit a pod's traffic: kubernetes.io/ingress-bandwidth and egress-bandwidth, bits per second.
//
// Threads: pure. Failure: reason FailedCreatePodSandBox with the annotation's name, as container runtimes refuse them.
#pragma once

#include "absl/status/status.h"
#include "kube/api/pod.h"
#include "sandbox/spec.h"

namespace burstlet::provider {

/// From 1k to 1P (1000 based or binary suffixes); absent ones leave no limit.
absl::Status TranslateBandwidth(const kube::Pod& pod, sandbox::SandboxSpec& spec);

}  // namespace burstlet::provider
