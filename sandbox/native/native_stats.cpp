// What a pod has used, read by the agent itself: the warden is not asked.
#include <fcntl.h>
#include <unistd.h>

#include <chrono>

#include "absl/strings/str_cat.h"
#include "metrics/status.h"
#include "sandbox/native/native_sandbox.h"
#include "sandbox/net/interface_counters.h"
#include "sandbox/os/process_counts.h"
#include "sandbox/os/syscalls.h"

namespace burstlet::sandbox {
namespace {

UnixNanos Now() {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(std::chrono::system_clock::now().time_since_epoch())
      .count();
}

}  // namespace

std::vector<InterfaceStats> NativeSandbox::ReadInterfaces() {
  StatsSources& sources = stats_sources_;
  if (!sources.net_dev.valid()) {
    sources.net_dev = UniqueFd(open(absl::StrCat("/proc/", warden_pid_, "/net/dev").c_str(), O_RDONLY | O_CLOEXEC));
    // The number is the warden's only while the warden lives.
    if (!sources.net_dev.valid() || PidfdSignal(pidfd_.get(), 0) != 0) {
      sources.net_dev.Reset();
      return {};
    }
  }
  thread_local char text[16 << 10];
  const ssize_t got = pread(sources.net_dev.get(), text, sizeof(text), 0);
  return got > 0 ? ParseNetDev({text, static_cast<std::size_t>(got)}) : std::vector<InterfaceStats>();
}

CgroupMeter& NativeSandbox::Meter(const std::string& cgroup) {
  const auto found = stats_sources_.meters.find(cgroup);
  if (found != stats_sources_.meters.end()) return found->second;
  return stats_sources_.meters.emplace(cgroup, context_.cgroups->Meter(cgroup)).first->second;
}

absl::StatusOr<SandboxStats> NativeSandbox::Stats(StatsDetail detail) {
  SandboxStats stats;
  std::lock_guard<std::mutex> lock(mutex_);
  if (removed_ || dead_) return absl::NotFoundError("the sandbox is gone");
  stats.read_at = Now();
  stats.cgroup = PodCgroup();
  ASSIGN_OR_RETURN(stats.pod, Meter(stats.cgroup).Read(detail));
  for (const auto& [container_id, entry] : containers_) {
    if (entry.state.phase != ContainerPhase::kRunning) continue;
    ContainerStats container;
    container.id = container_id;
    container.name = entry.state.name;
    container.pid = entry.state.pid;
    container.cgroup = ContainerCgroup(container_id);
    absl::StatusOr<CgroupStats> usage = Meter(container.cgroup).Read(detail);
    if (!usage.ok()) continue;  // it has just ended
    container.usage = *std::move(usage);
    if (detail == StatsDetail::kAll)
      container.processes = CountProcesses(context_.cgroups->Processes(container.cgroup), entry.state.pid);
    if (detail != StatsDetail::kUsage)
      container.writable_layer = absl::StrCat(context_.paths.Container(id(), container_id), "/upper");
    stats.containers.push_back(std::move(container));
  }
  if (detail != StatsDetail::kUsage) stats.interfaces = ReadInterfaces();
  return stats;
}

}  // namespace burstlet::sandbox
