// CPU use over the last while out of counters read now and then (usageNanoCores of the Summary API).
//
// Two readings closer than the window give no new rate, so that several scrapers do not make it jump. Threads: any.
// Source: pkg/kubelet/stats/cri_stats_provider.go getAndUpdateContainerUsageNanoCores.
#pragma once

#include <cstdint>
#include <map>
#include <mutex>
#include <optional>
#include <string>

namespace burstlet::provider {

class CpuRates {
 public:
  /// `key` names the cgroup; moments in unix nanoseconds; `since` = when its counter was 0, 0 = not known: then the
  /// first reading has no rate.
  std::optional<std::uint64_t> Update(const std::string& key, std::uint64_t usage_ns, std::int64_t at,
                                      std::int64_t since);
  /// Forgets what has not been read since `at`.
  void Purge(std::int64_t at);

 private:
  struct Reading {
    std::uint64_t usage_ns = 0;
    std::int64_t at = 0;
    std::int64_t last_asked = 0;
    std::optional<std::uint64_t> rate;
  };
  std::mutex mutex_;
  std::map<std::string, Reading> readings_;
};

}  // namespace burstlet::provider
