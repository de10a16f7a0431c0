#include "provider/cli/tables.h"

#include <algorithm>
#include <cmath>
#include <tuple>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "cache/json.h"
#include "kube/json.h"
#include "kube/json_scan.h"
#include "metrics/status.h"

namespace burstlet::provider {
namespace {

constexpr std::size_t kLongestJson = 64 << 20;
constexpr std::int64_t kMinute = 60, kHour = 3600, kDay = 86400;

using Row = std::vector<std::string>;

std::string Table(const std::vector<Row>& rows) {
  std::vector<std::size_t> widths;
  for (const Row& row : rows) {
    widths.resize(std::max(widths.size(), row.size()));
    for (std::size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], row[i].size());
  }
  std::string text;
  for (const Row& row : rows) {
    std::string line;
    for (std::size_t i = 0; i < row.size(); ++i) {
      line.append(row[i]);
      if (i + 1 < row.size()) line.append(widths[i] - row[i].size() + 2, ' ');
    }
    line.erase(line.find_last_not_of(' ') + 1);
    text.append(line).append("\n");
  }
  return text;
}

std::string OfContainer(const kube::ContainerStatus& status) {
  if (status.state.waiting && !status.state.waiting->reason.empty()) return status.state.waiting->reason;
  if (!status.state.terminated) return "";
  if (!status.state.terminated->reason.empty()) return status.state.terminated->reason;
  return status.state.terminated->signal != 0 ? absl::StrCat("Signal:", status.state.terminated->signal)
                                              : absl::StrCat("ExitCode:", status.state.terminated->exitCode);
}

bool Restartable(const kube::Pod& pod, const std::string& name) {
  for (const kube::Container& container : pod.spec.initContainers) {
    if (container.name == name) return container.restartPolicy == "Always";
  }
  return false;
}

/// "Init:..." while init containers are not through; "" afterwards.
std::string InitState(const kube::Pod& pod) {
  for (std::size_t i = 0; i < pod.status.initContainerStatuses.size(); ++i) {
    const kube::ContainerStatus& status = pod.status.initContainerStatuses[i];
    if (status.state.terminated && status.state.terminated->exitCode == 0) continue;
    if (Restartable(pod, status.name) && status.started.value_or(false)) continue;
    const std::string own = OfContainer(status);
    if (!own.empty() && own != "PodInitializing") return absl::StrCat("Init:", own);
    return absl::StrCat("Init:", i, "/", pod.spec.initContainers.size());
  }
  return "";
}

std::string Megabytes(std::int64_t bytes) {
  return bytes < 0 ? "-" : absl::StrFormat("%.1fMi", static_cast<double>(bytes) / (1 << 20));
}

std::string Milliseconds(double value) {
  return value >= 10000 ? absl::StrFormat("%.1fs", value / 1000) : absl::StrFormat("%.1fms", value);
}

}  // namespace

absl::StatusOr<std::vector<kube::Pod>> PodsOf(const std::string& pod_list_json) {
  std::string_view items;
  RETURN_IF_ERROR(kube::VisitJsonMembers(pod_list_json, [&items](std::string_view key, std::string_view value) {
    if (key == "items") items = value;
    return items.empty();
  }));
  std::vector<kube::Pod> pods;
  absl::Status failed = absl::OkStatus();
  if (items.empty()) return pods;
  RETURN_IF_ERROR(kube::VisitJsonElements(items, [&](std::string_view item) {
    auto pod = kube::Decode<kube::Pod>(std::string(item));
    failed = pod.status();
    if (pod.ok()) pods.push_back(*std::move(pod));
    return failed.ok();
  }));
  RETURN_IF_ERROR(failed);
  std::sort(pods.begin(), pods.end(), [](const kube::Pod& a, const kube::Pod& b) {
    return std::tie(a.metadata.namespace_, a.metadata.name) < std::tie(b.metadata.namespace_, b.metadata.name);
  });
  return pods;
}

std::string PodState(const kube::Pod& pod) {
  if (pod.metadata.deletionTimestamp.has_value()) return "Terminating";
  if (!pod.status.reason.empty()) return pod.status.reason;
  const std::string init = InitState(pod);
  if (!init.empty() && pod.status.phase != "Failed") return init;
  std::string state = pod.status.phase.empty() ? "Pending" : pod.status.phase;
  bool running = false;
  std::string own;
  for (const kube::ContainerStatus& status : pod.status.containerStatuses) {
    running = running || (status.state.running && status.ready);
    if (own.empty()) own = OfContainer(status);
  }
  if (own == "Completed" && running) return "Running";
  return own.empty() ? state : own;
}

std::string ShortDuration(std::int64_t seconds) {
  if (seconds < 0) return "";
  if (seconds < 2 * kMinute) return absl::StrCat(seconds, "s");
  if (seconds < kHour) return absl::StrCat(seconds / kMinute, "m", seconds % kMinute, "s");
  if (seconds < kDay) return absl::StrCat(seconds / kHour, "h", seconds % kHour / kMinute, "m");
  return absl::StrCat(seconds / kDay, "d", seconds % kDay / kHour, "h");
}

