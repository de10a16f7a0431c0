#include "provider/prober/tcp_runner.h"

#include <utility>

#include "provider/prober/dialer.h"

namespace burstlet::provider {

kube::Task<ProbeOutcome> RunTcpProbe(kube::Loop& loop, std::string host, int port, std::shared_ptr<ProbeGuard> guard) {
  auto socket = co_await Dial(loop, std::move(host), port, guard);
  guard->OnEnd({});
  if (!socket.ok()) co_return ProbeOutcome{ProbeResult::kFailure, std::string(socket.status().message())};
  co_return ProbeOutcome{ProbeResult::kSuccess, ""};
}

}  // namespace burstlet::provider
