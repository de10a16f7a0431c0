// Thresholds and times of probes, on a clock that only the test moves.
#include "provider/prober/results.h"

#include <catch2/catch.hpp>

namespace burstlet::provider {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

kube::Probe MakeProbe(int period, int delay = 0) {
  kube::Probe probe;
  probe.periodSeconds = period;
  probe.initialDelaySeconds = delay;
  probe.successThreshold = 1;
  probe.failureThreshold = 3;
  return probe;
}

const kube::SteadyTime kStart{seconds(1000)};

}  // namespace

TEST_CASE("results need their thresholds in a row", "[prober]") {
  kube::Probe probe = MakeProbe(1);
  probe.successThreshold = 2;
  ProbeThresholds thresholds(probe);
  CHECK_FALSE(thresholds.Add(false));
  CHECK_FALSE(thresholds.Add(false));
  CHECK_FALSE(thresholds.Add(true));
  CHECK_FALSE(thresholds.Add(false));
  CHECK_FALSE(thresholds.Add(false));
  CHECK(thresholds.Add(false) == false);
  CHECK(thresholds.Add(false) == false);
  CHECK_FALSE(thresholds.Add(true));
  CHECK(thresholds.Add(true) == true);
}

TEST_CASE("readiness looks early, and early failures do not count", "[prober]") {
  ProbeSchedule schedule(ProbeKind::kReadiness, MakeProbe(2), kStart);
  for (const int at : {0, 100, 300, 700, 1500}) {
    CHECK(schedule.next() == kStart + milliseconds(at));
    CHECK(schedule.early());
    CHECK(schedule.telling() == (at >= 1000));
    schedule.Done(false, schedule.next());
  }
  CHECK(schedule.next() == kStart + seconds(2));
  CHECK_FALSE(schedule.early());
  schedule.Done(false, schedule.next() + milliseconds(5));
  CHECK(schedule.next() == kStart + seconds(4));
}

TEST_CASE("an early success begins the ordinary period", "[prober]") {
  ProbeSchedule schedule(ProbeKind::kStartup, MakeProbe(10), kStart);
  schedule.Done(false, kStart);
  schedule.Done(true, kStart + milliseconds(100));
  CHECK(schedule.next() == kStart + milliseconds(10100));
  CHECK_FALSE(schedule.early());
}

TEST_CASE("a delay puts the first look off, and then all count", "[prober]") {
  for (const ProbeKind kind : {ProbeKind::kStartup, ProbeKind::kLiveness, ProbeKind::kReadiness}) {
    const ProbeSchedule schedule(kind, MakeProbe(10, 5), kStart + seconds(5));
    CHECK(schedule.next() == kStart + seconds(5));
    CHECK_FALSE(schedule.early());
  }
}

TEST_CASE("liveness without a delay waits for one period", "[prober]") {
  const ProbeSchedule schedule(ProbeKind::kLiveness, MakeProbe(10), kStart);
  CHECK(schedule.next() == kStart + seconds(10));
  CHECK_FALSE(schedule.early());
}

TEST_CASE("a look that took too long is followed by one, not by all that were missed", "[prober]") {
  ProbeSchedule schedule(ProbeKind::kLiveness, MakeProbe(1), kStart);
  const auto late = schedule.next() + seconds(7);
  schedule.Done(true, late);
  CHECK(schedule.next() == late);
}

TEST_CASE("probes of a former agent's containers spread over their period", "[prober]") {
  const auto schedule = ProbeSchedule::Adopted(ProbeKind::kReadiness, MakeProbe(10), kStart, 0.5);
  CHECK(schedule.next() == kStart + seconds(5));
  CHECK_FALSE(schedule.early());
}

}  // namespace burstlet::provider
