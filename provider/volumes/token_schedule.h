// A projected service account token and the time to ask for the next one: at 80 % of its life, or after a day.
//
// Pure, with the clock handed in. Source: pkg/kubelet/token/token_manager.go, requiresRefresh.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>

#include "kube/api/auth.h"

namespace burstlet::provider {

using WallTime = std::chrono::system_clock::time_point;

struct ProjectedToken {
  std::string text;
  WallTime expires;
  WallTime refresh_at;
};

/// `asked_seconds` is the life that was asked for; a server may give less. `jitter` in [0, 1) spreads the pods'
/// requests over up to ten seconds.
ProjectedToken ScheduleToken(const kube::TokenRequestStatus& status, std::int64_t asked_seconds, WallTime now,
                             double jitter);

}  // namespace burstlet::provider
