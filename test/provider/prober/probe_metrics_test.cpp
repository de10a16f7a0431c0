#include "provider/prober/probe_metrics.h"

#include <catch2/catch.hpp>

namespace burstlet::provider {

TEST_CASE("probes are counted by result, timed unless they failed, and forgotten with their container") {
  ProbeMetrics metrics;
  const ProbeIdentity probe{"Readiness", "web", "web-1", "default", "uid-1"};
  CHECK(metrics.Text(5).find("prober_") == std::string::npos);
  metrics.Observe(probe, ProbeMetrics::Result::kSuccessful, 0.02);
  metrics.Observe(probe, ProbeMetrics::Result::kSuccessful, 20);
  metrics.Observe(probe, ProbeMetrics::Result::kFailed, 0.02);
  const std::string text = metrics.Text(5);
  const std::string who = "container=\"web\",namespace=\"default\",pod=\"web-1\",";
  for (const std::string& line :
       {"prober_probe_total{" + who + "pod_uid=\"uid-1\",probe_type=\"Readiness\",result=\"successful\"} 2\n",
        "prober_probe_total{" + who + "pod_uid=\"uid-1\",probe_type=\"Readiness\",result=\"failed\"} 1\n",
        "prober_probe_duration_seconds_bucket{" + who + "probe_type=\"Readiness\",le=\"0.01\"} 0\n",
        "prober_probe_duration_seconds_bucket{" + who + "probe_type=\"Readiness\",le=\"0.025\"} 1\n",
        "prober_probe_duration_seconds_bucket{" + who + "probe_type=\"Readiness\",le=\"10\"} 1\n",
        "prober_probe_duration_seconds_bucket{" + who + "probe_type=\"Readiness\",le=\"+Inf\"} 2\n",
        "prober_probe_duration_seconds_sum{" + who + "probe_type=\"Readiness\"} 20.02\n",
        "prober_probe_duration_seconds_count{" + who + "probe_type=\"Readiness\"} 2\n",
        std::string("process_start_time_seconds 5\n")}) {
    INFO(line);
    CHECK(text.find(line) != std::string::npos);
  }
  CHECK(text.find("unknown") == std::string::npos);
  metrics.Forget(probe);
  CHECK(metrics.Text(5).find("prober_") == std::string::npos);
}

}  // namespace burstlet::provider
