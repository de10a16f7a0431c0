#include "provider/prober/results.h"

#include <algorithm>

namespace burstlet::provider {

const char* ProbeKindName(ProbeKind kind) {
  switch (kind) {
    case ProbeKind::kStartup:
      return "Startup";
    case ProbeKind::kLiveness:
      return "Liveness";
    case ProbeKind::kReadiness:
      return "Readiness";
  }
  return "";
}

ProbeThresholds::ProbeThresholds(const kube::Probe& probe)
    : success_threshold_(std::max(1, probe.successThreshold)),
      failure_threshold_(std::max(1, probe.failureThreshold)) {}

std::optional<bool> ProbeThresholds::Add(bool success) {
  if (last_ == success) {
    ++run_;
  } else {
    last_ = success;
    run_ = 1;
  }
  if (run_ < (success ? success_threshold_ : failure_threshold_)) return std::nullopt;
  return success;
}

ProbeSchedule::ProbeSchedule(ProbeKind kind, const kube::Probe& probe, kube::SteadyTime begin)
    : period_(std::max(1, probe.periodSeconds)), begin_(begin), first_counted_(begin), next_(begin) {
  if (kind == ProbeKind::kLiveness) {
    if (probe.initialDelaySeconds == 0) next_ = begin + period_;
  } else if (probe.initialDelaySeconds == 0) {
    first_counted_ = begin + period_;
  }
}

ProbeSchedule ProbeSchedule::Adopted(ProbeKind kind, const kube::Probe& probe, kube::SteadyTime now, double share) {
  ProbeSchedule schedule(kind, probe, now);
  const std::chrono::duration<double> wait = std::chrono::duration<double>(schedule.period_) * share;
  schedule.next_ = now + std::chrono::duration_cast<kube::SteadyTime::duration>(wait);
  schedule.first_counted_ = now;
  return schedule;
}

void ProbeSchedule::Done(bool success, kube::SteadyTime now) {
  if (early()) {
    if (success) {
      // From here on it is a probe like any other.
      next_ += period_;
      first_counted_ = next_;
    } else {
      next_ = std::min(next_ + step_, first_counted_);
      step_ *= 2;
    }
    if (next_ < now && next_ < first_counted_) next_ = std::min(now, first_counted_);
    return;
  }
  next_ += period_;
  // Missed looks are not made up for, but for one.
  if (next_ < now) next_ = now;
}

}  // namespace burstlet::provider
