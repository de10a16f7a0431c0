#include "provider/stats/summary.h"

#include <algorithm>

#include "provider/stats/json_writer.h"

namespace burstlet::provider {
namespace {

using sandbox::CgroupStats;
using sandbox::InterfaceStats;
using sandbox::Pressure;
using sandbox::PressureLine;

std::uint64_t Minus(std::uint64_t whole, std::uint64_t part) { return whole > part ? whole - part : 0; }

void WritePressureLine(JsonWriter& out, const char* key, const PressureLine& line) {
  out.Key(key);
  out.BeginObject();
  out.Field("total", line.total_us * 1000);
  out.Key("avg10");
  out.Double(line.avg10);
  out.Key("avg60");
  out.Double(line.avg60);
  out.Key("avg300");
  out.Double(line.avg300);
  out.EndObject();
}

void WritePressure(JsonWriter& out, const std::optional<Pressure>& pressure) {
  if (!pressure) return;
  out.Key("psi");
  out.BeginObject();
  WritePressureLine(out, "full", pressure->full);
  WritePressureLine(out, "some", pressure->some);
  out.EndObject();
}

void WriteCpu(JsonWriter& out, const CgroupStats& usage, std::optional<std::uint64_t> nano_cores, std::int64_t at) {
  out.Key("cpu");
  out.BeginObject();
  out.TimeField("time", at);
  if (nano_cores) out.Field("usageNanoCores", *nano_cores);
  out.Field("usageCoreNanoSeconds", usage.cpu_usage_ns);
  WritePressure(out, usage.cpu_pressure);
  out.EndObject();
}

void WriteMemory(JsonWriter& out, const CgroupStats& usage, std::optional<std::uint64_t> available, std::int64_t at) {
  out.Key("memory");
  out.BeginObject();
  out.TimeField("time", at);
  if (available) out.Field("availableBytes", *available);
  out.Field("usageBytes", usage.memory_usage_bytes);
  out.Field("workingSetBytes", usage.memory_working_set_bytes);
  out.Field("rssBytes", usage.memory_rss_bytes);
  out.Field("pageFaults", usage.page_faults);
  out.Field("majorPageFaults", usage.major_page_faults);
  WritePressure(out, usage.memory_pressure);
  out.EndObject();
}

void WriteIo(JsonWriter& out, const CgroupStats& usage, std::int64_t at) {
  if (!usage.io_pressure) return;
  out.Key("io");
  out.BeginObject();
  out.TimeField("time", at);
  WritePressure(out, usage.io_pressure);
  out.EndObject();
}

void WriteSwap(JsonWriter& out, const CgroupStats& usage, std::optional<std::uint64_t> limit, std::int64_t at) {
  out.Key("swap");
  out.BeginObject();
  out.TimeField("time", at);
  if (limit) out.Field("swapAvailableBytes", Minus(*limit, usage.swap_usage_bytes));
  out.Field("swapUsageBytes", usage.swap_usage_bytes);
  out.EndObject();
}

void WriteInterface(JsonWriter& out, const InterfaceStats& interface) {
  out.Field("name", interface.name);
  out.Field("rxBytes", interface.rx_bytes);
  out.Field("rxErrors", interface.rx_errors);
  out.Field("txBytes", interface.tx_bytes);
  out.Field("txErrors", interface.tx_errors);
}

void WriteNetwork(JsonWriter& out, const std::vector<InterfaceStats>& interfaces, std::int64_t at) {
  if (interfaces.empty()) return;
  out.Key("network");
  out.BeginObject();
  out.TimeField("time", at);
  const auto main = std::find_if(interfaces.begin(), interfaces.end(),
                                 [](const InterfaceStats& interface) { return interface.name == "eth0"; });
  if (main == interfaces.end()) {
    out.Field("name", std::string_view());
  } else {
    WriteInterface(out, *main);
  }
  out.Key("interfaces");
  out.BeginArray();
  for (const InterfaceStats& interface : interfaces) {
    out.BeginObject();
    WriteInterface(out, interface);
    out.EndObject();
  }
  out.EndArray();
  out.EndObject();
}

/// The members of FsStats; `used` is of the thing meant, not of its whole file system.
void WriteFsMembers(JsonWriter& out, const FsSpace& space, const std::optional<DiskUsage>& used) {
  out.TimeField("time", used ? std::max(used->measured_at, space.measured_at) : space.measured_at);
  out.Field("availableBytes", space.available_bytes);
  out.Field("capacityBytes", space.capacity_bytes);
  if (used) out.Field("usedBytes", used->bytes);
  out.Field("inodesFree", space.inodes_free);
  out.Field("inodes", space.inodes);
  if (used) out.Field("inodesUsed", used->inodes);
}

void WriteFs(JsonWriter& out, const char* key, const FsSpace& space, const std::optional<DiskUsage>& used) {
  out.Key(key);
  out.BeginObject();
  WriteFsMembers(out, space, used);
  out.EndObject();
}

std::optional<std::uint64_t> AvailableMemory(const sandbox::Resources& limits, const CgroupStats& usage) {
  if (!limits.memory_limit_bytes || *limits.memory_limit_bytes <= 0) return std::nullopt;
  return Minus(static_cast<std::uint64_t>(*limits.memory_limit_bytes), usage.memory_working_set_bytes);
}

std::optional<std::uint64_t> SwapLimit(const sandbox::Resources& limits) {
  if (!limits.memory_swap_bytes) return std::nullopt;
  return static_cast<std::uint64_t>(*limits.memory_swap_bytes);
}

void WriteContainer(JsonWriter& out, const ContainerSample& container, const FsSpace& fs, std::int64_t at, bool only) {
  const CgroupStats& usage = container.stats.usage;
  out.BeginObject();
  out.Field("name", container.name);
  out.TimeField("startTime", container.started_at);
  WriteCpu(out, usage, container.usage_nano_cores, at);
  WriteMemory(out, usage, AvailableMemory(container.limits, usage), at);
  if (!only) {
    WriteIo(out, usage, at);
    WriteFs(out, "rootfs", fs, container.rootfs);
    WriteFs(out, "logs", fs, container.logs);
  }
  WriteSwap(out, usage, SwapLimit(container.limits), at);
  out.EndObject();
}

void WriteVolumes(JsonWriter& out, const PodSample& pod) {
  if (pod.volumes.empty()) return;
  out.Key("volume");
  out.BeginArray();
  for (const VolumeSample& volume : pod.volumes) {
    out.BeginObject();
    WriteFsMembers(out, volume.space, volume.used);
    out.Field("name", volume.name);
    if (!volume.claim.empty()) {
      out.Key("pvcRef");
      out.BeginObject();
      out.Field("name", volume.claim);
      out.Field("namespace", pod.name_space);
      out.EndObject();
    }
    out.EndObject();
  }
  out.EndArray();
}

void WritePod(JsonWriter& out, const PodSample& pod, const FsSpace& fs, bool only) {
  const CgroupStats& usage = pod.stats.pod;
  const std::int64_t at = pod.stats.read_at;
  out.BeginObject();
  out.Key("podRef");
  out.BeginObject();
  out.Field("name", pod.name);
  out.Field("namespace", pod.name_space);
  out.Field("uid", pod.uid);
  out.EndObject();
  out.TimeField("startTime", pod.created_at);
  out.Key("containers");
  out.BeginArray();
  for (const ContainerSample& container : pod.containers) WriteContainer(out, container, fs, at, only);
  out.EndArray();
  WriteCpu(out, usage, pod.usage_nano_cores, at);
  WriteMemory(out, usage, AvailableMemory(pod.limits, usage), at);
  if (!only) {
    WriteIo(out, usage, at);
    WriteNetwork(out, pod.stats.interfaces, at);
    WriteVolumes(out, pod);
    WriteFs(out, "ephemeral-storage", fs, EphemeralStorage(pod));
    out.Key("process_stats");
    out.BeginObject();
    out.Field("process_count", usage.pids);
    out.EndObject();
  }
  WriteSwap(out, usage, std::nullopt, at);
  out.EndObject();
}

void WriteSystemContainers(JsonWriter& out, const NodeSample& node, bool only) {
  if (node.system_containers.empty()) return;
  out.Key("systemContainers");
  out.BeginArray();
  for (const SystemContainer& container : node.system_containers) {
    out.BeginObject();
    out.Field("name", container.name);
    out.TimeField("startTime", container.started_at);
    WriteCpu(out, container.usage, container.usage_nano_cores, node.read_at);
    WriteMemory(out, container.usage, std::nullopt, node.read_at);
    if (!only) WriteIo(out, container.usage, node.read_at);
    WriteSwap(out, container.usage, std::nullopt, node.read_at);
    out.EndObject();
  }
  out.EndArray();
}

void WriteNodeDisks(JsonWriter& out, const NodeSample& node) {
  DiskUsage used;
  used.bytes = Minus(node.fs.capacity_bytes, node.fs.available_bytes);
  used.inodes = Minus(node.fs.inodes, node.fs.inodes_free);
  used.measured_at = node.fs.measured_at;
  WriteFs(out, "fs", node.fs, used);
  out.Key("runtime");
  out.BeginObject();
  WriteFs(out, "imageFs", node.fs, node.images);
  WriteFs(out, "containerFs", node.fs, node.images);
  out.EndObject();
  out.Key("rlimit");
  out.BeginObject();
  out.TimeField("time", node.read_at);
  out.Field("maxpid", node.max_pid);
  out.Field("curproc", node.running_processes);
  out.EndObject();
}

void WriteNode(JsonWriter& out, const NodeSample& node, bool only) {
  out.BeginObject();
  out.Field("nodeName", node.name);
  WriteSystemContainers(out, node, only);
  out.TimeField("startTime", node.boot_time);
  WriteCpu(out, node.usage, node.usage_nano_cores, node.read_at);
  // Huge pages are not there for anything else (adjustForHugePages).
  const std::uint64_t available =
      Minus(Minus(node.memory_total_bytes, node.usage.memory_working_set_bytes), node.huge_pages_bytes);
  WriteMemory(out, node.usage, available, node.read_at);
  if (!only) {
    WriteIo(out, node.usage, node.read_at);
    WriteNetwork(out, node.interfaces, node.read_at);
    WriteNodeDisks(out, node);
  }
  WriteSwap(out, node.usage, node.swap_total_bytes, node.read_at);
  out.EndObject();
}

}  // namespace

std::optional<DiskUsage> EphemeralStorage(const PodSample& pod) {
  std::optional<DiskUsage> sum;
  const auto add = [&sum](const std::optional<DiskUsage>& part) {
    if (!part) return;
    if (!sum) sum.emplace();
    sum->Add(*part);
  };
  for (const ContainerSample& container : pod.containers) {
    add(container.rootfs);
    add(container.logs);
  }
  for (const VolumeSample& volume : pod.volumes) {
    if (volume.ephemeral) add(volume.used);
  }
  add(pod.own_files);
  return sum;
}

std::string SummaryJson(const StatsSample& sample, bool only_cpu_and_memory) {
  JsonWriter out(4096 + sample.pods.size() * 4096);
  out.BeginObject();
  out.Key("node");
  WriteNode(out, sample.node, only_cpu_and_memory);
  out.Key("pods");
  out.BeginArray();
  for (const PodSample& pod : sample.pods) WritePod(out, pod, sample.node.fs, only_cpu_and_memory);
  out.EndArray();
  out.EndObject();
  std::string text = out.Take();
  text += '\n';
  return text;
}

}  // namespace burstlet::provider