std::string PodTable(const std::vector<kube::Pod>& pods, std::int64_t now) {
  std::vector<Row> rows{{"NAMESPACE", "NAME", "READY", "STATUS", "RESTARTS", "AGE", "IP"}};
  for (const kube::Pod& pod : pods) {
    int ready = 0, restarts = 0;
    std::size_t sidecars = 0;
    for (const kube::ContainerStatus& status : pod.status.initContainerStatuses) {
      restarts += status.restartCount;
      if (!Restartable(pod, status.name)) continue;
      ++sidecars;
      ready += status.ready ? 1 : 0;
    }
    for (const kube::ContainerStatus& status : pod.status.containerStatuses) {
      ready += status.ready ? 1 : 0;
      restarts += status.restartCount;
    }
    const std::int64_t since = pod.metadata.creationTimestamp.unix_nanos / 1'000'000'000;
    rows.push_back({pod.metadata.namespace_, pod.metadata.name,
                    absl::StrCat(ready, "/", pod.spec.containers.size() + sidecars), PodState(pod),
                    absl::StrCat(restarts), since != 0 ? ShortDuration(std::max<std::int64_t>(0, now - since)) : "-",
                    pod.status.podIP.empty() ? "-" : pod.status.podIP});
  }
  return Table(rows);
}

absl::StatusOr<std::map<std::string, PodUsage>> UsageOf(const std::string& summary_json) {
  ASSIGN_OR_RETURN(const cache::Json summary, cache::ParseJson(summary_json, kLongestJson));
  std::map<std::string, PodUsage> usage;
  for (const cache::Json& pod : summary["pods"].array) {
    PodUsage& own = usage[pod["podRef"]["uid"].Text()];
    const cache::Json& cpu = pod["cpu"]["usageNanoCores"];
    const cache::Json& memory = pod["memory"]["workingSetBytes"];
    if (cpu.type == cache::Json::Type::kNumber) own.cpu_millicores = (cpu.number + 500'000) / 1'000'000;
    if (memory.type == cache::Json::Type::kNumber) own.memory_bytes = memory.number;
  }
  return usage;
}

absl::StatusOr<StartTimelines> TimelinesOf(const std::string& json) {
  ASSIGN_OR_RETURN(const cache::Json all, cache::ParseJson(json, kLongestJson));
  StartTimelines timelines;
  for (const auto& [uid, stages] : all.object) {
    auto& own = timelines[uid];
    for (const cache::Json& stage : stages.array) {
      own.emplace_back(stage["stage"].Text(), static_cast<double>(stage["us"].number) / 1000);
    }
  }
  return timelines;
}

std::string TimelinesJson(const StartTimelines& timelines) {
  cache::Json all = cache::Json::Object();
  for (const auto& [uid, stages] : timelines) {
    cache::Json list = cache::Json::Array();
    for (const auto& [stage, milliseconds] : stages) {
      cache::Json entry = cache::Json::Object();
      entry.object["stage"] = stage;
      entry.object["us"] = static_cast<std::int64_t>(std::llround(milliseconds * 1000));
      list.array.push_back(std::move(entry));
    }
    all.object[uid] = std::move(list);
  }
  return all.Dump() + "\n";
}

std::string UsageTable(const std::vector<kube::Pod>& pods, const std::map<std::string, PodUsage>& usage,
                       const StartTimelines& starts) {
  std::vector<std::pair<PodUsage, const kube::Pod*>> sorted;
  for (const kube::Pod& pod : pods) {
    const auto found = usage.find(pod.metadata.uid);
    sorted.emplace_back(found == usage.end() ? PodUsage() : found->second, &pod);
  }
  std::sort(sorted.begin(), sorted.end(), [](const auto& a, const auto& b) {
    const auto busy = [](const auto& entry) { return std::tie(entry.first.cpu_millicores, entry.first.memory_bytes); };
    if (busy(a) != busy(b)) return busy(a) > busy(b);
    return std::tie(a.second->metadata.namespace_, a.second->metadata.name) <
           std::tie(b.second->metadata.namespace_, b.second->metadata.name);
  });
  std::vector<Row> rows{{"NAMESPACE", "NAME", "STATUS", "CPU", "MEMORY", "START", "STAGES"}};
  for (const auto& [own, pod] : sorted) {
    std::string stages;
    double total = 0;
    const auto start = starts.find(pod->metadata.uid);
    if (start != starts.end()) {
      for (const auto& [stage, milliseconds] : start->second) {
        absl::StrAppend(&stages, stages.empty() ? "" : " ", stage, "=", Milliseconds(milliseconds));
        total += milliseconds;
      }
    }
    rows.push_back({pod->metadata.namespace_, pod->metadata.name, PodState(*pod),
                    own.cpu_millicores < 0 ? "-" : absl::StrCat(own.cpu_millicores, "m"), Megabytes(own.memory_bytes),
                    stages.empty() ? "-" : Milliseconds(total), stages});
  }
  return Table(rows);
}

}  // namespace burstlet::provider
