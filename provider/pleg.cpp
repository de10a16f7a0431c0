#include "provider/pleg.h"

#include <fcntl.h>

#include <utility>

#include <boost/asio/posix/stream_descriptor.hpp>

#include "metrics/log.h"

namespace burstlet::provider {
namespace {

/// Outlives its owner for as long as a wait is queued; `stopped` then makes the wait's end a no-op.
struct Watch : std::enable_shared_from_this<Watch> {
  Watch(kube::Loop& loop, std::shared_ptr<SandboxHandle> s) : descriptor(loop.context()), sandbox(std::move(s)) {}

  void Wait() {
    auto self = shared_from_this();
    descriptor.async_wait(boost::asio::posix::stream_descriptor::wait_read,
                          [self](const boost::system::error_code& error) {
                            if (error || self->stopped) return;
                            self->Read();
                          });
  }

  void Read() {
    auto events = sandbox->unlocked().ReadEvents();
    if (!events.ok()) {
      stopped = true;
      died(events.status());
      return;
    }
    auto self = shared_from_this();  // the callback may drop the watch
    if (!events->empty()) changed(*std::move(events));
    if (!stopped) Wait();
  }

  boost::asio::posix::stream_descriptor descriptor;
  std::shared_ptr<SandboxHandle> sandbox;
  std::function<void(std::vector<sandbox::ContainerState>)> changed;
  std::function<void(absl::Status)> died;
  bool stopped = false;
};

class WatchOwner : public PodLifecycleEvents {
 public:
  explicit WatchOwner(std::shared_ptr<Watch> watch) : watch_(std::move(watch)) {}
  ~WatchOwner() override {
    watch_->stopped = true;
    boost::system::error_code ignored;
    watch_->descriptor.close(ignored);
  }

 private:
  std::shared_ptr<Watch> watch_;
};

}  // namespace

std::unique_ptr<PodLifecycleEvents> WatchSandbox(kube::Loop& loop, std::shared_ptr<SandboxHandle> sandbox,
                                                 std::function<void(std::vector<sandbox::ContainerState>)> changed,
                                                 std::function<void(absl::Status)> died) {
  auto watch = std::make_shared<Watch>(loop, sandbox);
  watch->changed = std::move(changed);
  watch->died = std::move(died);
  // A descriptor of our own: asio closes what it holds, and the sandbox keeps its.
  const int fd = fcntl(sandbox->unlocked().event_fd(), F_DUPFD_CLOEXEC, 3);
  boost::system::error_code error;
  watch->descriptor.assign(fd, error);
  if (fd < 0 || error) {
    loop.Post([watch] {
      if (!watch->stopped) watch->died(absl::InternalError("the sandbox's event descriptor cannot be watched"));
    });
    return std::make_unique<WatchOwner>(watch);
  }
  watch->Wait();
  return std::make_unique<WatchOwner>(watch);
}

}  // namespace burstlet::provider
