#include "provider/prober/probe_metrics.h"

#include "metrics/exposition.h"

namespace burstlet::provider {
namespace {

constexpr const char* kResults[] = {"successful", "failed", "unknown"};

std::string Bound(double bound) {
  std::string text = std::to_string(bound);
  text.erase(text.find_last_not_of('0') + 1);
  if (text.back() == '.') text.pop_back();
  return text;
}

}  // namespace

void ProbeMetrics::Observe(const ProbeIdentity& probe, Result result, double seconds) {
  Series& series = series_[probe];
  ++series.results[static_cast<std::size_t>(result)];
  if (result == Result::kFailed) return;
  ++series.looks;
  series.seconds += seconds;
  for (std::size_t i = 0; i < kBounds.size(); ++i) {
    if (seconds > kBounds[i]) continue;
    ++series.buckets[i];
    return;
  }
}

void ProbeMetrics::Forget(const ProbeIdentity& probe) { series_.erase(probe); }

std::string ProbeMetrics::Text(double process_started_at) const {
  Exposition out(1024 + series_.size() * 2048);
  out.Family("process_start_time_seconds", "gauge", "Start time of the process since unix epoch in seconds.");
  out.Sample("", process_started_at);
  if (series_.empty()) return out.Take();
  out.Family("prober_probe_duration_seconds", "histogram", "[ALPHA] Duration in seconds for a probe response.");
  for (const auto& [probe, series] : series_) {
    if (series.looks == 0) continue;
    std::string labels;
    AppendLabel(labels, "container", probe.container);
    AppendLabel(labels, "namespace", probe.name_space);
    AppendLabel(labels, "pod", probe.pod);
    AppendLabel(labels, "probe_type", probe.probe_type);
    std::uint64_t sum = 0;
    for (std::size_t i = 0; i <= kBounds.size(); ++i) {
      std::string bound;
      AppendLabel(bound, "le", i < kBounds.size() ? Bound(kBounds[i]) : "+Inf");
      sum = i < kBounds.size() ? sum + series.buckets[i] : series.looks;
      out.Part("_bucket", labels, bound, static_cast<double>(sum));
    }
    out.Part("_sum", labels, "", series.seconds);
    out.Part("_count", labels, "", static_cast<double>(series.looks));
  }
  out.Family("prober_probe_total", "counter",
             "[BETA] Cumulative number of a liveness, readiness or startup probe for a container by result.");
  for (const auto& [probe, series] : series_) {
    for (std::size_t i = 0; i < series.results.size(); ++i) {
      if (series.results[i] == 0) continue;
      std::string labels;
      AppendLabel(labels, "container", probe.container);
      AppendLabel(labels, "namespace", probe.name_space);
      AppendLabel(labels, "pod", probe.pod);
      AppendLabel(labels, "pod_uid", probe.pod_uid);
      AppendLabel(labels, "probe_type", probe.probe_type);
      AppendLabel(labels, "result", kResults[i]);
      out.Count(labels, series.results[i]);
    }
  }
  return out.Take();
}

}  // namespace burstlet::provider
