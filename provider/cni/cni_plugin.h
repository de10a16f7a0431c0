// One run of a CNI plugin: a program that gets its order by the environment, its configuration on stdin, and answers
// on stdout (CNI specification 1.0, section 2).
//
// Threads: any that may block; the caller waits for the plugin. Failure: a Status in the words that container runtimes
// use, with the plugin's own message; kDeadlineExceeded when it was killed at its time limit.
#pragma once

#include <chrono>
#include <string>
#include <vector>

#include "absl/status/statusor.h"

namespace burstlet::provider {

struct CniCall {
  std::string command;  // ADD, DEL, CHECK, GC, STATUS
  std::string type;     // of the plugin
  std::string container_id;
  std::string netns;  // a path; empty when the namespace is gone
  std::string interface;
  std::string args;  // KEY=VALUE;...
  std::string config;
};

struct CniRunner {
  std::vector<std::string> directories;  // of programs, searched in this order
  std::chrono::seconds time_limit{60};

  /// What the plugin printed; empty for those that answer nothing. Answers longer than 1 MiB are a failure.
  absl::StatusOr<std::string> Run(const CniCall& call) const;
};

}  // namespace burstlet::provider
