// A look into another network namespace.
//
// setns(2) changes only the calling thread, so the work is done on a thread of its own, which ends afterwards: no
// other thread is ever in the wrong namespace, not even when something fails halfway.
#pragma once

#include <functional>

#include "absl/status/status.h"

namespace burstlet::sandbox {

/// Runs `work` on a thread that is in the network namespace behind `netns_fd`, and waits for it. Sockets opened there
/// stay in that namespace.
absl::Status RunInNetworkNamespace(int netns_fd, const std::function<absl::Status()>& work);

}  // namespace burstlet::sandbox
