// What one look at a container found: data.
#pragma once

#include <cstddef>
#include <string>

namespace burstlet::provider {

/// Source: pkg/probe/probe.go.
enum class ProbeResult {
  kSuccess,
  kWarning,  // a success that deserves an event
  kFailure,
  kError  // nothing was learned about the container: the look does not count
};

struct ProbeOutcome {
  ProbeResult result = ProbeResult::kSuccess;
  std::string output;  // told to the user, see the events Unhealthy and ProbeWarning
};

/// What is kept of an answer or of a command's output; the rest is not read, or read and dropped.
inline constexpr std::size_t kMaxProbeOutput = 10 * 1024;

}  // namespace burstlet::provider
