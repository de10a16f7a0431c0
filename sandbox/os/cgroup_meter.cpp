#include "sandbox/os/cgroup_meter.h"

#include <fcntl.h>
#include <sys/resource.h>
#include <unistd.h>

#include <charconv>

#include "absl/strings/str_cat.h"
#include "metrics/status.h"

namespace burstlet::sandbox {
namespace {

// What a cgroup file holds at most; io.stat of a machine with hundreds of disks is cut.
constexpr std::size_t kBufferSize = 32 << 10;

char* Buffer() {
  thread_local char buffer[kBufferSize];
  return buffer;
}

std::uint64_t Number(std::string_view text) {
  std::uint64_t value = 0;  // "max" is none
  std::from_chars(text.data(), text.data() + text.size(), value);
  return value;
}

/// Calls fn(key, value) for each "key value" line.
template <typename Fn>
void ForEachLine(std::string_view text, Fn fn) {
  while (!text.empty()) {
    const std::size_t end = text.find('\n');
    const std::string_view line = text.substr(0, end);
    const std::size_t space = line.find(' ');
    if (space != std::string_view::npos) fn(line.substr(0, space), line.substr(space + 1));
    if (end == std::string_view::npos) break;
    text.remove_prefix(end + 1);
  }
}

/// Calls fn(name, value) for each "name=value" of a line.
template <typename Fn>
void ForEachPair(std::string_view line, Fn fn) {
  while (!line.empty()) {
    const std::size_t end = line.find(' ');
    const std::string_view word = line.substr(0, end);
    const std::size_t equals = word.find('=');
    if (equals != std::string_view::npos) fn(word.substr(0, equals), word.substr(equals + 1));
    if (end == std::string_view::npos) break;
    line.remove_prefix(end + 1);
  }
}

/// Descriptors above this stay for others.
int KeepLimit() {
  static const int limit = [] {
    rlimit files{};
    getrlimit(RLIMIT_NOFILE, &files);
    return static_cast<int>(std::min<rlim_t>(files.rlim_cur / 2, 1 << 20));
  }();
  return limit;
}

}  // namespace

std::optional<Pressure> ParsePressure(std::string_view text) {
  Pressure pressure;
  bool found = false;
  ForEachLine(text, [&](std::string_view kind, std::string_view rest) {
    if (kind != "some" && kind != "full") return;
    found = true;
    PressureLine& line = kind == "some" ? pressure.some : pressure.full;
    ForEachPair(rest, [&](std::string_view name, std::string_view value) {
      if (name == "total") {
        line.total_us = Number(value);
        return;
      }
      double& average = name == "avg10" ? line.avg10 : name == "avg60" ? line.avg60 : line.avg300;
      std::from_chars(value.data(), value.data() + value.size(), average);
    });
  });
  if (!found) return std::nullopt;
  return pressure;
}

std::vector<BlockIo> ParseIoStat(std::string_view text) {
  std::vector<BlockIo> all;
  ForEachLine(text, [&](std::string_view device, std::string_view rest) {
    const std::size_t colon = device.find(':');
    if (colon == std::string_view::npos) return;
    BlockIo io;
    io.major = static_cast<unsigned>(Number(device.substr(0, colon)));
    io.minor = static_cast<unsigned>(Number(device.substr(colon + 1)));
    ForEachPair(rest, [&](std::string_view name, std::string_view value) {
      if (name == "rbytes") io.read_bytes = Number(value);
      if (name == "wbytes") io.write_bytes = Number(value);
      if (name == "rios") io.reads = Number(value);
      if (name == "wios") io.writes = Number(value);
    });
    all.push_back(io);
  });
  return all;
}

std::string_view CgroupMeter::ReadInto(int fd) {
  char* buffer = Buffer();
  std::size_t size = 0;
  while (size < kBufferSize) {
    const ssize_t got = pread(fd, buffer + size, kBufferSize - size, static_cast<off_t>(size));
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) break;
    size += static_cast<std::size_t>(got);
    // Nearly all of them come whole at once; a full page may have a successor.
    if (got < 4000) break;
  }
  return {buffer, size};
}

