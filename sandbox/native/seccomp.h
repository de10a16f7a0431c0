// Seccomp profiles compiled to the kernel's filter programs, by libseccomp, in the agent.
//
// Threads: any; profiles of type Localhost are compiled at each start (seccomp_localhost.cpp); RuntimeDefault programs
// are compiled once per set of capabilities and kept. Failure: reason CreateContainerError. An empty program means: no
// filter.
#pragma once

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"
#include "sandbox/spec.h"

namespace burstlet::sandbox {

/// A filter as it goes to the kernel.
struct SeccompFilter {
  std::string program;      // the bytes of a sock_filter array
  std::uint64_t flags = 0;  // SECCOMP_FILTER_FLAG_*
};

/// For a container with `capabilities`.
absl::StatusOr<SeccompFilter> CompileSeccomp(const SeccompSpec& spec, std::uint64_t capabilities);

/// kLocalhost: errors name what the profile has wrong.
absl::StatusOr<SeccompFilter> CompileProfile(const SeccompProfile& profile);
/// A libseccomp context (scmp_filter_ctx) as a program.
absl::StatusOr<std::string> ExportSeccomp(void* context);

}  // namespace burstlet::sandbox
