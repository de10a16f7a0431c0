#include "provider/stats/cadvisor_rows.h"

namespace burstlet::provider::cadvisor {
namespace {

struct Identity {
  std::string_view container;
  std::string_view id;
  std::string_view image;
  std::string_view name;
  std::string_view name_space;
  std::string_view pod;
};

std::string Labels(const Identity& identity) {
  std::string labels;
  labels.reserve(384);
  AppendLabel(labels, "container", identity.container);
  AppendLabel(labels, "id", identity.id);
  AppendLabel(labels, "image", identity.image);
  AppendLabel(labels, "name", identity.name);
  AppendLabel(labels, "namespace", identity.name_space);
  AppendLabel(labels, "pod", identity.pod);
  return labels;
}

std::string WithDevice(std::string_view device) {
  std::string label;
  AppendLabel(label, "device", device);
  return label;
}

std::uint64_t MemoryLimit(const sandbox::Resources& limits) {
  return limits.memory_limit_bytes && *limits.memory_limit_bytes > 0
             ? static_cast<std::uint64_t>(*limits.memory_limit_bytes)
             : 0;
}

void AddNode(const NodeSample& node, std::vector<Row>& rows) {
  Row row;
  row.labels = Labels({"", "/", "", "", "", ""});
  row.at_ms = node.read_at / 1'000'000;
  row.created_at = row.started_at = node.boot_time;
  row.usage = &node.usage;
  row.interfaces = &node.interfaces;
  row.memory_limit = node.memory_total_bytes;
  row.machine = true;
  rows.push_back(std::move(row));
  for (const SystemContainer& container : node.system_containers) {
    if (container.cgroup.empty()) continue;
    Row system;
    system.labels = Labels({"", container.cgroup, "", "", "", ""});
    system.at_ms = node.read_at / 1'000'000;
    system.created_at = system.started_at = container.started_at;
    system.usage = &container.usage;
    rows.push_back(std::move(system));
  }
}

void AddPod(const PodSample& pod, std::vector<Row>& rows) {
  Row row;
  row.labels = Labels({"", pod.stats.cgroup, "", "", pod.name_space, pod.name});
  row.at_ms = pod.stats.read_at / 1'000'000;
  row.created_at = row.started_at = pod.created_at;
  row.usage = &pod.stats.pod;
  row.limits = &pod.limits;
  row.interfaces = &pod.stats.interfaces;
  row.memory_limit = MemoryLimit(pod.limits);
  rows.push_back(std::move(row));
  for (const ContainerSample& container : pod.containers) {
    Row own;
    own.labels =
        Labels({container.name, container.stats.cgroup, container.image, container.stats.id, pod.name_space, pod.name});
    own.at_ms = pod.stats.read_at / 1'000'000;
    own.created_at = container.created_at;
    own.started_at = container.started_at;
    own.usage = &container.stats.usage;
    own.limits = &container.limits;
    own.processes = &container.stats.processes;
    own.disk = container.rootfs;
    if (own.disk && container.logs) own.disk->Add(*container.logs);
    own.memory_limit = MemoryLimit(container.limits);
    rows.push_back(std::move(own));
  }
}

/// Bytes and inodes of the disk that all of it lies on.
void WriteSpace(Exposition& out, const std::vector<Row>& rows, const NodeSample& node) {
  const std::string device = WithDevice(node.fs.device);
  const auto family = [&](const char* name, const char* help, auto value) {
    out.Family(name, "gauge", help);
    for (const Row& row : rows) {
      if (row.machine || row.disk) out.Count(row.labels, device, value(row), row.at_ms);
    }
  };
  family("container_fs_inodes_free", "Number of available Inodes", [&](const Row&) { return node.fs.inodes_free; });
  family("container_fs_inodes_total", "Number of Inodes", [&](const Row&) { return node.fs.inodes; });
  family("container_fs_limit_bytes", "Number of bytes that can be consumed by the container on this filesystem.",
         [&](const Row&) { return node.fs.capacity_bytes; });
  family("container_fs_usage_bytes", "Number of bytes that are consumed by the container on this filesystem.",
         [&](const Row& row) {
           return row.machine ? node.fs.capacity_bytes - std::min(node.fs.capacity_bytes, node.fs.available_bytes)
                              : row.disk->bytes;
         });
}

/// Transfers of the machine's disks, with what only /proc/diskstats keeps.
void WriteMachineDisks(Exposition& out, const Row& machine, const std::vector<DiskSample>& disks) {
  const auto seconds = [&](const char* name, const char* type, const char* help, std::uint64_t DiskSample::* ms) {
    out.Family(name, type, help);
    for (const DiskSample& disk : disks)
      out.Sample(machine.labels, WithDevice(disk.device), static_cast<double>(disk.*ms) / 1e3, machine.at_ms);
  };
  const auto count = [&](const char* name, const char* type, const char* help, std::uint64_t DiskSample::* number) {
    out.Family(name, type, help);
    for (const DiskSample& disk : disks)
      out.Count(machine.labels, WithDevice(disk.device), disk.*number, machine.at_ms);
  };
  count("container_fs_io_current", "gauge", "Number of I/Os currently in progress", &DiskSample::in_progress);
  seconds("container_fs_io_time_seconds_total", "counter", "Cumulative count of seconds spent doing I/Os",
          &DiskSample::io_ms);
  seconds("container_fs_io_time_weighted_seconds_total", "counter", "Cumulative weighted I/O time in seconds",
          &DiskSample::weighted_ms);
  seconds("container_fs_read_seconds_total", "counter", "Cumulative count of seconds spent reading",
          &DiskSample::read_ms);
  seconds("container_fs_write_seconds_total", "counter", "Cumulative count of seconds spent writing",
          &DiskSample::write_ms);
  count("container_fs_reads_merged_total", "counter", "Cumulative count of reads merged", &DiskSample::reads_merged);
  count("container_fs_writes_merged_total", "counter", "Cumulative count of writes merged", &DiskSample::writes_merged);
  count("container_fs_sector_reads_total", "counter", "Cumulative count of sector reads completed",
        &DiskSample::sectors_read);
  count("container_fs_sector_writes_total", "counter", "Cumulative count of sector writes completed",
        &DiskSample::sectors_written);
}

constexpr std::uint64_t kSector = 512;

struct TransferFamily {
  const char* name;
  const char* help;
  std::uint64_t sandbox::BlockIo::* container;
  std::uint64_t DiskSample::* machine;
  std::uint64_t unit;  // of the machine's number
};

constexpr TransferFamily kTransfers[] = {
    {"container_fs_reads_bytes_total", "Cumulative count of bytes read", &sandbox::BlockIo::read_bytes,
     &DiskSample::sectors_read, kSector},
    {"container_fs_reads_total", "Cumulative count of reads completed", &sandbox::BlockIo::reads, &DiskSample::reads,
     1},
    {"container_fs_writes_bytes_total", "Cumulative count of bytes written", &sandbox::BlockIo::write_bytes,
     &DiskSample::sectors_written, kSector},
    {"container_fs_writes_total", "Cumulative count of writes completed", &sandbox::BlockIo::writes,
     &DiskSample::writes, 1},
};

}  // namespace

std::vector<Row> MakeRows(const StatsSample& sample) {
  std::vector<Row> rows;
  rows.reserve(2 + sample.pods.size() * 2);
  AddNode(sample.node, rows);
  for (const PodSample& pod : sample.pods) AddPod(pod, rows);
  return rows;
}

void WriteDisks(Exposition& out, const std::vector<Row>& rows, const NodeSample& node) {
  WriteSpace(out, rows, node);
  for (const TransferFamily& family : kTransfers) {
    out.Family(family.name, "counter", family.help);
    for (const Row& row : rows) {
      if (row.machine) {
        for (const DiskSample& disk : node.disks)
          out.Count(row.labels, WithDevice(disk.device), disk.*family.machine * family.unit, row.at_ms);
        continue;
      }
      for (const sandbox::BlockIo& io : row.usage->details.block_io) {
        const auto name = node.device_names.find({io.major, io.minor});
        if (name != node.device_names.end())
          out.Count(row.labels, WithDevice(name->second), io.*family.container, row.at_ms);
      }
    }
  }
  WriteMachineDisks(out, rows.front(), node.disks);
}

void WriteNetwork(Exposition& out, const std::vector<Row>& rows) {
  using sandbox::InterfaceStats;
  const auto family = [&](const char* name, const char* help, std::uint64_t InterfaceStats::* member) {
    out.Family(name, "counter", help);
    for (const Row& row : rows) {
      if (row.interfaces == nullptr) continue;
      for (const InterfaceStats& interface : *row.interfaces) {
        std::string label;
        AppendLabel(label, "interface", interface.name);
        out.Count(row.labels, label, interface.*member, row.at_ms);
      }
    }
  };
  family("container_network_receive_bytes_total", "Cumulative count of bytes received", &InterfaceStats::rx_bytes);
  family("container_network_receive_errors_total", "Cumulative count of errors encountered while receiving",
         &InterfaceStats::rx_errors);
  family("container_network_receive_packets_dropped_total", "Cumulative count of packets dropped while receiving",
         &InterfaceStats::rx_dropped);
  family("container_network_receive_packets_total", "Cumulative count of packets received",
         &InterfaceStats::rx_packets);
  family("container_network_transmit_bytes_total", "Cumulative count of bytes transmitted", &InterfaceStats::tx_bytes);
  family("container_network_transmit_errors_total", "Cumulative count of errors encountered while transmitting",
         &InterfaceStats::tx_errors);
  family("container_network_transmit_packets_dropped_total", "Cumulative count of packets dropped while transmitting",
         &InterfaceStats::tx_dropped);
  family("container_network_transmit_packets_total", "Cumulative count of packets transmitted",
         &InterfaceStats::tx_packets);
}

void WriteMachine(Exposition& out, const NodeSample& node, const MachineInfo& machine) {
  std::string labels;
  AppendLabel(labels, "boot_id", machine.boot_id);
  AppendLabel(labels, "machine_id", machine.machine_id);
  AppendLabel(labels, "system_uuid", machine.system_uuid);
  const auto gauge = [&](const char* name, const char* help, std::uint64_t value) {
    out.Family(name, "gauge", help);
    out.Count(labels, value);
  };
  gauge("machine_cpu_cores", "Number of logical CPU cores.", machine.cpus);
  gauge("machine_cpu_physical_cores", "Number of physical CPU cores.", machine.physical_cores);
  gauge("machine_cpu_sockets", "Number of CPU sockets.", machine.sockets);
  gauge("machine_memory_bytes", "Amount of memory installed on the machine.", node.memory_total_bytes);
  gauge("machine_swap_bytes", "Amount of swap memory available on the machine.", node.swap_total_bytes);
  out.Family("machine_scrape_error", "gauge", "1 if there was an error while getting machine metrics, 0 otherwise.");
  out.Count("", node.memory_total_bytes == 0 ? 1 : 0);
}

}  // namespace burstlet::provider::cadvisor
