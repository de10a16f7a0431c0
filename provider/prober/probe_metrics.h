// How probes have gone, for /metrics/probes: series of running containers only, forgotten with their probe.
//
// Owner: PodRuntime. Loop thread only. Source: pkg/kubelet/prober/{prober_manager,worker}.go.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <string>
#include <tuple>

namespace burstlet::provider {

/// Whose probe.
struct ProbeIdentity {
  std::string probe_type;  // "Liveness", "Readiness", "Startup"
  std::string container;
  std::string pod;
  std::string name_space;
  std::string pod_uid;

  auto operator<=>(const ProbeIdentity&) const = default;
};

class ProbeMetrics {
 public:
  enum class Result { kSuccessful, kFailed, kUnknown };
  /// One look. Failures have no duration, as in the kubelet.
  void Observe(const ProbeIdentity& probe, Result result, double seconds);
  void Forget(const ProbeIdentity& probe);
  /// The text exposition.
  std::string Text(double process_started_at) const;

 private:
  static constexpr std::array<double, 11> kBounds{.005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10};
  struct Series {
    std::array<std::uint64_t, 3> results{};
    std::array<std::uint64_t, kBounds.size()> buckets{};  // not cumulative
    std::uint64_t looks = 0;
    double seconds = 0;
  };
  std::map<ProbeIdentity, Series> series_;
};

}  // namespace burstlet::provider
