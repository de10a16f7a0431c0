// A TCP connection from the node to wherever a probe points: a pod's address, or a name.
//
// Addresses of one name are tried in order within the guard's time. Failure: a Status in Go's words ("dial tcp
// 10.0.0.7:80: connect: connection refused"), which users know from kubelets. Loop thread only.
#pragma once

#include <boost/asio/ip/tcp.hpp>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "kube/async/loop.h"
#include "kube/async/task.h"
#include "provider/prober/guard.h"

namespace burstlet::provider {

/// "10.0.0.7:80" or "[fd00::7]:80".
std::string JoinHostPort(const std::string& host, int port);

/// The guard's OnEnd stays set to close the socket.
kube::Task<absl::StatusOr<std::shared_ptr<boost::asio::ip::tcp::socket>>> Dial(kube::Loop& loop, std::string host,
                                                                               int port,
                                                                               std::shared_ptr<ProbeGuard> guard);

}  // namespace burstlet::provider
