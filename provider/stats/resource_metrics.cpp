#include "provider/stats/resource_metrics.h"

#include "metrics/exposition.h"

namespace burstlet::provider {
namespace {

constexpr std::int64_t kNanosPerMs = 1'000'000;

/// Labels are the same in every family: written once.
struct Row {
  std::string labels;
  const ContainerSample* container;
  std::int64_t at_ms;
};

struct PodRow {
  std::string labels;
  const PodSample* pod;
  std::int64_t at_ms;
};

std::string PodLabels(const PodSample& pod) {
  std::string labels;
  AppendLabel(labels, "namespace", pod.name_space);
  AppendLabel(labels, "pod", pod.name);
  return labels;
}

/// A swap limit is told where the cgroup has one.
std::optional<std::int64_t> SwapLimit(const sandbox::Resources& limits) { return limits.memory_swap_bytes; }

double Seconds(std::uint64_t nanos) { return static_cast<double>(nanos) / 1e9; }

void WriteContainers(Exposition& out, const std::vector<Row>& rows) {
  out.Family("container_cpu_usage_seconds_total", "counter",
             "[STABLE] Cumulative cpu time consumed by the container in core-seconds");
  for (const Row& row : rows) out.Sample(row.labels, Seconds(row.container->stats.usage.cpu_usage_ns), row.at_ms);
  out.Family("container_memory_working_set_bytes", "gauge", "[STABLE] Current working set of the container in bytes");
  for (const Row& row : rows) out.Count(row.labels, row.container->stats.usage.memory_working_set_bytes, row.at_ms);
  out.Family("container_start_time_seconds", "gauge",
             "[STABLE] Start time of the container since unix epoch in seconds");
  for (const Row& row : rows) out.Sample(row.labels, static_cast<double>(row.container->started_at) / 1e9);
  bool limited = false;
  for (const Row& row : rows) limited = limited || SwapLimit(row.container->limits).has_value();
  if (limited) {
    out.Family("container_swap_limit_bytes", "gauge",
               "[ALPHA] Current amount of the container swap limit in bytes. Reported only on non-windows systems");
    for (const Row& row : rows) {
      const auto limit = SwapLimit(row.container->limits);
      if (limit) out.Count(row.labels, static_cast<std::uint64_t>(*limit), row.at_ms);
    }
  }
  out.Family("container_swap_usage_bytes", "gauge",
             "[ALPHA] Current amount of the container swap usage in bytes. Reported only on non-windows systems");
  for (const Row& row : rows) out.Count(row.labels, row.container->stats.usage.swap_usage_bytes, row.at_ms);
}

void WriteNode(Exposition& out, const NodeSample& node) {
  const std::int64_t at = node.read_at / kNanosPerMs;
  out.Family("node_cpu_usage_seconds_total", "counter",
             "[STABLE] Cumulative cpu time consumed by the node in core-seconds");
  out.Sample("", Seconds(node.usage.cpu_usage_ns), at);
  out.Family("node_memory_working_set_bytes", "gauge", "[STABLE] Current working set of the node in bytes");
  out.Count("", node.usage.memory_working_set_bytes, at);
  out.Family("node_swap_usage_bytes", "gauge",
             "[ALPHA] Current swap usage of the node in bytes. Reported only on non-windows systems");
  out.Count("", node.usage.swap_usage_bytes, at);
}

void WritePods(Exposition& out, const std::vector<PodRow>& rows) {
  out.Family("pod_cpu_usage_seconds_total", "counter",
             "[STABLE] Cumulative cpu time consumed by the pod in core-seconds");
  for (const PodRow& row : rows) out.Sample(row.labels, Seconds(row.pod->stats.pod.cpu_usage_ns), row.at_ms);
  out.Family("pod_memory_working_set_bytes", "gauge", "[STABLE] Current working set of the pod in bytes");
  for (const PodRow& row : rows) out.Count(row.labels, row.pod->stats.pod.memory_working_set_bytes, row.at_ms);
  out.Family("pod_swap_usage_bytes", "gauge",
             "[ALPHA] Current amount of the pod swap usage in bytes. Reported only on non-windows systems");
  for (const PodRow& row : rows) out.Count(row.labels, row.pod->stats.pod.swap_usage_bytes, row.at_ms);
}

}  // namespace

std::string ResourceMetricsText(const StatsSample& sample) {
  Exposition out(4096 + sample.pods.size() * 2048);
  std::vector<Row> containers;
  std::vector<PodRow> pods;
  pods.reserve(sample.pods.size());
  for (const PodSample& pod : sample.pods) {
    const std::int64_t at_ms = pod.stats.read_at / kNanosPerMs;
    pods.push_back({PodLabels(pod), &pod, at_ms});
    for (const ContainerSample& container : pod.containers) {
      std::string labels;
      AppendLabel(labels, "container", container.name);
      labels.append(",").append(pods.back().labels);
      containers.push_back({std::move(labels), &container, at_ms});
    }
  }
  WriteContainers(out, containers);
  WriteNode(out, sample.node);
  WritePods(out, pods);
  out.Family("resource_scrape_error", "gauge",
             "[STABLE] 1 if there was an error while getting container metrics, 0 otherwise");
  out.Count("", sample.failed ? 1 : 0);
  // Its older name: gone in later kubelets, still read by some rules.
  out.Family("scrape_error", "gauge",
             "[ALPHA] (Deprecated since 1.29.0) 1 if there was an error while getting container metrics, 0 otherwise");
  out.Count("", sample.failed ? 1 : 0);
  return out.Take();
}

}  // namespace burstlet::provider
