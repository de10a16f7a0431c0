#include "provider/tracing/pod_trace.h"

#include <cstring>
#include <optional>

#include "absl/strings/str_cat.h"

namespace burstlet::provider {
namespace {

/// Identifiers of zeros only are invalid.
SpanId NewId(const std::function<std::uint64_t()>& random) {
  std::uint64_t bits = random();
  if (bits == 0) bits = 1;
  SpanId id;
  std::memcpy(id.data(), &bits, sizeof(bits));
  return id;
}

TraceId NewTrace(const std::function<std::uint64_t()>& random) {
  const SpanId high = NewId(random), low = NewId(random);
  TraceId trace;
  std::memcpy(trace.data(), high.data(), high.size());
  std::memcpy(trace.data() + high.size(), low.data(), low.size());
  return trace;
}

}  // namespace

std::vector<Span> PodStartSpans(const kube::Pod& pod, const PodTimeline& timeline, const ClockPair& now,
                                const std::function<std::uint64_t()>& random) {
  const auto wall = [&now](PodTimeline::Clock::time_point stamp) {
    return now.unix_nanos - std::chrono::duration_cast<std::chrono::nanoseconds>(now.steady - stamp).count();
  };
  std::vector<Span> spans(1);
  std::optional<PodTimeline::Clock::time_point> first, previous;
  const TraceId trace = NewTrace(random);
  const SpanId root = NewId(random);
  for (std::size_t i = 0; i < kPodStages; ++i) {
    const auto stage = static_cast<PodStage>(i);
    const auto stamp = timeline.At(stage);
    if (!stamp) continue;
    if (!first) first = stamp;
    if (previous) {
      Span& span = spans.emplace_back();
      span.trace = trace;
      span.id = NewId(random);
      span.parent = root;
      span.name = absl::StrCat("pod.start.", PodStageName(stage));
      span.start_unix_nanos = wall(*previous);
      span.end_unix_nanos = wall(*stamp);
    }
    previous = stamp;
  }
  if (spans.size() == 1) return {};
  Span& whole = spans.front();
  whole.trace = trace;
  whole.id = root;
  whole.name = "pod.start";
  whole.start_unix_nanos = wall(*first);
  whole.end_unix_nanos = wall(*previous);
  whole.attributes = {{"k8s.namespace.name", pod.metadata.namespace_},
                      {"k8s.pod.name", pod.metadata.name},
                      {"k8s.pod.uid", pod.metadata.uid}};
  return spans;
}

}  // namespace burstlet::provider
