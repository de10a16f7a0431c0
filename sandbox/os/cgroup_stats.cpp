// What a cgroup has used, as cadvisor counts it, from either version's files.
#include "absl/strings/numbers.h"
#include "absl/strings/str_split.h"
#include "metrics/status.h"
#include "sandbox/os/cgroup.h"
#include "sandbox/os/safe_path.h"

namespace burstlet::sandbox {
namespace {

/// "name value" lines of a *.stat file.
class KeyedFile {
 public:
  explicit KeyedFile(const std::string& path) {
    absl::StatusOr<std::string> content = ReadFile(path);
    if (content.ok()) content_ = *std::move(content);
  }
  std::uint64_t Value(const std::string& key) const {
    for (const auto line : absl::StrSplit(content_, '\n', absl::SkipEmpty())) {
      std::pair<std::string, std::string> pair = absl::StrSplit(line, absl::MaxSplits(' ', 1));
      std::uint64_t value = 0;
      if (pair.first == key && absl::SimpleAtoi(pair.second, &value)) return value;
    }
    return 0;
  }

 private:
  std::string content_;
};

std::uint64_t Number(const std::string& path) {
  absl::StatusOr<std::string> content = ReadFile(path);
  std::uint64_t value = 0;
  return content.ok() && absl::SimpleAtoi(*content, &value) ? value : 0;
}

}  // namespace

std::uint64_t CgroupTree::OomKills(const std::string& path) const {
  // A cgroup with oom.group counts every process it killed; one is enough to know.
  return KeyedFile(File("memory", path, v2() ? "memory.events" : "memory.oom_control")).Value("oom_kill");
}

absl::StatusOr<CgroupStats> CgroupTree::Stats(const std::string& path) const {
  CgroupStats stats;
  std::string usage_file = File("memory", path, v2() ? "memory.current" : "memory.usage_in_bytes");
  ASSIGN_OR_RETURN(std::string usage, ReadFile(usage_file));
  if (!absl::SimpleAtoi(usage, &stats.memory_usage_bytes)) return absl::InternalError(usage_file);
  KeyedFile memory(File("memory", path, "memory.stat"));
  std::string total = v2() ? "" : "total_";
  std::uint64_t inactive = memory.Value(total + "inactive_file");
  stats.memory_working_set_bytes = stats.memory_usage_bytes > inactive ? stats.memory_usage_bytes - inactive : 0;
  stats.memory_rss_bytes = memory.Value(v2() ? "anon" : "total_rss");
  stats.page_faults = memory.Value(total + "pgfault");
  stats.major_page_faults = memory.Value(total + "pgmajfault");
  if (v2()) {
    stats.cpu_usage_ns = KeyedFile(File("cpu", path, "cpu.stat")).Value("usage_usec") * 1000;
    stats.swap_usage_bytes = Number(File("memory", path, "memory.swap.current"));
  } else {
    stats.cpu_usage_ns = Number(File("cpuacct", path, "cpuacct.usage"));
    stats.swap_usage_bytes = memory.Value("total_swap");
  }
  stats.pids = Number(File("pids", path, "pids.current"));
  stats.oom_kills = OomKills(path);
  return stats;
}

}  // namespace burstlet::sandbox
