// When to look, and when looks add up to a result: the arithmetic of a probe, without clocks or I/O.
//
// Source: pkg/kubelet/prober/worker.go. Threads: any.
#pragma once

#include <chrono>
#include <optional>

#include "kube/api/pod.h"
#include "kube/async/loop.h"

namespace burstlet::provider {

enum class ProbeKind { kStartup, kLiveness, kReadiness };

/// "Liveness", as events say it.
const char* ProbeKindName(ProbeKind kind);

/// Looks in a row against the thresholds.
class ProbeThresholds {
 public:
  explicit ProbeThresholds(const kube::Probe& probe);
  /// The probe's result once enough looks in a row agree; nullopt: it stays as it was.
  std::optional<bool> Add(bool success);

 private:
  int success_threshold_;
  int failure_threshold_;
  std::optional<bool> last_;
  int run_ = 0;
};

/// The times of the looks at one run of a container.
///
/// Every period from the initial delay on. A container that has just started is often not listening yet, and a whole
/// period later is late: so startup and readiness look again after 100 ms, 300 ms, 700 ms, ... of the first period.
/// Such an early look can only succeed; failures are counted from the first full period on. Liveness looks first when
/// its delay is over, or after one period when it has none: an early failure there would end a healthy start.
class ProbeSchedule {
 public:
  /// `begin`: when the initial delay is over (or, for a probe that waited for the startup probe, when that passed).
  ProbeSchedule(ProbeKind kind, const kube::Probe& probe, kube::SteadyTime begin);
  /// For a container of a former agent: the first look after a share of the period, 0 <= share < 1, none early.
  static ProbeSchedule Adopted(ProbeKind kind, const kube::Probe& probe, kube::SteadyTime now, double share);

  kube::SteadyTime next() const { return next_; }
  /// A failure of the look that is due now does not count.
  bool early() const { return next_ < first_counted_; }
  /// An early failure is told all the same: most programs listen by now.
  bool telling() const { return next_ - begin_ >= std::chrono::seconds(1); }
  /// The look that was due has ended at `now`. A look that took too long is followed at once by the next one.
  void Done(bool success, kube::SteadyTime now);

 private:
  std::chrono::seconds period_;
  kube::SteadyTime begin_;
  kube::SteadyTime first_counted_;
  kube::SteadyTime next_;
  std::chrono::milliseconds step_{100};
};

}  // namespace burstlet::provider
