#include "sandbox/os/lock_file.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/file.h>
#include <sys/inotify.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>

#include "absl/strings/str_cat.h"
#include "metrics/status.h"

namespace burstlet::sandbox {

absl::StatusOr<UniqueFd> LockFile(const std::string& path, std::chrono::milliseconds patience) {
  UniqueFd file(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600));
  if (!file.valid()) return ErrnoError(errno, path);
  // Before the first try, so that no close is missed.
  UniqueFd closes(::inotify_init1(IN_CLOEXEC | IN_NONBLOCK));
  if (!closes.valid() || ::inotify_add_watch(closes.get(), path.c_str(), IN_CLOSE) < 0) return ErrnoError(errno, path);
  const auto end = std::chrono::steady_clock::now() + patience;
  while (::flock(file.get(), LOCK_EX | LOCK_NB) != 0) {
    if (errno == EINTR) continue;
    if (errno != EWOULDBLOCK) return ErrnoError(errno, absl::StrCat("locking ", path));
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(end - std::chrono::steady_clock::now()).count();
    if (left <= 0) return absl::FailedPreconditionError(absl::StrCat(path, " is held by another process"));
    pollfd polled{closes.get(), POLLIN, 0};
    if (::poll(&polled, 1, static_cast<int>(std::min<std::int64_t>(left, 60'000))) < 0 && errno != EINTR) {
      return ErrnoError(errno, absl::StrCat("waiting for ", path));
    }
    alignas(inotify_event) std::array<char, 4096> events;
    while (::read(closes.get(), events.data(), events.size()) > 0) {
    }
  }
  return file;
}

}  // namespace burstlet::sandbox