/// The text lives until the next read by this thread. Empty: no such file.
std::string_view CgroupMeter::Keep(File file, const std::string& directory, const char* name) {
  if (missing_[file] || directory.empty()) return {};
  UniqueFd& kept = files_[file];
  if (kept.valid()) return ReadInto(kept.get());
  UniqueFd fd(open(absl::StrCat(directory, "/", name).c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd.valid()) {
    missing_[file] = errno == ENOENT;
    return {};
  }
  const std::string_view text = ReadInto(fd.get());
  // Pressure that is switched off has files that cannot be read.
  if (text.empty() && file >= kCpuPressure) missing_[file] = true;
  if (fd.get() < KeepLimit()) kept = std::move(fd);
  return text;
}

std::string_view CgroupMeter::Once(const std::string& directory, const char* name) {
  if (directory.empty()) return {};
  UniqueFd fd(open(absl::StrCat(directory, "/", name).c_str(), O_RDONLY | O_CLOEXEC));
  return fd.valid() ? ReadInto(fd.get()) : std::string_view();
}

void CgroupMeter::ReadMemoryStat(CgroupStats& stats, bool all) {
  std::uint64_t inactive = 0;
  CgroupDetails& details = stats.details;
  const bool v2 = directories_.v2;
  ForEachLine(Keep(kMemoryStat, directories_.memory, "memory.stat"), [&](std::string_view key, std::string_view text) {
    const auto is = [&](std::string_view v1_name, std::string_view v2_name) { return key == (v2 ? v2_name : v1_name); };
    if (is("total_inactive_file", "inactive_file")) inactive = Number(text);
    if (is("total_rss", "anon")) stats.memory_rss_bytes = Number(text);
    if (is("total_pgfault", "pgfault")) stats.page_faults = Number(text);
    if (is("total_pgmajfault", "pgmajfault")) stats.major_page_faults = Number(text);
    if (is("total_swap", "")) stats.swap_usage_bytes = Number(text);
    if (!all) return;
    if (is("total_cache", "file")) details.memory_cache_bytes = Number(text);
    if (is("total_mapped_file", "file_mapped")) details.memory_mapped_file_bytes = Number(text);
    if (is("total_active_file", "active_file")) details.memory_active_file_bytes = Number(text);
    if (is("total_dirty", "file_dirty")) details.memory_dirty_bytes = Number(text);
    if (is("total_writeback", "file_writeback")) details.memory_writeback_bytes = Number(text);
    if (key == "pgfault") details.own_page_faults = Number(text);
    if (key == "pgmajfault") details.own_major_page_faults = Number(text);
    if (is("", "kernel")) details.memory_kernel_bytes = Number(text);
  });
  details.memory_inactive_file_bytes = inactive;
  stats.memory_working_set_bytes = stats.memory_usage_bytes > inactive ? stats.memory_usage_bytes - inactive : 0;
}

void CgroupMeter::ReadPressure(CgroupStats& stats) {
  if (!directories_.v2) return;  // the kernel keeps none for version 1
  stats.cpu_pressure = ParsePressure(Keep(kCpuPressure, directories_.cpu, "cpu.pressure"));
  stats.memory_pressure = ParsePressure(Keep(kMemoryPressure, directories_.memory, "memory.pressure"));
  stats.io_pressure = ParsePressure(Keep(kIoPressure, directories_.memory, "io.pressure"));
}

void CgroupMeter::ReadCpuDetails(CgroupDetails& details) {
  const bool v2 = directories_.v2;
  ForEachLine(v2 ? Keep(kCpuUsage, directories_.cpu, "cpu.stat") : Once(directories_.cpu, "cpu.stat"),
              [&](std::string_view key, std::string_view text) {
                if (key == "nr_periods") details.cfs_periods = Number(text);
                if (key == "nr_throttled") details.cfs_throttled_periods = Number(text);
                if (key == "throttled_usec") details.cfs_throttled_ns = Number(text) * 1000;
                if (key == "throttled_time") details.cfs_throttled_ns = Number(text);
                if (key == "nr_bursts") details.cfs_burst_periods = Number(text);
                if (key == "burst_usec") details.cfs_burst_ns = Number(text) * 1000;
                if (key == "burst_time") details.cfs_burst_ns = Number(text);
                if (key == "user_usec") details.cpu_user_ns = Number(text) * 1000;
                if (key == "system_usec") details.cpu_system_ns = Number(text) * 1000;
              });
  if (v2) return;
  details.cpu_user_ns = Number(Once(directories_.cpuacct, "cpuacct.usage_user"));
  details.cpu_system_ns = Number(Once(directories_.cpuacct, "cpuacct.usage_sys"));
}

void CgroupMeter::ReadMemoryDetails(CgroupDetails& details) {
  const bool v2 = directories_.v2;
  const std::string& memory = directories_.memory;
  details.memory_max_usage_bytes = Number(Once(memory, v2 ? "memory.peak" : "memory.max_usage_in_bytes"));
  if (!v2) {
    details.memory_fail_count = Number(Once(memory, "memory.failcnt"));
    details.memory_kernel_bytes = Number(Once(memory, "memory.kmem.usage_in_bytes"));
  }
  ForEachLine(Once(memory, v2 ? "memory.events" : "memory.oom_control"),
              [&](std::string_view key, std::string_view text) {
                if (key == "oom_kill") details.oom_kills = Number(text);
                if (key == "max") details.memory_fail_count = Number(text);
              });
}

absl::StatusOr<CgroupStats> CgroupMeter::Read(StatsDetail detail) {
  CgroupStats stats;
  const bool v2 = directories_.v2;
  const std::string_view usage =
      Keep(kMemoryUsage, directories_.memory, v2 ? "memory.current" : "memory.usage_in_bytes");
  if (usage.empty()) return absl::NotFoundError(absl::StrCat("no cgroup ", directories_.memory));
  stats.memory_usage_bytes = Number(usage);
  ReadMemoryStat(stats, detail == StatsDetail::kAll);
  if (v2) {
    ForEachLine(Keep(kCpuUsage, directories_.cpu, "cpu.stat"), [&](std::string_view key, std::string_view text) {
      if (key == "usage_usec") stats.cpu_usage_ns = Number(text) * 1000;
    });
    stats.swap_usage_bytes = Number(Keep(kSwapUsage, directories_.memory, "memory.swap.current"));
  } else {
    stats.cpu_usage_ns = Number(Keep(kCpuUsage, directories_.cpuacct, "cpuacct.usage"));
  }
  if (detail == StatsDetail::kUsage) return stats;
  stats.pids = Number(Keep(kTasks, directories_.pids, "pids.current"));
  ReadPressure(stats);
  if (detail == StatsDetail::kSummary) return stats;
  ReadCpuDetails(stats.details);
  ReadMemoryDetails(stats.details);
  stats.details.max_tasks = Number(Once(directories_.pids, "pids.max"));
  if (v2) stats.details.block_io = ParseIoStat(Once(directories_.memory, "io.stat"));
  return stats;
}

}  // namespace burstlet::sandbox
