#include "provider/stats/collector.h"

#include <chrono>
#include <set>
#include <utility>

#include "absl/strings/str_cat.h"
#include "provider/translate/translate.h"

namespace burstlet::provider {
namespace {

using sandbox::StatsDetail;

std::int64_t Forgotten(std::int64_t now) { return now - 600'000'000'000; }

/// What of a pod's limits is told; copying all of it for hundreds of pods shows in a scrape's cost.
sandbox::Resources Told(const sandbox::Resources& limits, StatsDetail detail) {
  if (detail == StatsDetail::kAll) return limits;
  sandbox::Resources told;
  told.memory_limit_bytes = limits.memory_limit_bytes;
  told.memory_swap_bytes = limits.memory_swap_bytes;
  return told;
}

template <typename Fn>
void ForEachContainer(const kube::Pod& pod, Fn fn) {
  for (const kube::Container& container : pod.spec.initContainers) fn(container);
  for (const kube::Container& container : pod.spec.containers) fn(container);
}

}  // namespace

StatsCollector::StatsCollector(kube::Loop& loop, PodRuntime& runtime, const NodeInfo& node, Metrics& metrics)
    : runtime_(runtime),
      node_(node),
      metrics_(metrics),
      machine_(ReadMachine()),
      disks_(loop, {[this] {
                      std::vector<DiskTarget> targets;
                      for (PodWorker* worker : runtime_.workers().All()) {
                        if (worker->sandbox() == nullptr) continue;
                        const auto& pod = worker->pod();
                        targets.push_back({pod, worker->sandbox(), runtime_.paths().PodDir(pod->metadata.uid),
                                           runtime_.paths().PodLogDir(*pod)});
                      }
                      return targets;
                    },
                    [this] {
                      std::string set;
                      for (const auto& image : runtime_.images().List()) absl::StrAppend(&set, image->id, " ");
                      return set;
                    },
                    runtime.paths().root_dir + "/images"}) {
  reader_.name = node.name;
  reader_.root_dir = runtime.paths().root_dir;
}

const StatsCollector::Known& StatsCollector::KnownOf(const std::shared_ptr<const kube::Pod>& pod) {
  Known& known = known_[pod->metadata.uid];
  if (known.pod == pod) return known;
  known.pod = pod;
  known.limits = PodResources(*pod, node_);
  known.container_limits.clear();
  ForEachContainer(*pod, [&](const kube::Container& container) {
    known.container_limits[container.name] = ContainerResources(*pod, container, node_);
  });
  return known;
}

std::vector<StatsCollector::Target> StatsCollector::Targets(StatsDetail detail) {
  std::vector<Target> targets;
  std::set<std::string> seen;
  for (PodWorker* worker : runtime_.workers().All()) {
    if (worker->sandbox() == nullptr) continue;
    const Known& known = KnownOf(worker->pod());
    const kube::ObjectMeta& meta = worker->pod()->metadata;
    seen.insert(meta.uid);
    Target target;
    target.sample.name_space = meta.namespace_;
    target.sample.name = meta.name;
    target.sample.uid = meta.uid;
    target.sample.created_at = worker->sandbox()->unlocked().created_at();
    target.sample.limits = Told(known.limits, detail);
    for (const auto& [name, view] : worker->view().containers) {
      if (!IsRunning(view)) continue;
      const ContainerInstance& instance = view.instances.front();
      ContainerSample& container = target.containers[instance.id];
      container.name = name;
      container.image = instance.image;
      container.created_at = container.started_at = instance.started_at;
      const auto limits = known.container_limits.find(name);
      if (limits != known.container_limits.end()) container.limits = Told(limits->second, detail);
    }
    target.sandbox = worker->sandbox();
    targets.push_back(std::move(target));
  }
  std::erase_if(known_, [&seen](const auto& entry) { return seen.count(entry.first) == 0; });
  return targets;
}

void StatsCollector::ReadPod(StatsWanted wanted, Target& target, const DiskSnapshot& disks, StatsSample& sample) {
  auto stats = target.sandbox->With([&wanted](sandbox::Sandbox& sandbox) { return sandbox.Stats(wanted.detail); });
  if (!stats.ok()) {
    // A pod that ends meanwhile is no failure.
    sample.failed = sample.failed || !absl::IsNotFound(stats.status());
    return;
  }
  PodSample& pod = target.sample;
  pod.stats = *std::move(stats);
  const auto disk = disks.pods.find(pod.uid);
  for (sandbox::ContainerStats& container : pod.stats.containers) {
    const auto known = target.containers.find(container.id);
    if (known == target.containers.end()) continue;  // its start is not told yet
    ContainerSample& own = known->second;
    own.stats = std::move(container);
    if (wanted.rates)
      own.usage_nano_cores =
          rates_.Update(own.stats.cgroup, own.stats.usage.cpu_usage_ns, pod.stats.read_at, own.started_at);
    if (disk != disks.pods.end()) {
      const auto rootfs = disk->second.rootfs.find(own.stats.id);
      if (rootfs != disk->second.rootfs.end()) own.rootfs = rootfs->second;
      const auto logs = disk->second.logs.find(own.name);
      if (logs != disk->second.logs.end()) own.logs = logs->second;
    }
    pod.containers.push_back(std::move(own));
  }
  pod.stats.containers.clear();
  if (wanted.rates)
    pod.usage_nano_cores =
        rates_.Update(pod.stats.cgroup, pod.stats.pod.cpu_usage_ns, pod.stats.read_at, pod.created_at);
  if (disk != disks.pods.end()) {
    pod.volumes = disk->second.volumes;
    pod.own_files = disk->second.own_files;
  }
  sample.pods.push_back(std::move(pod));
}

void StatsCollector::ReadSystem(StatsWanted wanted, NodeSample& node) {
  auto total = runtime_.driver().TotalUsage(wanted.detail);
  if (total.ok()) {
    SystemContainer pods;
    pods.name = "pods";
    pods.cgroup = total->cgroup;
    pods.started_at = node.boot_time;
    pods.usage = std::move(total->usage);
    node.system_containers.push_back(std::move(pods));
  }
  if (!wanted.rates) return;
  node.usage_nano_cores = rates_.Update("/", node.usage.cpu_usage_ns, node.read_at, 0);
  for (SystemContainer& container : node.system_containers) {
    container.usage_nano_cores =
        rates_.Update("system " + container.name, container.usage.cpu_usage_ns, node.read_at, 0);
  }
}

void StatsCollector::Read(StatsWanted wanted, std::vector<Target>& targets, const DiskSnapshot& disks,
                          StatsSample& sample) {
  const auto begin = std::chrono::steady_clock::now();
  sample.pods.reserve(targets.size());
  for (Target& target : targets) ReadPod(wanted, target, disks, sample);
  sample.node = ReadNode(reader_, wanted.detail);
  sample.node.images = disks.images;
  sample.failed = sample.failed || sample.node.memory_total_bytes == 0;
  ReadSystem(wanted, sample.node);
  rates_.Purge(Forgotten(sample.node.read_at));
  const Labels labels{{"operation_type", "list_container_stats"}};
  metrics_.Add(Series::kRuntimeOperations, labels);
  metrics_.Observe(Series::kRuntimeOperationDuration,
                   std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count(), labels);
}

void StatsCollector::Collect(StatsWanted wanted, std::function<void(StatsSample)> done) {
  auto disks = wanted.disks ? disks_.Latest() : std::make_shared<const DiskSnapshot>();
  auto targets = std::make_shared<std::vector<Target>>(Targets(wanted.detail));
  runtime_.pool().Submit([this, wanted, targets, disks, done = std::move(done)] {
    StatsSample sample;
    Read(wanted, *targets, *disks, sample);
    done(std::move(sample));
  });
}

}  // namespace burstlet::provider
