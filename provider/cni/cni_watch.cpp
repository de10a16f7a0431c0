#include "provider/cni/cni_watch.h"

#include <poll.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <utility>

#include "metrics/log.h"
#include "metrics/status.h"
#include "sandbox/os/safe_path.h"

namespace burstlet::provider {
namespace {

constexpr std::uint32_t kEvents =
    IN_CLOSE_WRITE | IN_MOVED_TO | IN_MOVED_FROM | IN_DELETE | IN_DELETE_SELF | IN_MOVE_SELF | IN_ONLYDIR;
// Until a folder that was removed is made anew, or a network that calls itself unwell is well.
constexpr int kRetryMs = 5000;

}  // namespace

CniWatch::CniWatch(std::string directory, Test test, std::function<void()> changed)
    : directory_(std::move(directory)),
      test_(std::move(test)),
      changed_(std::move(changed)),
      current_(absl::UnavailableError("cni plugin not initialized")) {}

absl::StatusOr<std::unique_ptr<CniWatch>> CniWatch::Start(std::string directory, Test test,
                                                          std::function<void()> changed) {
  std::unique_ptr<CniWatch> watch(new CniWatch(std::move(directory), std::move(test), std::move(changed)));
  watch->stop_ = sandbox::UniqueFd(eventfd(0, EFD_CLOEXEC));
  if (!watch->stop_.valid()) return ErrnoError(errno, "eventfd");
  RETURN_IF_ERROR(watch->Arm());
  watch->Load();
  watch->thread_ = std::thread([raw = watch.get()] { raw->Follow(); });
  return watch;
}

CniWatch::~CniWatch() {
  if (!thread_.joinable()) return;
  const std::uint64_t one = 1;
  if (write(stop_.get(), &one, sizeof one) == sizeof one) thread_.join();
}

absl::Status CniWatch::Arm() {
  RETURN_IF_ERROR(sandbox::MakeDirectory(directory_, 0755));
  inotify_ = sandbox::UniqueFd(inotify_init1(IN_CLOEXEC | IN_NONBLOCK));
  if (!inotify_.valid()) return ErrnoError(errno, "inotify");
  if (inotify_add_watch(inotify_.get(), directory_.c_str(), kEvents) < 0) return ErrnoError(errno, directory_);
  return absl::OkStatus();
}

void CniWatch::Load() {
  absl::StatusOr<CniNetworkConfig> loaded = LoadCniConfig(directory_);
  const absl::Status status = loaded.ok() ? test_(*loaded) : absl::UnavailableError("cni plugin not initialized");
  Config next = absl::UnknownError("");
  if (status.ok()) {
    next = std::make_shared<const CniNetworkConfig>(*std::move(loaded));
  } else {
    next = status;
  }
  bool differs = false;
  {
    const std::lock_guard lock(mutex_);
    differs = next.status() != current_.status() || (next.ok() && (*next)->file != (*current_)->file);
    current_ = next;
  }
  if (!differs) return;
  if (next.ok()) {
    Info("CNI network in use", {{"network", (*next)->name}, {"file", (*next)->file}});
  } else {
    Warn("No CNI network", {{"err", std::string(next.status().message())}, {"folder", directory_}});
  }
  changed_();
}

void CniWatch::Follow() {
  bool armed = true;
  for (;;) {
    std::array<pollfd, 2> polled{{{stop_.get(), POLLIN, 0}, {armed ? inotify_.get() : -1, POLLIN, 0}}};
    const bool well = armed && Current().ok();
    if (poll(polled.data(), polled.size(), well ? -1 : kRetryMs) < 0 && errno != EINTR) return;
    if (polled[0].revents != 0) return;
    alignas(inotify_event) std::array<char, 8192> buffer;
    for (ssize_t got; armed && (got = read(inotify_.get(), buffer.data(), buffer.size())) > 0;) {
      for (ssize_t at = 0; at < got;) {
        const auto* event = reinterpret_cast<const inotify_event*>(buffer.data() + at);
        at += static_cast<ssize_t>(sizeof(inotify_event) + event->len);
        if ((event->mask & (IN_DELETE_SELF | IN_MOVE_SELF | IN_IGNORED)) != 0) armed = false;
      }
    }
    if (!armed) {
      const absl::Status status = Arm();
      LogIfError(status, "Failed to follow the folder of CNI configurations");
      armed = status.ok();
    }
    Load();
  }
}

CniWatch::Config CniWatch::Current() const {
  const std::lock_guard lock(mutex_);
  return current_;
}

}  // namespace burstlet::provider
