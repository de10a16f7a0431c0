// Reads one cgroup's counters again and again, cheaply: its files stay open between reads.
//
// Opening a cgroup file costs five times what reading it does, and a scrape reads some thousand of them. A process that
// is short of descriptors closes them again after each read. Owner: a sandbox, or whoever asks once. Threads: one at a
// time. Failure: kNotFound when the cgroup is gone.
#pragma once

#include <array>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "sandbox/os/unique_fd.h"
#include "sandbox/stats.h"

namespace burstlet::sandbox {

class CgroupMeter {
 public:
  /// Where the cgroup's directory is in each hierarchy; all the same on version 2. Empty: no such controller.
  struct Directories {
    bool v2 = false;
    std::string cpu;
    std::string cpuacct;
    std::string memory;
    std::string pids;
  };

  explicit CgroupMeter(Directories directories) : directories_(std::move(directories)) {}

  absl::StatusOr<CgroupStats> Read(StatsDetail detail);

 private:
  enum File : unsigned {
    kCpuUsage,  // v1 cpuacct.usage, v2 cpu.stat
    kMemoryUsage,
    kMemoryStat,
    kSwapUsage,  // v2
    kTasks,
    kCpuPressure,
    kMemoryPressure,
    kIoPressure,
    kFiles,
  };

  std::string_view Keep(File file, const std::string& directory, const char* name);
  std::string_view Once(const std::string& directory, const char* name);
  std::string_view ReadInto(int fd);
  void ReadMemoryStat(CgroupStats& stats, bool all);
  void ReadPressure(CgroupStats& stats);
  void ReadCpuDetails(CgroupDetails& details);
  void ReadMemoryDetails(CgroupDetails& details);

  Directories directories_;
  std::array<UniqueFd, kFiles> files_;
  std::array<bool, kFiles> missing_{};
};

/// "some avg10=0.00 avg60=0.00 avg300=0.00 total=0" and "full ..."; nothing when it is not such a text.
std::optional<Pressure> ParsePressure(std::string_view text);
/// version 2's io.stat: "8:0 rbytes=1 wbytes=2 rios=3 wios=4 ...".
std::vector<BlockIo> ParseIoStat(std::string_view text);

}  // namespace burstlet::sandbox
