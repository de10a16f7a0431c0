#include "provider/stats/disk_scanner.h"

#include <fcntl.h>
#include <sys/resource.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "metrics/log.h"
#include "provider/stats/disk_usage.h"
#include "provider/stats/node_reader.h"
#include "provider/volumes/empty_dir.h"
#include "sandbox/os/safe_path.h"

namespace burstlet::provider {
namespace {

constexpr std::chrono::minutes kAge{1};
// A scan takes at most this part of the time: a node with huge trees is measured less often.
constexpr int kShare = 20;

/// Disk and CPU only when nobody else wants them.
void BeModest() {
  constexpr int kWhoProcess = 1;
  constexpr int kClassIdle = 3 << 13;
  syscall(SYS_ioprio_set, kWhoProcess, 0, kClassIdle);
  setpriority(PRIO_PROCESS, static_cast<id_t>(syscall(SYS_gettid)), 10);
}

std::optional<DiskUsage> Measure(const std::string& path) {
  auto usage = MeasureTree(path);
  if (!usage.ok()) return std::nullopt;  // not made yet, or gone
  return *usage;
}

/// The volume as some running container of the pod sees it: where it lies on the host does not matter then.
sandbox::UniqueFd OpenMounted(const kube::Pod& pod, const sandbox::SandboxStats& stats, const std::string& volume) {
  const auto try_container = [&](const kube::Container& container) {
    const auto running = std::find_if(stats.containers.begin(), stats.containers.end(),
                                      [&](const auto& entry) { return entry.name == container.name; });
    if (running == stats.containers.end() || running->pid <= 0) return sandbox::UniqueFd();
    for (const kube::VolumeMount& mount : container.volumeMounts) {
      if (mount.name != volume || !mount.subPath.empty() || !mount.subPathExpr.empty()) continue;
      sandbox::UniqueFd root(open(absl::StrCat("/proc/", running->pid, "/root").c_str(), O_PATH | O_CLOEXEC));
      if (!root.valid()) continue;
      auto opened = sandbox::OpenInRoot(root.get(), mount.mountPath, O_PATH | O_CLOEXEC);
      if (opened.ok()) return *std::move(opened);
    }
    return sandbox::UniqueFd();
  };
  for (const auto* list : {&pod.spec.containers, &pod.spec.initContainers}) {
    for (const kube::Container& container : *list) {
      sandbox::UniqueFd found = try_container(container);
      if (found.valid()) return found;
    }
  }
  return {};
}

FsSpace SpaceOf(int fd) {
  struct statvfs vfs{};
  FsSpace space;
  if (fstatvfs(fd, &vfs) != 0) return space;
  space.capacity_bytes = vfs.f_blocks * vfs.f_frsize;
  space.available_bytes = vfs.f_bavail * vfs.f_frsize;
  space.inodes = vfs.f_files;
  space.inodes_free = vfs.f_ffree;
  space.measured_at =
      std::chrono::duration_cast<std::chrono::nanoseconds>(std::chrono::system_clock::now().time_since_epoch()).count();
  return space;
}

/// A file system of the volume's own: what is not free is its.
DiskUsage UsedOf(int fd, const FsSpace& space) {
  struct statvfs vfs{};
  DiskUsage used;
  if (fstatvfs(fd, &vfs) != 0) return used;
  used.bytes = (vfs.f_blocks - vfs.f_bfree) * vfs.f_frsize;
  used.inodes = vfs.f_files - vfs.f_ffree;
  used.measured_at = space.measured_at;
  return used;
}

/// Nothing for volumes that the kubelet tells nothing of either (hostPath, images), or that cannot be seen now.
std::optional<VolumeSample> MeasureVolume(const DiskTarget& target, const sandbox::SandboxStats& stats,
                                          const kube::Volume& volume) {
  if (volume.hostPath) return std::nullopt;
  VolumeSample sample;
  sample.name = volume.name;
  if (volume.persistentVolumeClaim) sample.claim = volume.persistentVolumeClaim->claimName;
  if (volume.ephemeral) sample.claim = absl::StrCat(target.pod->metadata.name, "-", volume.name);
  const bool on_disk = volume.emptyDir && volume.emptyDir->medium.empty();
  if (on_disk) {
    const std::string path = absl::StrCat(target.pod_dir, "/", kEmptyDirs, "/", volume.name);
    const auto used = Measure(path);
    if (!used) return std::nullopt;
    sample.space = ReadSpace(path);
    sample.used = *used;
    sample.ephemeral = true;
    return sample;
  }
  const sandbox::UniqueFd fd = OpenMounted(*target.pod, stats, volume.name);
  if (!fd.valid()) return std::nullopt;
  sample.space = SpaceOf(fd.get());
  const bool files = volume.configMap || volume.secret || volume.downwardAPI || volume.projected;
  if (!files) {
    sample.used = UsedOf(fd.get(), sample.space);
    return sample;
  }
  const auto used = MeasureTreeAt(fd.get());
  if (!used.ok()) return std::nullopt;
  sample.used = *used;
  sample.ephemeral = volume.configMap.has_value();  // IsLocalEphemeralVolume
  return sample;
}

}  // namespace

PodDiskUsage MeasurePodDisk(const DiskTarget& target) {
  PodDiskUsage usage;
  usage.name_space = target.pod->metadata.namespace_;
  const auto stats =
      target.sandbox->With([](sandbox::Sandbox& sandbox) { return sandbox.Stats(sandbox::StatsDetail::kSummary); });
  if (!stats.ok()) return usage;  // it ends
  for (const sandbox::ContainerStats& container : stats->containers) {
    if (!container.writable_layer.empty()) {
      if (const auto rootfs = Measure(container.writable_layer)) usage.rootfs[container.id] = *rootfs;
    }
    if (const auto logs = Measure(absl::StrCat(target.log_dir, "/", container.name)))
      usage.logs[container.name] = *logs;
  }
  for (const kube::Volume& volume : target.pod->spec.volumes) {
    if (auto sample = MeasureVolume(target, *stats, volume)) usage.volumes.push_back(*std::move(sample));
  }
  usage.own_files = Measure(target.pod_dir + "/etc-hosts");
  return usage;
}

DiskScanner::DiskScanner(kube::Loop& loop, Sources sources) : loop_(loop), sources_(std::move(sources)) {
  thread_.Submit(BeModest);
}

std::shared_ptr<const DiskSnapshot> DiskScanner::Latest() {
  if (!running_ && std::chrono::steady_clock::now() >= next_) Begin();
  return latest_;
}

void DiskScanner::Begin() {
  running_ = true;
  const std::string image_set = sources_.image_set();
  const bool measure_images = !latest_->images || image_set != image_set_;
  image_set_ = image_set;
  thread_.Submit([this, targets = sources_.pods(), former = latest_, measure_images, images_dir = sources_.images_dir] {
    const auto begin = std::chrono::steady_clock::now();
    auto snapshot = std::make_shared<DiskSnapshot>();
    for (const DiskTarget& target : targets) snapshot->pods[target.pod->metadata.uid] = MeasurePodDisk(target);
    snapshot->images = measure_images ? Measure(images_dir) : former->images;
    const auto took = std::chrono::steady_clock::now() - begin;
    loop_.Post([this, snapshot, took] {
      latest_ = snapshot;
      running_ = false;
      next_ = std::chrono::steady_clock::now() + std::max<std::chrono::steady_clock::duration>(kAge, took * kShare);
    });
  });
}

}  // namespace burstlet::provider
