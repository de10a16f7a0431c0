// A command in a container, with an end: for exec probes and exec hooks.
//
// Started on the pool, watched on the loop. What is not over when the guard fires is killed: only the command itself,
// as runtimes do; its children are the container's. Source: pkg/probe/exec/exec.go. Loop thread only.
#pragma once

#include <chrono>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "kube/async/offload.h"
#include "kube/async/task.h"
#include "provider/prober/guard.h"
#include "provider/prober/outcome.h"
#include "provider/sandbox_handle.h"

namespace burstlet::provider {

struct ExecAnswer {
  int exit_code = 0;
  std::string output;  // of both streams, at most kMaxProbeOutput
};

/// kDeadlineExceeded: killed at the deadline; kCancelled: given up; else it could not be started.
kube::Task<absl::StatusOr<ExecAnswer>> RunCommand(kube::Loop& loop, kube::WorkerPool& pool,
                                                  std::shared_ptr<SandboxHandle> sandbox, std::string container_id,
                                                  std::vector<std::string> command, std::shared_ptr<ProbeGuard> guard);

/// `timeout` only for the message.
kube::Task<ProbeOutcome> RunExecProbe(kube::Loop& loop, kube::WorkerPool& pool, std::shared_ptr<SandboxHandle> sandbox,
                                      std::string container_id, std::vector<std::string> command,
                                      std::chrono::seconds timeout, std::shared_ptr<ProbeGuard> guard);

}  // namespace burstlet::provider
