#include "provider/agent_metrics.h"

#include <chrono>
#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "metrics/exposition.h"
#include "metrics/log.h"
#include "provider/metered_volumes.h"
#include "provider/static_pod.h"

namespace burstlet::provider {
namespace {

using std::chrono::steady_clock;

class MeteredRequest {
 public:
  MeteredRequest(Metrics& metrics, Labels labels) : metrics_(metrics), labels_(std::move(labels)) {
    metrics_.Add(Series::kHttpRequests, labels_);
    metrics_.Change(Series::kHttpInflightRequests, 1, labels_);
  }
  ~MeteredRequest() {
    metrics_.Change(Series::kHttpInflightRequests, -1, labels_);
    metrics_.Observe(Series::kHttpRequestDuration, std::chrono::duration<double>(steady_clock::now() - begin_).count(),
                     labels_);
  }
  MeteredRequest(const MeteredRequest&) = delete;
  MeteredRequest& operator=(const MeteredRequest&) = delete;

 private:
  Metrics& metrics_;
  const Labels labels_;
  const steady_clock::time_point begin_ = steady_clock::now();
};

bool HasClaims(PodWorkers& workers) {
  for (PodWorker* worker : workers.All()) {
    for (const kube::Volume& volume : worker->pod()->spec.volumes) {
      if (volume.persistentVolumeClaim || volume.ephemeral) return true;
    }
  }
  return false;
}

/// volume_manager_total_volumes: desired are those of pods that are to run, actual those of pods with a sandbox.
std::string VolumeCountsText(PodWorkers& workers) {
  std::map<std::pair<std::string, std::string>, std::uint64_t> counts;
  for (PodWorker* worker : workers.All()) {
    for (const kube::Volume& volume : worker->pod()->spec.volumes) {
      const std::string plugin = VolumePluginName(volume);
      if (worker->active()) ++counts[{plugin, "desired_state_of_world"}];
      if (worker->sandbox() != nullptr) ++counts[{plugin, "actual_state_of_world"}];
    }
  }
  if (counts.empty()) return "";
  Exposition out;
  out.Family("volume_manager_total_volumes", "gauge", "[ALPHA] Number of volumes in Volume Manager");
  for (const auto& [key, count] : counts) {
    std::string labels;
    AppendLabel(labels, "plugin_name", key.first);
    AppendLabel(labels, "state", key.second);
    out.Count(labels, count);
  }
  return out.Take();
}

}  // namespace

std::string VolumeStatsText(const DiskSnapshot& disks) {
  struct Claim {
    std::string labels;
    const VolumeSample* volume;
  };
  std::vector<Claim> claims;
  std::set<std::string> seen;
  for (const auto& [uid, pod] : disks.pods) {
    for (const VolumeSample& volume : pod.volumes) {
      if (volume.claim.empty()) continue;
      std::string labels;
      AppendLabel(labels, "namespace", pod.name_space);
      AppendLabel(labels, "persistentvolumeclaim", volume.claim);
      if (seen.insert(labels).second) claims.push_back({std::move(labels), &volume});
    }
  }
  if (claims.empty()) return "";
  Exposition out;
  const auto family = [&](const char* name, const char* help, auto value) {
    out.Family(absl::StrCat("kubelet_volume_stats_", name), "gauge", absl::StrCat("[ALPHA] ", help));
    for (const Claim& claim : claims) out.Count(claim.labels, value(*claim.volume));
  };
  family("available_bytes", "Number of available bytes in the volume",
         [](const VolumeSample& volume) { return volume.space.available_bytes; });
  family("capacity_bytes", "Capacity in bytes of the volume",
         [](const VolumeSample& volume) { return volume.space.capacity_bytes; });
  family("inodes", "Maximum number of inodes in the volume",
         [](const VolumeSample& volume) { return volume.space.inodes; });
  family("inodes_free", "Number of free inodes in the volume",
         [](const VolumeSample& volume) { return volume.space.inodes_free; });
  family("inodes_used", "Number of used inodes in the volume",
         [](const VolumeSample& volume) { return volume.used.inodes; });
  family("used_bytes", "Number of used bytes in the volume",
         [](const VolumeSample& volume) { return volume.used.bytes; });
  return out.Take();
}

std::string AgentMetricsText(Metrics& metrics, PodWorkers& workers,
                             const std::function<std::shared_ptr<const DiskSnapshot>()>& disks) {
  double pods = 0;
  std::map<std::string, double> containers{{"running", 0}, {"exited", 0}, {"created", 0}};
  std::map<std::string, double> active{{"", 0}, {"true", 0}};
  for (PodWorker* worker : workers.All()) {
    if (worker->sandbox() != nullptr) pods += 1;
    if (worker->active()) active[IsStaticPod(*worker->pod()) ? "true" : ""] += 1;
    for (const auto& [name, view] : worker->view().containers) {
      for (const ContainerInstance& instance : view.instances) {
        containers[instance.phase == ContainerInstance::Phase::kRunning ? "running" : "exited"] += 1;
      }
    }
  }
  metrics.Set(Series::kRunningPods, pods);
  for (const auto& [is_static, count] : active) metrics.Set(Series::kActivePods, count, {{"static", is_static}});
  for (const auto& [state, count] : containers)
    metrics.Set(Series::kRunningContainers, count, {{"container_state", state}});
  metrics.Set(Series::kDroppedLogLines, static_cast<double>(DroppedLogLines()));
  return metrics.Text() + VolumeCountsText(workers) + (HasClaims(workers) ? VolumeStatsText(*disks()) : "");
}

void MeterClient(Metrics& metrics, kube::ClientConfig& config) {
  const std::size_t scheme = config.server.find("://");
  const std::string host = scheme == std::string::npos ? config.server : config.server.substr(scheme + 3);
  config.answered = [&metrics, host](const std::string& method, int code, double seconds) {
    metrics.Add(Series::kRestClientRequests,
                {{"code", code == 0 ? "<error>" : std::to_string(code)}, {"host", host}, {"method", method}});
    metrics.Observe(Series::kRestClientRequestDuration, seconds, {{"verb", method}, {"host", host}});
  };
}

std::shared_ptr<void> MeterRequest(Metrics& metrics, const std::string& method, const std::string& path,
                                   bool long_running) {
  return std::make_shared<MeteredRequest>(metrics, Labels{{"method", method},
                                                          {"path", path},
                                                          {"server_type", "readwrite"},
                                                          {"long_running", long_running ? "true" : "false"}});
}

}  // namespace burstlet::provider
