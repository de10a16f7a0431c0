#include "sandbox/net/netns.h"

#include <sched.h>

#include <cerrno>
#include <thread>

#include "metrics/status.h"

namespace burstlet::sandbox {

absl::Status RunInNetworkNamespace(int netns_fd, const std::function<absl::Status()>& work) {
  absl::Status status = absl::OkStatus();
  std::thread thread([&] {
    status = setns(netns_fd, CLONE_NEWNET) == 0 ? work() : ErrnoError(errno, "entering the network namespace");
  });
  thread.join();
  return status;
}

}  // namespace burstlet::sandbox
