#include "kube/server/health_results.h"

#include "metrics/exposition.h"

namespace burstlet::kube {
namespace {

std::string Labels(const std::string& name, const char* status) {
  std::string labels;
  AppendLabel(labels, "name", name);
  if (status != nullptr) AppendLabel(labels, "status", status);
  AppendLabel(labels, "type", "healthz");
  return labels;
}

}  // namespace

void HealthResults::Observe(const std::string& check, bool good) {
  const std::lock_guard lock(mutex_);
  Count& count = counts_[check];
  count.good = good;
  ++(good ? count.successes : count.errors);
}

std::string HealthResults::Text(std::int64_t process_started_at) const {
  const std::lock_guard lock(mutex_);
  Exposition out;
  if (!counts_.empty()) {
    out.Family("kubernetes_healthcheck", "gauge", "[STABLE] This metric records the result of a single healthcheck.");
    for (const auto& [name, count] : counts_) out.Count(Labels(name, nullptr), count.good ? 1 : 0);
    out.Family("kubernetes_healthchecks_total", "counter",
               "[STABLE] This metric records the results of all healthcheck.");
    for (const auto& [name, count] : counts_) {
      if (count.errors > 0) out.Count(Labels(name, "error"), count.errors);
      if (count.successes > 0) out.Count(Labels(name, "success"), count.successes);
    }
  }
  out.Family("process_start_time_seconds", "gauge", "Start time of the process since unix epoch in seconds.");
  out.Sample("", static_cast<double>(process_started_at));
  return out.Take();
}

}  // namespace burstlet::kube
