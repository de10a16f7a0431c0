// How the checks behind /healthz have gone, for /metrics/slis.
//
// Threads: any. Source: KEP-3466, k8s.io/component-base/metrics/prometheus/slis.
#pragma once

#include <cstdint>
#include <map>
#include <mutex>
#include <string>

namespace burstlet::kube {

class HealthResults {
 public:
  /// One check ("ping", "log", "syncloop") has been made.
  void Observe(const std::string& check, bool good);
  /// The text exposition.
  std::string Text(std::int64_t process_started_at) const;

 private:
  struct Count {
    bool good = false;  // the newest
    std::uint64_t successes = 0;
    std::uint64_t errors = 0;
  };
  mutable std::mutex mutex_;
  std::map<std::string, Count> counts_;
};

}  // namespace burstlet::kube
