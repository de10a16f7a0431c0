#include "provider/lifecycle.h"

#include <chrono>
#include <utility>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "kube/async/signal_event.h"
#include "provider/prober/dialer.h"
#include "provider/prober/exec_runner.h"
#include "provider/prober/http_runner.h"

namespace burstlet::provider {
namespace {

absl::Status Failed(const HookTarget& target, const std::string& what, const std::string& why) {
  const kube::ObjectMeta& meta = target.pod->metadata;
  return absl::AbortedError(absl::StrCat(what, " for Container \"", target.container.name, "\" in Pod \"", meta.name,
                                         "_", meta.namespace_, "(", meta.uid, ")\" failed - error: ", why));
}

kube::Task<absl::Status> RunExecHook(kube::Loop& loop, kube::WorkerPool& pool, HookTarget target,
                                     std::vector<std::string> command, std::shared_ptr<ProbeGuard> guard) {
  auto answer = co_await RunCommand(loop, pool, target.sandbox, target.container_id, command, guard);
  if (answer.ok() && answer->exit_code == 0) co_return absl::OkStatus();
  const std::string line = absl::StrJoin(command, " ");
  std::string why;
  if (answer.ok()) {
    why = absl::StrCat("command '", line, "' exited with ", answer->exit_code, ": ", answer->output, ", message: \"",
                       absl::CEscape(answer->output), "\"");
  } else {
    why = absl::StrCat(std::string(answer.status().message()), ", message: \"\"");
  }
  co_return Failed(target, absl::StrCat("Exec lifecycle hook ([", line, "])"), why);
}

kube::Task<HookOutcome> RunHttpHook(kube::Loop& loop, HookTarget target, kube::HTTPGetAction action,
                                    std::shared_ptr<ProbeGuard> guard) {
  const std::string what = absl::StrCat("HTTP lifecycle hook (", action.path, ")");
  auto request = MakeHttpRequest(action, target.container, target.pod_ip, "lifecycle");
  if (!request.ok()) co_return HookOutcome{Failed(target, what, std::string(request.status().message())), ""};
  auto answer = co_await HttpGet(loop, *request, guard);
  HookOutcome outcome;
  if (absl::IsFailedPrecondition(answer.status())) {
    // Hooks once spoke HTTP whatever their scheme said; servers that rely on it are met half-way.
    request->scheme = "http";
    request->headers.erase("Authorization");
    answer = co_await HttpGet(loop, *request, guard);
    if (answer.ok()) outcome.plain_http_host = JoinHostPort(request->host, request->port);
  }
  // An answer that broke off was an answer: nobody looks into it.
  if (!answer.ok() && !absl::IsDataLoss(answer.status())) {
    outcome.status = Failed(target, what, std::string(answer.status().message()));
  }
  co_return outcome;
}

kube::Task<absl::Status> Pause(kube::Loop& loop, HookTarget target, std::int64_t seconds,
                               std::shared_ptr<ProbeGuard> guard) {
  auto stop = std::make_shared<kube::SignalEvent>(loop);
  guard->OnEnd([stop] { stop->Set(); });
  const bool interrupted = co_await stop->WaitUntil(std::chrono::steady_clock::now() + std::chrono::seconds(seconds));
  guard->OnEnd({});
  if (!interrupted) co_return absl::OkStatus();
  co_return Failed(target, absl::StrCat("Sleep lifecycle hook (", seconds, ")"),
                   "container terminated before sleep hook finished");
}

}  // namespace

kube::Task<HookOutcome> RunHook(kube::Loop& loop, kube::WorkerPool& pool, HookTarget target,
                                kube::LifecycleHandler handler, std::shared_ptr<ProbeGuard> guard) {
  HookOutcome outcome;
  if (handler.exec) {
    outcome.status = co_await RunExecHook(loop, pool, std::move(target), handler.exec->command, guard);
  } else if (handler.httpGet) {
    outcome = co_await RunHttpHook(loop, std::move(target), *handler.httpGet, guard);
  } else if (handler.sleep) {
    outcome.status = co_await Pause(loop, std::move(target), handler.sleep->seconds, guard);
  } else {
    outcome.status = absl::InvalidArgumentError("Cannot run handler: invalid handler");
  }
  co_return outcome;
}

}  // namespace burstlet::provider
