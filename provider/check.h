// `burstlet check`: can this host do it all? A line each, with the remedy.
//
// Only looks and tries out what leaves nothing behind. Blocking.
#pragma once

#include <string>
#include <vector>

#include "provider/config.h"

namespace burstlet::provider {

struct CheckResult {
  enum class Level { kOk, kWarning, kError };
  Level level = Level::kOk;
  std::string what;    // "cgroups"
  std::string detail;  // what was found
  std::string remedy;  // what to do, unless ok
};

std::vector<CheckResult> RunChecks(const Config& config);

/// Prints all results to standard output; true when none is an error.
bool CheckHost(const Config& config);

}  // namespace burstlet::provider
