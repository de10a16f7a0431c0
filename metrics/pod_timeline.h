// Where the time of a pod's start went: one stamp a stage, from "observed" to "Ready stored".
//
// Owner: the pod's worker. Loop thread only. Finish writes one log line and one histogram sample a stage; a pod that
// is restarted or adopted has no timeline.
#pragma once

#include <array>
#include <chrono>
#include <cstddef>
#include <functional>
#include <optional>
#include <string>
#include <vector>

namespace burstlet {

/// The stages in their order; each lasts from the previous stamp to its own.
enum class PodStage { kObserved, kVolumes, kSandbox, kImage, kStarted, kReady };
inline constexpr std::size_t kPodStages = 6;
const char* PodStageName(PodStage stage);

class PodTimeline {
 public:
  using Clock = std::chrono::steady_clock;

  /// Only the first stamp of a stage counts.
  void Stamp(PodStage stage, Clock::time_point now = Clock::now());
  std::optional<Clock::time_point> At(PodStage stage) const { return stamps_[static_cast<std::size_t>(stage)]; }
  bool Has(PodStage stage) const { return stamps_[static_cast<std::size_t>(stage)].has_value(); }
  /// Seconds since the previous stamped stage, for each stamped one but the first.
  std::vector<std::pair<PodStage, double>> Durations() const;
  /// Seconds from observed to ready, if both are stamped.
  std::optional<double> Total() const;

 private:
  std::array<std::optional<Clock::time_point>, kPodStages> stamps_;
};

}  // namespace burstlet
