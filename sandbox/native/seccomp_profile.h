// The tables of the RuntimeDefault seccomp profile: what every container may call, what a capability adds, what is
// refused by name. A call in none of them (newer than this list) fails with ENOSYS, so that libc falls back.
//
// Same intent as the default profiles of the container runtimes: no mounts, modules, keys, tracing of the kernel,
// io_uring or userfaultfd. Data only.
#pragma once

#include <span>

namespace burstlet::sandbox {

struct CapabilityCall {
  int capability;
  const char* name;
};

std::span<const char* const> SeccompAllowed();
std::span<const CapabilityCall> SeccompWithCapability();
std::span<const char* const> SeccompDenied();

}  // namespace burstlet::sandbox
