// `burstlet ps`, `top`, `logs` and `exec`: what an administrator does on the machine itself, with no API server.
//
// They ask the agent of a root directory (of `burstlet node` or `burstlet run`) over its socket, as the host's root.
// Blocking. Failure: a status whose text is for the user.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"

namespace burstlet::provider {

/// Which pod, and of which agent.
struct PodTarget {
  std::string root_dir = "/var/lib/burstlet";
  std::string name_space;  // "": wherever there is one pod of that name
  std::string pod;         // NAME or NAMESPACE/NAME
  std::string container;   // "": the pod's default one
};

struct LogsOptions {
  bool follow = false;
  bool previous = false;
  bool timestamps = false;
  std::int64_t tail = -1;  // lines; -1: all
};

absl::Status ListPods(const PodTarget& target, bool as_json);
/// On a terminal until it is ended, anew every two seconds; else, or with `once`, one table.
absl::Status ShowUsage(const PodTarget& target, bool once);
absl::Status ShowLogs(const PodTarget& target, const LogsOptions& options);
/// The command's exit code.
absl::StatusOr<int> ExecInTarget(const PodTarget& target, std::vector<std::string> command, bool with_stdin, bool tty);

}  // namespace burstlet::provider
