// fsGroup: a volume's files given to a group, as the kubelet does it.
//
// Blocking; threads: any. Failure: ErrnoError statuses. Source: pkg/volume/volume_linux.go.
#pragma once

#include <cstdint>

#include "absl/status/status.h"

namespace burstlet::provider {

struct GroupOwnership {
  std::int64_t gid = 0;
  bool read_only = false;              // the group may read, else read and write
  bool only_on_root_mismatch = false;  // fsGroupChangePolicy OnRootMismatch: the root alone decides
};

/// Group, group bits (directories: also x and setgid) for all below and for `directory` itself, last. Links get the
/// group but nothing behind them is touched.
absl::Status SetGroupOwnership(int directory, const GroupOwnership& ownership);

/// The same for one open file or directory.
absl::Status SetGroupOf(int fd, const GroupOwnership& ownership);

}  // namespace burstlet::provider
