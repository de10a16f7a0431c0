// tcpSocket: a connection that opens is a success.
//
// Source: pkg/probe/tcp/tcp.go. Loop thread only; takes until the guard fires at most.
#pragma once

#include <memory>
#include <string>

#include "kube/async/task.h"
#include "provider/prober/guard.h"
#include "provider/prober/outcome.h"

namespace burstlet::provider {

kube::Task<ProbeOutcome> RunTcpProbe(kube::Loop& loop, std::string host, int port, std::shared_ptr<ProbeGuard> guard);

}  // namespace burstlet::provider
