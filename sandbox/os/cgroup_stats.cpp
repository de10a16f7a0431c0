// What a cgroup has used: the tree's way to its files.
#include "absl/strings/numbers.h"
#include "absl/strings/str_split.h"
#include "sandbox/os/cgroup.h"
#include "sandbox/os/cgroup_meter.h"
#include "sandbox/os/safe_path.h"

namespace burstlet::sandbox {

std::uint64_t CgroupTree::OomKills(const std::string& path) const {
  // A cgroup with oom.group counts every process it killed; one is enough to know.
  const absl::StatusOr<std::string> events =
      ReadFile(File("memory", path, v2() ? "memory.events" : "memory.oom_control"));
  if (!events.ok()) return 0;
  for (const auto line : absl::StrSplit(*events, '\n', absl::SkipEmpty())) {
    std::pair<std::string, std::string> pair = absl::StrSplit(line, absl::MaxSplits(' ', 1));
    std::uint64_t value = 0;
    if (pair.first == "oom_kill" && absl::SimpleAtoi(pair.second, &value)) return value;
  }
  return 0;
}

CgroupMeter CgroupTree::Meter(const std::string& path) const {
  const auto directory = [&](std::string_view controller) {
    const Hierarchy* hierarchy = Find(controller);
    return hierarchy == nullptr ? std::string() : hierarchy->mount + path;
  };
  return CgroupMeter({v2(), directory("cpu"), directory("cpuacct"), directory("memory"), directory("pids")});
}

absl::StatusOr<CgroupStats> CgroupTree::Stats(const std::string& path) const {
  return Meter(path).Read(StatsDetail::kAll);
}

std::vector<pid_t> CgroupTree::Processes(const std::string& path) const {
  std::vector<pid_t> pids;
  const absl::StatusOr<std::string> text = ReadFile(File("memory", path, "cgroup.procs"));
  if (!text.ok()) return pids;
  for (const auto line : absl::StrSplit(*text, '\n', absl::SkipEmpty())) {
    int pid = 0;
    if (absl::SimpleAtoi(line, &pid) && pid > 0) pids.push_back(pid);
  }
  return pids;
}

}  // namespace burstlet::sandbox
