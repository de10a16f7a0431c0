// A pod's start as spans: the whole, and each stage below it. Pure; any thread.
#pragma once

#include <chrono>
#include <functional>
#include <vector>

#include "kube/api/pod.h"
#include "metrics/pod_timeline.h"
#include "provider/tracing/otlp.h"

namespace burstlet::provider {

/// The clocks read at the same moment: stamps are of the steady one, spans of the wall.
struct ClockPair {
  PodTimeline::Clock::time_point steady;
  std::int64_t unix_nanos = 0;
};

/// `random` yields 64 bits for identifiers. Empty for a timeline with less than two stamps.
std::vector<Span> PodStartSpans(const kube::Pod& pod, const PodTimeline& timeline, const ClockPair& now,
                                const std::function<std::uint64_t()>& random);

}  // namespace burstlet::provider
