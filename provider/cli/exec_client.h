// `burstlet exec`: a command in a container, with this process's streams and terminal as its own.
//
// Blocking; one thread. The terminal is raw while the command runs and as before at the end, whatever the end. Failure:
// a status; a command that ran and failed is its exit code.
#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "provider/cli/local_agent.h"

namespace burstlet::provider {

struct ExecOptions {
  std::string name_space;
  std::string pod;
  std::string container;
  std::vector<std::string> command;
  bool with_stdin = false;  // -i
  bool tty = false;         // -t
};

/// The command's exit code.
absl::StatusOr<int> ExecInPod(const LocalAgent& agent, const ExecOptions& options);

/// The exit code that a session's last word (a v1.Status as JSON) tells; an error when the command did not run.
absl::StatusOr<int> ExitCodeOf(const std::string& status_json);

}  // namespace burstlet::provider
