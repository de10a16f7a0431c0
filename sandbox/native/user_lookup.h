// Who a container runs as: numbers from its spec, names from its own /etc/passwd and /etc/group.
//
// Both files come from an image: read inside its root by the kernel's own confinement, with bounds, and parsed here
// without I/O. Failure: reason CreateContainerError.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "sandbox/spec.h"

namespace burstlet::sandbox {

struct ResolvedUser {
  std::uint32_t uid = 0;
  std::uint32_t gid = 0;
  std::vector<std::uint32_t> groups;  // the primary group first (CVE-2023-25173)
  std::string home = "/";
};

/// The pure part; the texts are the two files, empty when missing.
absl::StatusOr<ResolvedUser> ResolveUser(const UserSpec& user, const std::string& passwd, const std::string& group);

/// Reads the files below `root` and resolves.
absl::StatusOr<ResolvedUser> LookUpUser(const UserSpec& user, int root);

}  // namespace burstlet::sandbox
