#include "provider/resource_metrics.h"

#include <unistd.h>

#include <chrono>
#include <functional>
#include <sstream>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "sandbox/os/safe_path.h"

namespace burstlet::provider {
namespace {

std::string Escape(const std::string& text) {
  std::string out;
  for (const char c : text) {
    if (c == '\\' || c == '"') out += '\\';
    if (c == '\n') {
      out += "\\n";
    } else {
      out += c;
    }
  }
  return out;
}

void Header(std::string& out, const char* name, const char* type, const char* help) {
  absl::StrAppend(&out, "# HELP ", name, " [STABLE] ", help, "\n# TYPE ", name, " ", type, "\n");
}

void Sample(std::string& out, const char* name, const std::string& labels, double value, std::int64_t at) {
  absl::StrAppend(&out, name, labels.empty() ? "" : absl::StrCat("{", labels, "}"), " ",
                  absl::StrFormat("%.9g", value));
  if (at != 0) absl::StrAppend(&out, " ", at / 1'000'000);
  out += '\n';
}

std::uint64_t Field(const std::string& meminfo, const std::string& name) {
  const std::size_t at = meminfo.find(name + ":");
  if (at == std::string::npos) return 0;
  return std::strtoull(meminfo.c_str() + at + name.size() + 1, nullptr, 10) * 1024;
}

struct ContainerSeries {
  const char* name;
  const char* type;
  const char* help;
  std::function<double(const sandbox::CgroupStats&)> value;
};

const std::vector<ContainerSeries>& Containers() {
  static const std::vector<ContainerSeries> series{
      {"container_cpu_usage_seconds_total", "counter", "Cumulative cpu time consumed by the container in core-seconds",
       [](const sandbox::CgroupStats& s) { return static_cast<double>(s.cpu_usage_ns) / 1e9; }},
      {"container_memory_working_set_bytes", "gauge", "Current working set of the container in bytes",
       [](const sandbox::CgroupStats& s) { return static_cast<double>(s.memory_working_set_bytes); }},
      {"container_swap_usage_bytes", "gauge", "Current amount of the container swap usage in bytes",
       [](const sandbox::CgroupStats& s) { return static_cast<double>(s.swap_usage_bytes); }},
  };
  return series;
}

const std::vector<ContainerSeries>& Pods() {
  static const std::vector<ContainerSeries> series{
      {"pod_cpu_usage_seconds_total", "counter", "Cumulative cpu time consumed by the pod in core-seconds",
       [](const sandbox::CgroupStats& s) { return static_cast<double>(s.cpu_usage_ns) / 1e9; }},
      {"pod_memory_working_set_bytes", "gauge", "Current working set of the pod in bytes",
       [](const sandbox::CgroupStats& s) { return static_cast<double>(s.memory_working_set_bytes); }},
      {"pod_swap_usage_bytes", "gauge", "Current amount of the pod swap usage in bytes",
       [](const sandbox::CgroupStats& s) { return static_cast<double>(s.swap_usage_bytes); }},
  };
  return series;
}

std::string PodLabels(const PodUsage& pod) {
  return absl::StrCat("namespace=\"", Escape(pod.name_space), "\",pod=\"", Escape(pod.pod), "\"");
}

std::string ContainerLabels(const PodUsage& pod, const std::string& container) {
  return absl::StrCat("container=\"", Escape(container), "\",", PodLabels(pod));
}

}  // namespace

NodeUsage ReadNodeUsage() {
  NodeUsage usage;
  usage.read_at =
      std::chrono::duration_cast<std::chrono::nanoseconds>(std::chrono::system_clock::now().time_since_epoch()).count();
  std::istringstream stat(sandbox::ReadFile("/proc/stat").value_or(""));
  std::string label;
  // user nice system idle iowait irq softirq steal: all but idle and iowait is use.
  std::uint64_t ticks[8] = {};
  stat >> label;
  for (std::uint64_t& value : ticks) stat >> value;
  const std::uint64_t used = ticks[0] + ticks[1] + ticks[2] + ticks[5] + ticks[6] + ticks[7];
  usage.cpu_seconds = static_cast<double>(used) / static_cast<double>(sysconf(_SC_CLK_TCK));
  const std::string meminfo = sandbox::ReadFile("/proc/meminfo").value_or("");
  const std::uint64_t taken = Field(meminfo, "MemTotal") - Field(meminfo, "MemFree");
  const std::uint64_t inactive_file = Field(meminfo, "Inactive(file)");
  usage.memory_working_set_bytes = taken > inactive_file ? taken - inactive_file : 0;
  usage.swap_usage_bytes = Field(meminfo, "SwapTotal") - Field(meminfo, "SwapFree");
  return usage;
}

std::string ResourceMetricsText(const NodeUsage& node, const std::vector<PodUsage>& pods, bool failed) {
  std::string out;
  for (const ContainerSeries& series : Containers()) {
    Header(out, series.name, series.type, series.help);
    for (const PodUsage& pod : pods) {
      for (const sandbox::ContainerStats& container : pod.stats.containers) {
        Sample(out, series.name, ContainerLabels(pod, container.name), series.value(container.cgroup), pod.read_at);
      }
    }
  }
  Header(out, "container_start_time_seconds", "gauge", "Start time of the container since unix epoch in seconds");
  for (const PodUsage& pod : pods) {
    for (const auto& [name, at] : pod.started_at) {
      Sample(out, "container_start_time_seconds", ContainerLabels(pod, name), static_cast<double>(at) / 1e9, 0);
    }
  }
  Header(out, "node_cpu_usage_seconds_total", "counter", "Cumulative cpu time consumed by the node in core-seconds");
  Sample(out, "node_cpu_usage_seconds_total", "", node.cpu_seconds, node.read_at);
  Header(out, "node_memory_working_set_bytes", "gauge", "Current working set of the node in bytes");
  Sample(out, "node_memory_working_set_bytes", "", static_cast<double>(node.memory_working_set_bytes), node.read_at);
  Header(out, "node_swap_usage_bytes", "gauge", "Current swap usage of the node in bytes");
  Sample(out, "node_swap_usage_bytes", "", static_cast<double>(node.swap_usage_bytes), node.read_at);
  for (const ContainerSeries& series : Pods()) {
    Header(out, series.name, series.type, series.help);
    for (const PodUsage& pod : pods) Sample(out, series.name, PodLabels(pod), series.value(pod.stats.pod), pod.read_at);
  }
  Header(out, "resource_scrape_error", "gauge", "1 if there was an error while getting container metrics, 0 otherwise");
  Sample(out, "resource_scrape_error", "", failed ? 1 : 0, 0);
  return out;
}

}  // namespace burstlet::provider
