// A read-only loop device for one file, which the kernel frees with its last user. Threads: any. Failure: ErrnoError.
#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "cache/fd.h"

namespace burstlet::cache {

struct LoopDevice {
  std::string path;  // "/dev/loop7"
  Fd fd;             // close it once the device is mounted: then the mount is the last user
};

absl::StatusOr<LoopDevice> AttachLoop(const std::string& file);

}  // namespace burstlet::cache
