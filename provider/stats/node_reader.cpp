#include "provider/stats/node_reader.h"

#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/sysmacros.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <chrono>
#include <set>
#include <sstream>

#include "absl/strings/str_cat.h"
#include "sandbox/net/interface_counters.h"
#include "sandbox/os/cgroup_meter.h"
#include "sandbox/os/safe_path.h"

namespace burstlet::provider {
namespace {

std::int64_t Now() {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(std::chrono::system_clock::now().time_since_epoch())
      .count();
}

std::string Text(const std::string& path) {
  auto text = sandbox::ReadFile(path);
  return text.ok() ? *std::move(text) : std::string();
}

std::string Line(const std::string& path) {
  std::string text = Text(path);
  while (!text.empty() && (text.back() == '\n' || text.back() == ' ' || text.back() == '\0')) text.pop_back();
  return text;
}

std::uint64_t Number(std::string_view text) {
  std::uint64_t value = 0;
  std::from_chars(text.data(), text.data() + text.size(), value);
  return value;
}

/// A line "Name:  123 kB" of meminfo, in bytes.
std::uint64_t MemInfo(const std::string& meminfo, const std::string& name) {
  const std::size_t at = meminfo.find(name + ":");
  if (at == std::string::npos || (at != 0 && meminfo[at - 1] != '\n')) return 0;
  return std::strtoull(meminfo.c_str() + at + name.size() + 1, nullptr, 10) * 1024;
}

std::uint64_t VmStat(const std::string& vmstat, const std::string& name) {
  const std::size_t at = vmstat.find("\n" + name + " ");
  return at == std::string::npos ? 0 : std::strtoull(vmstat.c_str() + at + name.size() + 2, nullptr, 10);
}

void ReadCpu(const std::string& proc, NodeSample& node) {
  const std::string text = Text(proc + "/stat");
  std::istringstream stat(text);
  std::string label;
  // user nice system idle iowait irq softirq steal: all but idle and iowait is use.
  std::uint64_t ticks[8] = {};
  stat >> label;
  for (std::uint64_t& value : ticks) stat >> value;
  const std::uint64_t nanos_per_tick = 1'000'000'000 / static_cast<std::uint64_t>(sysconf(_SC_CLK_TCK));
  node.usage.details.cpu_user_ns = (ticks[0] + ticks[1]) * nanos_per_tick;
  node.usage.details.cpu_system_ns = (ticks[2] + ticks[5] + ticks[6]) * nanos_per_tick;
  node.usage.cpu_usage_ns =
      node.usage.details.cpu_user_ns + node.usage.details.cpu_system_ns + ticks[7] * nanos_per_tick;
  const std::size_t boot = text.find("\nbtime ");
  if (boot != std::string::npos)
    node.boot_time = static_cast<std::int64_t>(Number(std::string_view(text).substr(boot + 7))) * 1'000'000'000;
}

void ReadMemory(const std::string& proc, NodeSample& node) {
  const std::string meminfo = Text(proc + "/meminfo");
  sandbox::CgroupStats& usage = node.usage;
  node.memory_total_bytes = MemInfo(meminfo, "MemTotal");
  node.huge_pages_bytes = MemInfo(meminfo, "Hugetlb");
  node.swap_total_bytes = MemInfo(meminfo, "SwapTotal");
  const std::uint64_t inactive = MemInfo(meminfo, "Inactive(file)");
  usage.memory_usage_bytes = node.memory_total_bytes - MemInfo(meminfo, "MemFree");
  usage.memory_working_set_bytes = usage.memory_usage_bytes > inactive ? usage.memory_usage_bytes - inactive : 0;
  usage.memory_rss_bytes = MemInfo(meminfo, "AnonPages");
  usage.swap_usage_bytes = node.swap_total_bytes - MemInfo(meminfo, "SwapFree");
  usage.details.memory_cache_bytes = MemInfo(meminfo, "Cached") + MemInfo(meminfo, "Buffers");
  usage.details.memory_mapped_file_bytes = MemInfo(meminfo, "Mapped");
  usage.details.memory_active_file_bytes = MemInfo(meminfo, "Active(file)");
  usage.details.memory_inactive_file_bytes = inactive;
  usage.details.memory_dirty_bytes = MemInfo(meminfo, "Dirty");
  usage.details.memory_writeback_bytes = MemInfo(meminfo, "Writeback");
  usage.details.memory_kernel_bytes = MemInfo(meminfo, "Slab") + MemInfo(meminfo, "KernelStack");
  const std::string vmstat = Text(proc + "/vmstat");
  usage.page_faults = usage.details.own_page_faults = VmStat(vmstat, "pgfault");
  usage.major_page_faults = usage.details.own_major_page_faults = VmStat(vmstat, "pgmajfault");
  usage.details.oom_kills = VmStat(vmstat, "oom_kill");
}

void ReadProcesses(const std::string& proc, NodeSample& node) {
  node.max_pid = std::min(Number(Text(proc + "/sys/kernel/pid_max")), Number(Text(proc + "/sys/kernel/threads-max")));
  // /proc/loadavg: "0.1 0.2 0.3 running/total last-pid".
  const std::string load = Text(proc + "/loadavg");
  const std::size_t slash = load.find('/');
  if (slash != std::string::npos) node.running_processes = Number(std::string_view(load).substr(slash + 1));
  node.usage.pids = node.running_processes;
}

void ReadDisks(const std::string& proc, NodeSample& node) {
  std::istringstream lines(Text(proc + "/diskstats"));
  for (std::string line; std::getline(lines, line);) {
    std::istringstream fields(line);
    unsigned major = 0;
    unsigned minor = 0;
    std::string name;
    DiskSample disk;
    fields >> major >> minor >> name >> disk.reads >> disk.reads_merged >> disk.sectors_read >> disk.read_ms >>
        disk.writes >> disk.writes_merged >> disk.sectors_written >> disk.write_ms >> disk.in_progress >> disk.io_ms >>
        disk.weighted_ms;
    if (!fields) continue;
    disk.device = "/dev/" + name;
    node.device_names[{major, minor}] = disk.device;
    // Devices that never did anything (unused loop and ram devices) would only be noise.
    if (disk.reads + disk.writes > 0) node.disks.push_back(std::move(disk));
  }
}

SystemContainer Agent() {
  SystemContainer agent;
  agent.name = "kubelet";
  rusage self{};
  getrusage(RUSAGE_SELF, &self);
  const auto nanos = [](const timeval& time) {
    return static_cast<std::uint64_t>(time.tv_sec) * 1'000'000'000 + static_cast<std::uint64_t>(time.tv_usec) * 1000;
  };
  agent.usage.details.cpu_user_ns = nanos(self.ru_utime);
  agent.usage.details.cpu_system_ns = nanos(self.ru_stime);
  agent.usage.cpu_usage_ns = agent.usage.details.cpu_user_ns + agent.usage.details.cpu_system_ns;
  agent.usage.page_faults = static_cast<std::uint64_t>(self.ru_minflt + self.ru_majflt);
  agent.usage.major_page_faults = static_cast<std::uint64_t>(self.ru_majflt);
  std::uint64_t total = 0;
  std::uint64_t resident = 0;
  std::istringstream(Text("/proc/self/statm")) >> total >> resident;
  agent.usage.memory_usage_bytes = resident * static_cast<std::uint64_t>(sysconf(_SC_PAGESIZE));
  agent.usage.memory_working_set_bytes = agent.usage.memory_usage_bytes;
  agent.usage.memory_rss_bytes = agent.usage.memory_usage_bytes;
  static const std::int64_t started = Now();
  agent.started_at = started;
  return agent;
}

/// The device that is mounted where `path` lies: mountinfo's source of the mount with that device number.
std::string DeviceOf(dev_t device) {
  static const std::string mounts = Text("/proc/self/mountinfo");
  const std::string number = absl::StrCat(" ", major(device), ":", minor(device), " ");
  std::istringstream lines(mounts);
  for (std::string line; std::getline(lines, line);) {
    if (line.find(number) == std::string::npos) continue;
    const std::size_t dash = line.find(" - ");
    if (dash == std::string::npos) continue;
    std::istringstream rest(line.substr(dash + 3));
    std::string type;
    std::string source;
    rest >> type >> source;
    return source;
  }
  return "";
}

}  // namespace

FsSpace ReadSpace(const std::string& path) {
  FsSpace space;
  struct statvfs vfs{};
  struct stat file{};
  if (statvfs(path.c_str(), &vfs) != 0 || stat(path.c_str(), &file) != 0) return space;
  space.device = DeviceOf(file.st_dev);
  space.capacity_bytes = vfs.f_blocks * vfs.f_frsize;
  space.available_bytes = vfs.f_bavail * vfs.f_frsize;
  space.inodes = vfs.f_files;
  space.inodes_free = vfs.f_ffree;
  space.measured_at = Now();
  return space;
}

NodeSample ReadNode(const NodeReaderConfig& config, sandbox::StatsDetail detail) {
  NodeSample node;
  node.name = config.name;
  node.read_at = Now();
  ReadCpu(config.proc, node);
  ReadMemory(config.proc, node);
  node.system_containers.push_back(Agent());
  if (detail == sandbox::StatsDetail::kUsage) return node;
  ReadProcesses(config.proc, node);
  node.usage.cpu_pressure = sandbox::ParsePressure(Text(config.proc + "/pressure/cpu"));
  node.usage.memory_pressure = sandbox::ParsePressure(Text(config.proc + "/pressure/memory"));
  node.usage.io_pressure = sandbox::ParsePressure(Text(config.proc + "/pressure/io"));
  node.interfaces = sandbox::ParseNetDev(Text(config.proc + "/self/net/dev"));
  node.fs = ReadSpace(config.root_dir);
  if (detail == sandbox::StatsDetail::kAll) ReadDisks(config.proc, node);
  return node;
}

MachineInfo ReadMachine() {
  MachineInfo machine;
  machine.cpus = static_cast<unsigned>(std::max(1L, sysconf(_SC_NPROCESSORS_ONLN)));
  std::set<std::pair<std::string, std::string>> cores;
  std::set<std::string> sockets;
  for (unsigned cpu = 0; cpu < machine.cpus; ++cpu) {
    const std::string topology = absl::StrCat("/sys/devices/system/cpu/cpu", cpu, "/topology/");
    const std::string socket = Line(topology + "physical_package_id");
    cores.emplace(socket, Line(topology + "core_id"));
    sockets.insert(socket);
  }
  machine.physical_cores = static_cast<unsigned>(cores.size());
  machine.sockets = static_cast<unsigned>(sockets.size());
  machine.machine_id = Line("/etc/machine-id");
  machine.system_uuid = Line("/sys/class/dmi/id/product_uuid");
  if (machine.system_uuid.empty()) machine.system_uuid = machine.machine_id;
  machine.boot_id = Line("/proc/sys/kernel/random/boot_id");
  utsname names{};
  uname(&names);
  machine.kernel_version = names.release;
  std::istringstream release(Text("/etc/os-release"));
  for (std::string line; std::getline(release, line);) {
    if (line.rfind("PRETTY_NAME=", 0) != 0) continue;
    machine.os_version = line.substr(12);
    std::erase(machine.os_version, '"');
  }
  return machine;
}

}  // namespace burstlet::provider
