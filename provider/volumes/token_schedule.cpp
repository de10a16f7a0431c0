#include "provider/volumes/token_schedule.h"

#include <algorithm>

namespace burstlet::provider {

using std::chrono::duration_cast;
using std::chrono::nanoseconds;
using std::chrono::seconds;

ProjectedToken ScheduleToken(const kube::TokenRequestStatus& status, std::int64_t asked_seconds, WallTime now,
                             double jitter) {
  constexpr auto kMaxAge = std::chrono::hours(24);
  constexpr auto kMaxJitter = nanoseconds(seconds(10));
  const nanoseconds asked = seconds(asked_seconds);
  ProjectedToken token;
  token.text = status.token;
  token.expires = status.expirationTimestamp
                      ? WallTime(duration_cast<WallTime::duration>(nanoseconds(status.expirationTimestamp.unix_nanos)))
                      : now + duration_cast<WallTime::duration>(asked);
  // What is left can be less than was asked for; with clocks apart it can also be more.
  const nanoseconds life = std::min(asked, nanoseconds(token.expires - now));
  if (life <= nanoseconds::zero()) {  // of no use: try again soon, but not at once
    token.refresh_at = now + seconds(10);
    return token;
  }
  const nanoseconds spread(
      static_cast<std::int64_t>(jitter * static_cast<double>(std::min(kMaxJitter, life / 10).count())));
  const nanoseconds age = std::min(life - life / 5, nanoseconds(kMaxAge)) - spread;
  token.refresh_at = token.expires - duration_cast<WallTime::duration>(life - age);
  return token;
}

}  // namespace burstlet::provider
