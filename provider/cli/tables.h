// What `burstlet ps` and `burstlet top` print, as text made of what the agent answered.
//
// Pure. Columns are as wide as their longest word, two spaces apart. Source of the words in STATUS: kubectl's table of
// pods (pkg/printers/internalversion/printers.go).
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "kube/api/pod.h"

namespace burstlet::provider {

/// The pods of a v1.PodList.
absl::StatusOr<std::vector<kube::Pod>> PodsOf(const std::string& pod_list_json);

/// "Running", "CrashLoopBackOff", "Init:1/2", "Terminating" ...
std::string PodState(const kube::Pod& pod);

/// 12s, 3m5s, 4h12m, 5d; "" for none.
std::string ShortDuration(std::int64_t seconds);

/// NAMESPACE NAME READY STATUS RESTARTS AGE IP; `now` in seconds since 1970.
std::string PodTable(const std::vector<kube::Pod>& pods, std::int64_t now);

struct PodUsage {
  std::int64_t cpu_millicores = -1;  // -1: not known (yet)
  std::int64_t memory_bytes = -1;    // working set
};
/// By UID, of a /stats/summary.
absl::StatusOr<std::map<std::string, PodUsage>> UsageOf(const std::string& summary_json);

/// By UID: stages of a pod's start and the milliseconds of each, in their order.
using StartTimelines = std::map<std::string, std::vector<std::pair<std::string, double>>>;
absl::StatusOr<StartTimelines> TimelinesOf(const std::string& json);
std::string TimelinesJson(const StartTimelines& timelines);

/// NAMESPACE NAME STATUS CPU MEMORY START and the stages of the start, the busiest pod first.
std::string UsageTable(const std::vector<kube::Pod>& pods, const std::map<std::string, PodUsage>& usage,
                       const StartTimelines& starts);

}  // namespace burstlet::provider
