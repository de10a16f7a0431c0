// Seccomp profiles from files below <root-dir>/seccomp: the OCI's format, and docker's with conditions on capabilities.
//
// Parsing is pure, with bounds, and decides what a container's capabilities decide; ReadSeccompProfile blocks (pool
// threads). Failure: reason CreateContainerError and a message that names the file.
// Sources: OCI runtime-spec config-linux.md (seccomp), moby profiles/seccomp, kubelet security_context.go.
#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "kube/api/pod.h"
#include "sandbox/spec.h"

namespace burstlet::provider {

/// The container's effective localhostProfile; empty when its profile is of another type.
std::string LocalhostSeccompProfile(const kube::Pod& pod, const kube::Container& container);

/// The text of `name` below `root`, never outside of it. Larger than 1 MiB is refused.
absl::StatusOr<std::string> ReadSeccompProfile(const std::string& root, const std::string& name);

/// `file` names it in errors; `capabilities` are the container's, without "CAP_".
absl::StatusOr<sandbox::SeccompProfile> ParseSeccompProfile(const std::string& file, const std::string& text,
                                                            const std::vector<std::string>& capabilities);

}  // namespace burstlet::provider
