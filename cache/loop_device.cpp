#include "cache/loop_device.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/loop.h>
#include <sys/ioctl.h>

#include <cstring>

#include "absl/strings/str_cat.h"
#include "metrics/status.h"

namespace burstlet::cache {
namespace {

constexpr int kTries = 64;  // each lost race is somebody else's new device

}  // namespace

absl::StatusOr<LoopDevice> AttachLoop(const std::string& file) {
  const Fd backing(open(file.c_str(), O_RDONLY | O_NOFOLLOW | O_CLOEXEC));
  if (!backing.valid()) return ErrnoError(errno, absl::StrCat("open ", file));
  const Fd control(open("/dev/loop-control", O_RDWR | O_CLOEXEC));
  if (!control.valid()) return ErrnoError(errno, "/dev/loop-control");
  for (int i = 0; i < kTries; ++i) {
    const int number = ioctl(control.get(), LOOP_CTL_GET_FREE);
    if (number < 0) return ErrnoError(errno, "find a free loop device");
    LoopDevice device;
    device.path = absl::StrCat("/dev/loop", number);
    device.fd = Fd(open(device.path.c_str(), O_RDONLY | O_CLOEXEC));
    if (!device.fd.valid()) return ErrnoError(errno, absl::StrCat("open ", device.path));
    loop_config config = {};
    config.fd = static_cast<std::uint32_t>(backing.get());
    config.block_size = 4096;
    config.info.lo_flags = LO_FLAGS_READ_ONLY | LO_FLAGS_AUTOCLEAR;
    std::strncpy(reinterpret_cast<char*>(config.info.lo_file_name), file.c_str(), LO_NAME_SIZE - 1);
    if (ioctl(device.fd.get(), LOOP_CONFIGURE, &config) == 0) return device;
    if (errno != EBUSY) return ErrnoError(errno, absl::StrCat("attach ", file, " to ", device.path));
  }
  return absl::UnavailableError("every free loop device was taken by somebody else");
}

}  // namespace burstlet::cache
