#include "provider/prober/worker.h"

#include <algorithm>
#include <chrono>
#include <map>
#include <utility>

#include "absl/strings/str_cat.h"
#include "provider/prober/exec_runner.h"
#include "provider/prober/grpc_runner.h"
#include "provider/prober/guard.h"
#include "provider/prober/http_runner.h"
#include "provider/prober/tcp_runner.h"
#include "provider/translate/expansion.h"

namespace burstlet::provider {
namespace {

using std::chrono::steady_clock;

/// A look that ends in an error is repeated at once (pkg/kubelet/prober/prober.go, maxProbeRetries).
constexpr int kTries = 3;

/// $(NAME) of the variables with a value in the spec; what comes from elsewhere stays unexpanded, as on a kubelet.
std::vector<std::string> ExpandStatic(const std::vector<std::string>& command, const kube::Container& container) {
  std::map<std::string, std::string> values;
  for (const kube::EnvVar& variable : container.env) values[variable.name] = variable.value;
  std::vector<std::string> expanded;
  for (const std::string& word : command) {
    expanded.push_back(ExpandWith(word, [&](const std::string& name) {
      const auto found = values.find(name);
      return found == values.end() ? absl::StrCat("$(", name, ")") : found->second;
    }));
  }
  return expanded;
}

}  // namespace

ProbeWorker::ProbeWorker(ProbeServices services, ProbeSubject subject, ProbeSchedule schedule, Callbacks callbacks)
    : services_(services),
      subject_(std::move(subject)),
      schedule_(schedule),
      thresholds_(subject_.probe),
      callbacks_(std::move(callbacks)),
      wake_(services.loop) {}

void ProbeWorker::Start() {
  services_.tasks.Spawn(absl::StrCat("probe ", ProbeKindName(subject_.kind), " ", subject_.container.name), Run());
}

void ProbeWorker::Stop() {
  stopped_ = true;
  if (services_.metrics != nullptr) services_.metrics->Forget(subject_.identity);
  cancel_.Cancel();
  wake_.Set();
}

kube::Task<void> ProbeWorker::Run() {
  const auto self = shared_from_this();
  while (!stopped_) {
    co_await wake_.WaitUntil(schedule_.next());
    if (stopped_) co_return;
    const auto begin = steady_clock::now();
    const ProbeOutcome outcome = co_await Look();
    if (stopped_) co_return;
    Count(outcome, begin);
    const bool success = outcome.result == ProbeResult::kSuccess || outcome.result == ProbeResult::kWarning;
    const bool counts = success || !schedule_.early();
    if (counts || schedule_.telling()) Tell(outcome);
    schedule_.Done(success, steady_clock::now());
    if (stopped_) co_return;
    if (outcome.result == ProbeResult::kError || !counts) continue;
    const std::optional<bool> result = thresholds_.Add(success);
    if (!result) continue;
    callbacks_.result(subject_, *result);
    // A startup probe has one result; a container that is to be restarted is left alone.
    if (subject_.kind == ProbeKind::kStartup || (subject_.kind == ProbeKind::kLiveness && !*result)) co_return;
  }
}

kube::Task<ProbeOutcome> ProbeWorker::Look() {
  ProbeOutcome outcome{ProbeResult::kError, ""};
  for (int i = 0; i < kTries && outcome.result == ProbeResult::kError && !stopped_; ++i) {
    outcome = co_await LookOnce();
  }
  co_return outcome;
}

kube::Task<ProbeOutcome> ProbeWorker::LookOnce() {
  const std::chrono::seconds timeout(std::max(1, subject_.probe.timeoutSeconds));
  auto guard = std::make_shared<ProbeGuard>(services_.loop, steady_clock::now() + timeout, cancel_);
  if (subject_.probe.exec) {
    auto command = ExpandStatic(subject_.probe.exec->command, subject_.container);
    auto outcome = co_await RunExecProbe(services_.loop, services_.pool, subject_.sandbox, subject_.container_id,
                                         std::move(command), timeout, guard);
    co_return outcome;
  }
  if (subject_.probe.httpGet) {
    auto request = MakeHttpRequest(*subject_.probe.httpGet, subject_.container, subject_.pod_ip, "probe");
    if (!request.ok()) co_return ProbeOutcome{ProbeResult::kError, std::string(request.status().message())};
    auto outcome = co_await RunHttpProbe(services_.loop, *std::move(request), guard);
    co_return outcome;
  }
  if (subject_.probe.tcpSocket) {
    const auto port = ResolvePort(subject_.probe.tcpSocket->port, subject_.container);
    if (!port.ok()) co_return ProbeOutcome{ProbeResult::kError, std::string(port.status().message())};
    std::string host = subject_.probe.tcpSocket->host;
    if (host.empty()) host = subject_.pod_ip;
    auto outcome = co_await RunTcpProbe(services_.loop, std::move(host), *port, guard);
    co_return outcome;
  }
  if (subject_.probe.grpc) {
    GrpcProbe probe;
    probe.host = subject_.pod_ip;
    probe.port = subject_.probe.grpc->port;
    probe.service = subject_.probe.grpc->service.value_or("");
    probe.timeout = timeout;
    auto outcome = co_await RunGrpcProbe(services_.loop, std::move(probe), guard);
    co_return outcome;
  }
  co_return ProbeOutcome{ProbeResult::kError, "missing probe handler"};
}

void ProbeWorker::Count(const ProbeOutcome& outcome, kube::SteadyTime begin) {
  using Result = ProbeMetrics::Result;
  if (services_.metrics == nullptr) return;
  const double seconds = std::chrono::duration<double>(steady_clock::now() - begin).count();
  const bool success = outcome.result == ProbeResult::kSuccess || outcome.result == ProbeResult::kWarning;
  const Result result = success                                   ? Result::kSuccessful
                        : outcome.result == ProbeResult::kFailure ? Result::kFailed
                                                                  : Result::kUnknown;
  services_.metrics->Observe(subject_.identity, result, seconds);
}

void ProbeWorker::Tell(const ProbeOutcome& outcome) {
  const std::string kind = ProbeKindName(subject_.kind);
  const std::string& container = subject_.container.name;
  switch (outcome.result) {
    case ProbeResult::kSuccess:
      return;
    case ProbeResult::kWarning:
      return callbacks_.event(container, "ProbeWarning", absl::StrCat(kind, " probe warning: ", outcome.output));
    case ProbeResult::kFailure:
      return callbacks_.event(container, "Unhealthy", absl::StrCat(kind, " probe failed: ", outcome.output));
    case ProbeResult::kError:
      return callbacks_.event(container, "Unhealthy",
                              absl::StrCat(kind, " probe errored and resulted in unknown state: ", outcome.output));
  }
}

}  // namespace burstlet::provider
