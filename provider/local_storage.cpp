#include "provider/local_storage.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "kube/api/quantity.h"
#include "metrics/log.h"
#include "provider/static_pod.h"
#include "provider/stats/disk_usage.h"
#include "provider/translate/resources.h"
#include "provider/volumes/empty_dir.h"
#include "sandbox/paths.h"

namespace burstlet::provider {
namespace {

constexpr char kVolumeSignal[] = "emptydirfs.limit";
constexpr char kPodSignal[] = "ephemeralpodfs.limit";
constexpr char kContainerSignal[] = "ephemeralcontainerfs.limit";
constexpr char kStorage[] = "ephemeral-storage";
/// Not less: programs get a moment to end (immediateEvictionGracePeriodSeconds).
constexpr std::chrono::seconds kGrace{1};
/// A look may take this part of the time.
constexpr int kLooksApart = 10;

bool OnDisk(const kube::Volume& volume) { return volume.emptyDir && volume.emptyDir->medium.empty(); }

const kube::Quantity* SizeLimit(const kube::Volume& volume) {
  if (!OnDisk(volume) || !volume.emptyDir->sizeLimit) return nullptr;
  return kube::QuantityMilliValue(*volume.emptyDir->sizeLimit) > 0 ? &*volume.emptyDir->sizeLimit : nullptr;
}

const kube::Quantity* StorageLimit(const kube::ResourceList& limits) {
  const auto found = limits.find(kStorage);
  return found == limits.end() ? nullptr : &found->second;
}

std::optional<StorageExcess> ContainerExcess(const std::vector<kube::Container>& containers, bool only_sidecars,
                                             const LocalStorageUsage& usage) {
  for (const kube::Container& container : containers) {
    if (only_sidecars && !IsSidecar(container)) continue;
    const kube::Quantity* limit = StorageLimit(container.resources.limits);
    const auto used = usage.containers.find(container.name);
    if (limit == nullptr || kube::QuantityValue(*limit) == 0 || used == usage.containers.end()) continue;
    if (used->second > kube::QuantityValue(*limit)) {
      return StorageExcess{kContainerSignal,
                           absl::StrCat("Container ", container.name, " exceeded its local ephemeral storage limit \"",
                                        limit->text, "\". ")};
    }
  }
  return std::nullopt;
}

std::int64_t UsageOrNothing(const std::string& directory) {
  const auto usage = MeasureTree(directory);
  if (usage.ok()) return static_cast<std::int64_t>(usage->bytes);
  if (absl::IsNotFound(usage.status())) return 0;
  Warn("Disk usage not measured", {{"path", directory}, {"err", usage.status().ToString()}});
  return 0;
}

struct Measured {
  std::string uid;
  LocalStorageUsage usage;
};

}  // namespace

bool HasLocalStorageLimit(const kube::Pod& pod) {
  for (const kube::Volume& volume : pod.spec.volumes) {
    if (SizeLimit(volume) != nullptr) return true;
  }
  return StorageLimit(PodLimits(pod)) != nullptr;
}

std::optional<StorageExcess> LocalStorageExcess(const kube::Pod& pod, const LocalStorageUsage& usage) {
  for (const kube::Volume& volume : pod.spec.volumes) {
    const kube::Quantity* limit = SizeLimit(volume);
    const auto used = usage.volumes.find(volume.name);
    if (limit == nullptr || used == usage.volumes.end() || used->second <= kube::QuantityValue(*limit)) continue;
    return StorageExcess{kVolumeSignal, absl::StrCat("Usage of EmptyDir volume \"", volume.name,
                                                     "\" exceeds the limit \"", limit->text, "\". ")};
  }
  const kube::ResourceList limits = PodLimits(pod);
  const kube::Quantity* limit = StorageLimit(limits);
  if (limit != nullptr && usage.total > kube::QuantityValue(*limit)) {
    return StorageExcess{kPodSignal, absl::StrCat("Pod ephemeral local storage usage exceeds the total limit of "
                                                  "containers ",
                                                  limit->text, ". ")};
  }
  if (auto excess = ContainerExcess(pod.spec.containers, false, usage)) return excess;
  return ContainerExcess(pod.spec.initContainers, true, usage);
}

LocalStorageSources SourcesOf(const AgentPaths& paths, const kube::Pod& pod, const PodRuntimeView& view) {
  LocalStorageSources sources;
  const std::string& uid = pod.metadata.uid;
  const sandbox::Paths layers(paths.root_dir);
  for (const auto& [name, container] : view.containers) {
    sources.logs[name] = absl::StrCat(paths.PodLogDir(pod), "/", name);
    for (std::size_t i = 0; i < container.instances.size(); ++i) {
      const ContainerInstance& run = container.instances[i];
      if (run.in_current_sandbox) sources.runs.push_back({name, layers.Container(uid, run.id) + "/upper", i == 0});
    }
  }
  sources.own_files = paths.PodDir(uid);
  for (const kube::Volume& volume : pod.spec.volumes) {
    if (OnDisk(volume)) {
      sources.volumes[volume.name] = absl::StrCat(paths.PodDir(uid), "/", kEmptyDirs, "/", volume.name);
    }
  }
  return sources;
}

LocalStorageUsage MeasureLocalStorage(const LocalStorageSources& sources) {
  LocalStorageUsage usage;
  for (const LocalStorageSources::Run& run : sources.runs) {
    const std::int64_t bytes = UsageOrNothing(run.layer);
    usage.total += bytes;
    if (run.newest) usage.containers[run.container] += bytes;
  }
  for (const auto& [container, directory] : sources.logs) {
    const std::int64_t bytes = UsageOrNothing(directory);
    usage.total += bytes;
    usage.containers[container] += bytes;
  }
  for (const auto& [name, directory] : sources.volumes) usage.volumes[name] = UsageOrNothing(directory);
  usage.total += UsageOrNothing(sources.own_files);
  return usage;
}

LocalStorageEviction::LocalStorageEviction(kube::Loop& loop, kube::TaskGroup& tasks, PodWorkers& workers,
                                           AgentPaths paths, Metrics& metrics, std::chrono::seconds interval)
    : loop_(loop), workers_(workers), paths_(std::move(paths)), metrics_(metrics), interval_(interval) {
  for (const char* signal : {kVolumeSignal, kPodSignal, kContainerSignal})
    metrics_.Declare(Series::kEvictions, {{"eviction_signal", signal}});
  tasks.Spawn("local storage limits", Run());
}

kube::Task<void> LocalStorageEviction::Run() {
  std::chrono::steady_clock::duration pause = interval_;
  for (;;) {
    co_await kube::SleepUntil(loop_, std::chrono::steady_clock::now() + pause);
    std::vector<std::pair<std::string, LocalStorageSources>> looks;
    for (const PodWorker* worker : workers_.All()) {
      const kube::Pod& pod = *worker->pod();
      if (worker->sandbox() == nullptr || worker->view().terminating || IsCriticalPod(pod)) continue;
      if (HasLocalStorageLimit(pod)) looks.emplace_back(pod.metadata.uid, SourcesOf(paths_, pod, worker->view()));
    }
    pause = interval_;
    if (looks.empty()) continue;
    const auto begin = std::chrono::steady_clock::now();
    auto measure = [looks = std::move(looks)] {
      std::vector<Measured> all;
      for (const auto& [uid, sources] : looks) all.push_back({uid, MeasureLocalStorage(sources)});
      return all;
    };
    const std::vector<Measured> all = co_await kube::Offload(loop_, pool_, std::move(measure));
    pause = std::max(pause, (std::chrono::steady_clock::now() - begin) * kLooksApart);
    for (const Measured& one : all) {
      PodWorker* worker = workers_.FindByUid(one.uid);
      if (worker == nullptr || worker->view().terminating || worker->view().failure) continue;
      const auto excess = LocalStorageExcess(*worker->pod(), one.usage);
      if (!excess) continue;
      metrics_.Add(Series::kEvictions, {{"eviction_signal", excess->signal}});
      worker->Evict(excess->message, kGrace);
    }
  }
}

}  // namespace burstlet::provider
