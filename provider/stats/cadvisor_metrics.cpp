#include "provider/stats/cadvisor_metrics.h"

#include "provider/stats/cadvisor_rows.h"

namespace burstlet::provider {
namespace {

using cadvisor::Row;
using sandbox::CgroupStats;
using sandbox::Pressure;

double Seconds(std::uint64_t nanos) { return static_cast<double>(nanos) / 1e9; }

/// A family whose samples are whole numbers of each row's usage.
struct CountFamily {
  const char* name;
  const char* type;
  const char* help;
  std::uint64_t (*value)(const CgroupStats&);
};

struct SecondsFamily {
  const char* name;
  const char* help;
  std::uint64_t (*nanos)(const CgroupStats&);
};

constexpr CountFamily kMemory[] = {
    {"container_memory_cache", "gauge", "Number of bytes of page cache memory.",
     [](const CgroupStats& s) { return s.details.memory_cache_bytes; }},
    {"container_memory_rss", "gauge", "Size of RSS in bytes.", [](const CgroupStats& s) { return s.memory_rss_bytes; }},
    {"container_memory_kernel_usage", "gauge", "Size of kernel memory allocated in bytes.",
     [](const CgroupStats& s) { return s.details.memory_kernel_bytes; }},
    {"container_memory_mapped_file", "gauge", "Size of memory mapped files in bytes.",
     [](const CgroupStats& s) { return s.details.memory_mapped_file_bytes; }},
    {"container_memory_swap", "gauge", "Container swap usage in bytes.",
     [](const CgroupStats& s) { return s.swap_usage_bytes; }},
    {"container_memory_failcnt", "counter", "Number of memory usage hits limits",
     [](const CgroupStats& s) { return s.details.memory_fail_count; }},
    {"container_memory_usage_bytes", "gauge",
     "Current memory usage in bytes, including all memory regardless of when it was accessed",
     [](const CgroupStats& s) { return s.memory_usage_bytes; }},
    {"container_memory_max_usage_bytes", "gauge", "Maximum memory usage recorded in bytes",
     [](const CgroupStats& s) { return s.details.memory_max_usage_bytes; }},
    {"container_memory_working_set_bytes", "gauge", "Current working set in bytes.",
     [](const CgroupStats& s) { return s.memory_working_set_bytes; }},
    {"container_memory_total_active_file_bytes", "gauge", "Current total active file in bytes.",
     [](const CgroupStats& s) { return s.details.memory_active_file_bytes; }},
    {"container_memory_total_inactive_file_bytes", "gauge", "Current total inactive file in bytes.",
     [](const CgroupStats& s) { return s.details.memory_inactive_file_bytes; }},
    {"container_memory_file_dirty_bytes", "gauge",
     "Number of bytes of file cache that has been modified but not yet written back to disk.",
     [](const CgroupStats& s) { return s.details.memory_dirty_bytes; }},
    {"container_memory_file_writeback_bytes", "gauge",
     "Number of bytes of file cache that is currently being written back to disk.",
     [](const CgroupStats& s) { return s.details.memory_writeback_bytes; }},
    {"container_oom_events_total", "counter", "Count of out of memory events observed for the container",
     [](const CgroupStats& s) { return s.details.oom_kills; }},
    {"container_threads", "gauge", "Number of threads running inside the container",
     [](const CgroupStats& s) { return s.pids; }},
    {"container_threads_max", "gauge",
     "Maximum number of threads allowed inside the container, infinity if value is zero",
     [](const CgroupStats& s) { return s.details.max_tasks; }},
};

constexpr SecondsFamily kCpu[] = {
    {"container_cpu_user_seconds_total", "Cumulative user cpu time consumed in seconds.",
     [](const CgroupStats& s) { return s.details.cpu_user_ns; }},
    {"container_cpu_system_seconds_total", "Cumulative system cpu time consumed in seconds.",
     [](const CgroupStats& s) { return s.details.cpu_system_ns; }},
};

struct PressureFamily {
  const char* name;
  const char* help;
  const std::optional<Pressure>& (*pressure)(const CgroupStats&);
  bool full;
};

constexpr PressureFamily kPressure[] = {
    {"container_pressure_cpu_stalled_seconds_total",
     "Total time duration no tasks in the container could make progress due to CPU congestion.",
     [](const CgroupStats& s) -> const std::optional<Pressure>& { return s.cpu_pressure; }, true},
    {"container_pressure_cpu_waiting_seconds_total",
     "Total time duration tasks in the container have waited due to CPU congestion.",
     [](const CgroupStats& s) -> const std::optional<Pressure>& { return s.cpu_pressure; }, false},
    {"container_pressure_memory_stalled_seconds_total",
     "Total time duration no tasks in the container could make progress due to memory congestion.",
     [](const CgroupStats& s) -> const std::optional<Pressure>& { return s.memory_pressure; }, true},
    {"container_pressure_memory_waiting_seconds_total",
     "Total time duration tasks in the container have waited due to memory congestion.",
     [](const CgroupStats& s) -> const std::optional<Pressure>& { return s.memory_pressure; }, false},
    {"container_pressure_io_stalled_seconds_total",
     "Total time duration no tasks in the container could make progress due to IO congestion.",
     [](const CgroupStats& s) -> const std::optional<Pressure>& { return s.io_pressure; }, true},
    {"container_pressure_io_waiting_seconds_total",
     "Total time duration tasks in the container have waited due to IO congestion.",
     [](const CgroupStats& s) -> const std::optional<Pressure>& { return s.io_pressure; }, false},
};

bool HasQuota(const Row& row) { return row.limits != nullptr && row.limits->cpu_quota_us.value_or(-1) > 0; }

void WriteCpu(Exposition& out, const std::vector<Row>& rows) {
  std::string total;
  AppendLabel(total, "cpu", "total");
  out.Family("container_cpu_usage_seconds_total", "counter", "Cumulative cpu time consumed in seconds.");
  for (const Row& row : rows) out.Sample(row.labels, total, Seconds(row.usage->cpu_usage_ns), row.at_ms);
  for (const SecondsFamily& family : kCpu) {
    out.Family(family.name, "counter", family.help);
    for (const Row& row : rows) out.Sample(row.labels, Seconds(family.nanos(*row.usage)), row.at_ms);
  }
}

/// Told only of those with a quota, as cadvisor does.
void WriteThrottling(Exposition& out, const std::vector<Row>& rows) {
  const auto counts = [&](const char* name, const char* help, std::uint64_t sandbox::CgroupDetails::* member) {
    out.Family(name, "counter", help);
    for (const Row& row : rows) {
      if (HasQuota(row)) out.Count(row.labels, row.usage->details.*member, row.at_ms);
    }
  };
  const auto seconds = [&](const char* name, const char* help, std::uint64_t sandbox::CgroupDetails::* member) {
    out.Family(name, "counter", help);
    for (const Row& row : rows) {
      if (HasQuota(row)) out.Sample(row.labels, Seconds(row.usage->details.*member), row.at_ms);
    }
  };
  using Details = sandbox::CgroupDetails;
  counts("container_cpu_cfs_periods_total", "Number of elapsed enforcement period intervals.", &Details::cfs_periods);
  counts("container_cpu_cfs_throttled_periods_total", "Number of throttled period intervals.",
         &Details::cfs_throttled_periods);
  seconds("container_cpu_cfs_throttled_seconds_total", "Total time duration the container has been throttled.",
          &Details::cfs_throttled_ns);
  counts("container_cpu_cfs_burst_periods_total", "Number of periods when burst occurs.", &Details::cfs_burst_periods);
  seconds("container_cpu_cfs_burst_seconds_total", "Total time duration the container has been bursted.",
          &Details::cfs_burst_ns);
}

void WriteMemory(Exposition& out, const std::vector<Row>& rows) {
  for (const CountFamily& family : kMemory) {
    out.Family(family.name, family.type, family.help);
    for (const Row& row : rows) out.Count(row.labels, family.value(*row.usage), row.at_ms);
  }
  std::string kinds[4];
  const char* names[4][2] = {
      {"pgfault", "container"}, {"pgmajfault", "container"}, {"pgfault", "hierarchy"}, {"pgmajfault", "hierarchy"}};
  for (int i = 0; i < 4; ++i) {
    AppendLabel(kinds[i], "failure_type", names[i][0]);
    AppendLabel(kinds[i], "scope", names[i][1]);
  }
  out.Family("container_memory_failures_total", "counter", "Cumulative count of memory allocation failures.");
  for (const Row& row : rows) {
    out.Count(row.labels, kinds[0], row.usage->details.own_page_faults, row.at_ms);
    out.Count(row.labels, kinds[1], row.usage->details.own_major_page_faults, row.at_ms);
    out.Count(row.labels, kinds[2], row.usage->page_faults, row.at_ms);
    out.Count(row.labels, kinds[3], row.usage->major_page_faults, row.at_ms);
  }
}

void WritePressure(Exposition& out, const std::vector<Row>& rows) {
  for (const PressureFamily& family : kPressure) {
    bool begun = false;
    for (const Row& row : rows) {
      const std::optional<Pressure>& pressure = family.pressure(*row.usage);
      if (!pressure) continue;
      if (!begun) out.Family(family.name, "counter", family.help);
      begun = true;
      const auto& line = family.full ? pressure->full : pressure->some;
      out.Sample(row.labels, static_cast<double>(line.total_us) / 1e6, row.at_ms);
    }
  }
}

void WriteSpec(Exposition& out, const std::vector<Row>& rows) {
  const auto family = [&](const char* name, const char* help, auto value) {
    out.Family(name, "gauge", help);
    for (const Row& row : rows) {
      const std::optional<double> known = value(row);
      if (known) out.Sample(row.labels, *known);
    }
  };
  using Value = std::optional<double>;
  family("container_start_time_seconds", "Start time of the container since unix epoch in seconds.",
         [](const Row& row) -> Value { return static_cast<double>(row.started_at / 1'000'000'000); });
  family("container_creation_time_seconds", "Container creation time since unix epoch in seconds.",
         [](const Row& row) -> Value { return static_cast<double>(row.created_at / 1'000'000'000); });
  family("container_spec_cpu_period", "CPU period of the container.", [](const Row& row) -> Value {
    if (row.machine || row.limits == nullptr) return 100000;
    return static_cast<double>(row.limits->cpu_period_us.value_or(100000));
  });
  family("container_spec_cpu_quota", "CPU quota of the container.", [](const Row& row) -> Value {
    if (!HasQuota(row)) return std::nullopt;
    return static_cast<double>(*row.limits->cpu_quota_us);
  });
  family("container_spec_cpu_shares", "CPU share of the container.", [](const Row& row) -> Value {
    return row.limits == nullptr ? 1024 : static_cast<double>(row.limits->cpu_shares.value_or(1024));
  });
  family("container_spec_memory_limit_bytes", "Memory limit for the container.",
         [](const Row& row) -> Value { return static_cast<double>(row.memory_limit); });
  family("container_spec_memory_swap_limit_bytes", "Memory swap limit for the container.", [](const Row& row) -> Value {
    return row.limits == nullptr ? 0 : static_cast<double>(row.limits->memory_swap_bytes.value_or(0));
  });
  family("container_spec_memory_reservation_limit_bytes", "Memory reservation limit for the container.",
         [](const Row& row) -> Value {
           return row.limits == nullptr ? 0 : static_cast<double>(row.limits->memory_min_bytes.value_or(0));
         });
}

void WriteProcesses(Exposition& out, const std::vector<Row>& rows) {
  const auto family = [&](const char* name, const char* help, std::uint64_t sandbox::ProcessCounts::* member) {
    out.Family(name, "gauge", help);
    for (const Row& row : rows) {
      if (row.processes != nullptr) out.Count(row.labels, row.processes->*member, row.at_ms);
    }
  };
  using Counts = sandbox::ProcessCounts;
  family("container_processes", "Number of processes running inside the container.", &Counts::processes);
  family("container_file_descriptors", "Number of open file descriptors for the container.", &Counts::file_descriptors);
  family("container_sockets", "Number of open sockets for the container.", &Counts::sockets);
  std::string limit;
  AppendLabel(limit, "ulimit", "max_open_files");
  out.Family("container_ulimits_soft", "gauge",
             "Soft ulimit values for the container root process. Unlimited if -1, except priority and nice");
  for (const Row& row : rows) {
    if (row.processes != nullptr)
      out.Sample(row.labels, limit, static_cast<double>(row.processes->max_open_files), row.at_ms);
  }
}

}  // namespace

std::string CadvisorMetricsText(const StatsSample& sample, const MachineInfo& machine) {
  const std::vector<Row> rows = cadvisor::MakeRows(sample);
  Exposition out(16384 + rows.size() * 16384);
  std::string version;
  AppendLabel(version, "cadvisorRevision", "");
  AppendLabel(version, "cadvisorVersion", "");
  AppendLabel(version, "dockerVersion", "");
  AppendLabel(version, "kernelVersion", machine.kernel_version);
  AppendLabel(version, "osVersion", machine.os_version);
  out.Family("cadvisor_version_info", "gauge",
             "A metric with a constant '1' value labeled by kernel version, OS version, docker version, cadvisor "
             "version & cadvisor revision.");
  out.Count(version, 1);
  WriteCpu(out, rows);
  WriteThrottling(out, rows);
  WriteMemory(out, rows);
  WritePressure(out, rows);
  WriteProcesses(out, rows);
  WriteSpec(out, rows);
  cadvisor::WriteDisks(out, rows, sample.node);
  cadvisor::WriteNetwork(out, rows);
  out.Family("container_last_seen", "gauge", "Last time a container was seen by the exporter");
  for (const Row& row : rows) out.Sample(row.labels, static_cast<double>(row.at_ms / 1000), row.at_ms);
  out.Family("container_scrape_error", "gauge", "1 if there was an error while getting container metrics, 0 otherwise");
  out.Count("", sample.failed ? 1 : 0);
  cadvisor::WriteMachine(out, sample.node, machine);
  return out.Take();
}

}  // namespace burstlet::provider
