#include "provider/metered_volumes.h"

#include <chrono>
#include <map>
#include <utility>
#include <vector>

namespace burstlet::provider {
namespace {

using std::chrono::steady_clock;

class MeteredVolumes final : public VolumeManager {
 public:
  MeteredVolumes(std::unique_ptr<VolumeManager> inner, Metrics& metrics)
      : inner_(std::move(inner)), metrics_(metrics) {}

  kube::Task<absl::StatusOr<ReadyVolumes>> Mount(std::shared_ptr<const kube::Pod> pod,
                                                 std::vector<std::string> pod_ips) override {
    const auto begin = steady_clock::now();
    auto ready = co_await inner_->Mount(pod, std::move(pod_ips));
    std::vector<std::string> plugins;
    for (const kube::Volume& volume : pod->spec.volumes) plugins.push_back(VolumePluginName(volume));
    Tell("volume_mount", plugins, begin, ready.ok());
    mounted_[pod->metadata.uid] = std::move(plugins);
    co_return ready;
  }

  void Refresh(std::shared_ptr<const kube::Pod> pod) override { inner_->Refresh(std::move(pod)); }

  kube::Task<absl::Status> Unmount(std::string uid) override {
    const auto begin = steady_clock::now();
    // Of a pod that a former agent mounted nothing is known but its UID, which no series tells.
    std::vector<std::string> plugins;
    if (const auto known = mounted_.find(uid); known != mounted_.end()) plugins = known->second;
    const absl::Status status = co_await inner_->Unmount(uid);
    Tell("volume_unmount", plugins, begin, status.ok());
    if (status.ok()) mounted_.erase(uid);
    co_return status;
  }

  std::vector<std::string> KnownPods() override { return inner_->KnownPods(); }

 private:
  void Tell(const char* operation, const std::vector<std::string>& plugins, steady_clock::time_point begin, bool good) {
    const double seconds = std::chrono::duration<double>(steady_clock::now() - begin).count();
    for (const std::string& plugin : plugins) {
      metrics_.Observe(Series::kStorageOperationDuration, seconds,
                       {{"migrated", "false"},
                        {"operation_name", operation},
                        {"status", good ? "success" : "fail-unknown"},
                        {"volume_plugin", plugin}});
    }
  }

  std::unique_ptr<VolumeManager> inner_;
  Metrics& metrics_;
  std::map<std::string, std::vector<std::string>> mounted_;  // plugins, by UID
};

}  // namespace

std::string VolumePluginName(const kube::Volume& volume) {
  const char* plugin = "unknown";
  if (volume.hostPath) plugin = "host-path";
  if (volume.emptyDir) plugin = "empty-dir";
  if (volume.secret) plugin = "secret";
  if (volume.configMap) plugin = "configmap";
  if (volume.downwardAPI) plugin = "downward-api";
  if (volume.projected) plugin = "projected";
  if (volume.image) plugin = "image";
  if (volume.nfs) plugin = "nfs";
  if (volume.csi || volume.persistentVolumeClaim || volume.ephemeral) plugin = "csi";
  return std::string("kubernetes.io/") + plugin;
}

std::unique_ptr<VolumeManager> Metered(std::unique_ptr<VolumeManager> volumes, Metrics& metrics) {
  return std::make_unique<MeteredVolumes>(std::move(volumes), metrics);
}

}  // namespace burstlet::provider
