// Seccomp profiles compiled to the kernel's filter programs, by libseccomp, in the agent.
//
// Threads: any; RuntimeDefault programs are compiled once per set of capabilities and kept. Failure: reason
// CreateContainerError. An empty program means: no filter.
#pragma once

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"
#include "sandbox/spec.h"

namespace burstlet::sandbox {

/// The bytes of a sock_filter array for a container with `capabilities`.
absl::StatusOr<std::string> CompileSeccomp(const SeccompSpec& spec, std::uint64_t capabilities);

}  // namespace burstlet::sandbox
