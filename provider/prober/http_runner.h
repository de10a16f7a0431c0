// httpGet over HTTP/1.1, plain or in TLS that verifies nobody: for probes and for hooks.
//
// Redirects to the same host are followed, up to ten; one to another host is itself the answer. Sources:
// pkg/probe/http/http.go, pkg/kubelet/lifecycle/handlers.go. Loop thread only; takes until the guard fires at most.
// Failure: a Status in the words of Go's client.
#pragma once

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "kube/async/task.h"
#include "provider/prober/guard.h"
#include "provider/prober/http_message.h"
#include "provider/prober/outcome.h"

namespace burstlet::provider {

struct HttpAnswer {
  int status = 0;
  std::string body;
};

/// kUnavailable, kDeadlineExceeded: no answer; kDataLoss: it broke off; kFailedPrecondition: no TLS at the other end.
kube::Task<absl::StatusOr<HttpAnswer>> HttpGet(kube::Loop& loop, HttpRequest request,
                                               std::shared_ptr<ProbeGuard> guard);

kube::Task<ProbeOutcome> RunHttpProbe(kube::Loop& loop, HttpRequest request, std::shared_ptr<ProbeGuard> guard);

}  // namespace burstlet::provider
