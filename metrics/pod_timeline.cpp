#include "metrics/pod_timeline.h"

namespace burstlet {

const char* PodStageName(PodStage stage) {
  switch (stage) {
    case PodStage::kObserved:
      return "observed";
    case PodStage::kVolumes:
      return "volumes";
    case PodStage::kSandbox:
      return "sandbox";
    case PodStage::kImage:
      return "image";
    case PodStage::kStarted:
      return "started";
    case PodStage::kReady:
      return "ready";
  }
  return "";
}

void PodTimeline::Stamp(PodStage stage, Clock::time_point now) {
  auto& stamp = stamps_[static_cast<std::size_t>(stage)];
  if (!stamp) stamp = now;
}

std::vector<std::pair<PodStage, double>> PodTimeline::Durations() const {
  std::vector<std::pair<PodStage, double>> out;
  std::optional<Clock::time_point> previous;
  for (std::size_t i = 0; i < kPodStages; ++i) {
    if (!stamps_[i]) continue;
    if (previous)
      out.emplace_back(static_cast<PodStage>(i), std::chrono::duration<double>(*stamps_[i] - *previous).count());
    previous = stamps_[i];
  }
  return out;
}

std::optional<double> PodTimeline::Total() const {
  const auto& first = stamps_.front();
  const auto& last = stamps_.back();
  if (!first || !last) return std::nullopt;
  return std::chrono::duration<double>(*last - *first).count();
}

}  // namespace burstlet
