// The kubelet's atomic writer: all files of a volume change at once, for readers that keep no lock.
//
//   <volume>/..data -> ..2026_11_24_07_30_00.123456      one rename swaps this link
//   <volume>/..2026_11_24_07_30_00.123456/{config,sub/key}
//   <volume>/config -> ..data/config, <volume>/sub -> ..data/sub
//
// Blocking; threads: any, one writer per volume. A crash in between leaves the old or the new content, and the next
// write sweeps the rest. Failure: kInvalidArgument for a bad path, else ErrnoError statuses; the old content stays.
// Source: pkg/volume/util/atomic_writer.go.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <map>
#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "provider/volumes/ownership.h"

namespace burstlet::provider {

struct FileProjection {
  std::string data;
  mode_t mode = 0644;
  std::optional<std::int64_t> uid;  // owner, where not root
};

/// Relative path ("sub/key") -> file.
using Payload = std::map<std::string, FileProjection>;

/// True when something was written. Content that is on disk already is not written again.
absl::StatusOr<bool> WritePayload(int volume, const Payload& payload, const std::optional<GroupOwnership>& group);

/// The kubelet's rules for a path in a volume: relative, no "..", not starting with "..", bounded.
absl::Status ValidatePayloadPath(const std::string& path);

}  // namespace burstlet::provider
