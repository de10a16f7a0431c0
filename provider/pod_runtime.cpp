#include "provider/pod_runtime.h"

#include <unistd.h>

#include <cstdint>
#include <map>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "metrics/log.h"
#include "metrics/status.h"
#include "provider/metered_driver.h"
#include "provider/metered_volumes.h"
#include "provider/pod_recovery.h"
#include "provider/stats/node_reader.h"
#include "provider/translate/security_context.h"
#include "provider/volumes/node_tmpfs.h"
#include "sandbox/native/native_driver.h"
#include "sandbox/os/apparmor.h"
#include "sandbox/os/cgroup.h"
#include "sandbox/os/lock_file.h"
#include "sandbox/os/mount.h"
#include "sandbox/os/safe_path.h"

namespace burstlet::provider {
namespace {

constexpr unsigned kPoolThreads = 4;
/// Of an agent that was killed, children that were about to become wardens or plugins hold the lock until they do.
constexpr std::chrono::seconds kLockPatience{5};

std::uint32_t InstanceHash(const std::string& root_dir) {
  std::uint32_t hash = 2166136261u;  // FNV-1a
  for (const char c : root_dir) hash = (hash ^ static_cast<unsigned char>(c)) * 16777619u;
  return hash;
}

/// The wardens' program: configured, or beside this one.
absl::StatusOr<std::string> WardenPath(const Config& config) {
  if (!config.warden_path.empty()) return config.warden_path;
  char self[4096];
  const ssize_t length = readlink("/proc/self/exe", self, sizeof(self) - 1);
  if (length < 0) return ErrnoError(errno, "/proc/self/exe");
  const std::string path(self, static_cast<std::size_t>(length));
  const std::string warden = path.substr(0, path.rfind('/')) + "/burstlet-warden";
  if (access(warden.c_str(), X_OK) != 0) return ErrnoError(errno, absl::StrCat("burstlet-warden: ", warden));
  return warden;
}

}  // namespace

std::string InstanceName(const std::string& root_dir) {
  return absl::StrFormat("%06x", InstanceHash(root_dir) & 0xffffffu);
}

PodRuntime::PodRuntime(const Config& config, const NodeInfo& node, PodRuntimeSources sources)
    : config_(config),
      node_(node),
      sources_(std::move(sources)),
      paths_{config.root_dir, config.pod_logs_dir},
      tasks_(sources_.loop),
      pool_(kPoolThreads) {}

PodRuntime::~PodRuntime() {
  image_gc_.reset();
  local_storage_.reset();
  log_rotator_.reset();
  workers_.reset();
  statuses_.reset();
  volumes_.reset();
  image_manager_.reset();
  driver_.reset();
  network_.reset();
  if (lock_fd_ >= 0) close(lock_fd_);
}

absl::StatusOr<std::unique_ptr<PodRuntime>> PodRuntime::Open(const Config& config, const NodeInfo& node,
                                                             PodRuntimeSources sources) {
  std::unique_ptr<PodRuntime> runtime(new PodRuntime(config, node, std::move(sources)));
  RETURN_IF_ERROR(runtime->Start());
  return runtime;
}

void PodRuntime::DeclareSeries() {
  for (std::size_t i = 1; i < kPodStages; ++i) {
    sources_.metrics.Declare(Series::kPodStartStage, {{"stage", PodStageName(static_cast<PodStage>(i))}});
  }
  for (const Series series : {Series::kPodStartDuration, Series::kPodStartSliDuration, Series::kStartedPods,
                              Series::kImagePullBytes, Series::kImagePullDuration, Series::kPlegRelistDuration}) {
    sources_.metrics.Declare(series);
  }
  for (const char* reason : {"age", "space"}) sources_.metrics.Declare(Series::kImagesCollected, {{"reason", reason}});
  for (const char* result : {"success", "error"}) sources_.metrics.Declare(Series::kImagePulls, {{"result", result}});
}

absl::StatusOr<std::unique_ptr<UserNamespaces>> PodRuntime::OpenUserNamespaces() const {
  std::string texts[2];
  const char* const files[2] = {"/etc/subuid", "/etc/subgid"};
  for (int i = 0; i < 2; ++i) {
    auto text = sandbox::ReadFile(files[i]);
    if (text.ok()) {
      texts[i] = *std::move(text);
    } else if (!absl::IsNotFound(text.status())) {
      return text.status();
    }
  }
  ASSIGN_OR_RETURN(
      const UserNamespaces::Range range,
      UserNamespaces::FindRange(texts[0], texts[1], static_cast<std::uint32_t>(config_.user_namespace_ids_per_pod),
                                config_.max_pods));
  // Agents that share a host rarely meet: each begins at a place of its own.
  return std::make_unique<UserNamespaces>(range, paths_, InstanceHash(config_.root_dir),
                                          config_.default_host_users ? false : sandbox::KernelMapsIds());
}

absl::Status PodRuntime::OpenNetwork() {
  if (config_.network == "builtin") {
    sandbox::PodNetworkConfig network;
    network.pod_cidrs = config_.pod_cidrs;
    network.instance = InstanceName(config_.root_dir);
    ASSIGN_OR_RETURN(network_, sandbox::PodNetwork::Open(network));
  } else if (config_.network == "cni") {
    CniNetworkOptions options;
    options.conf_dir = config_.cni_conf_dir;
    options.bin_dirs = config_.cni_bin_dirs;
    options.records_dir = config_.root_dir + "/cni";
    options.netns_prefix = absl::StrCat("/run/netns/burstlet-", InstanceName(config_.root_dir), "-");
    options.pod_cidrs = config_.pod_cidrs;
    options.changed = [this] {
      sources_.loop.Post([this] {
        if (network_changed_) network_changed_();
      });
    };
    ASSIGN_OR_RETURN(auto cni, CniNetwork::Open(std::move(options)));
    cni_ = cni.get();
    network_ = std::move(cni);
  }
  return absl::OkStatus();
}

std::string PodRuntime::NetworkNotReady() const { return cni_ == nullptr ? "" : cni_->NotReady(); }

absl::Status PodRuntime::Start() {
  DeclareSeries();
  RETURN_IF_ERROR(sandbox::MakeDirectory(paths_.root_dir, 0700));
  RETURN_IF_ERROR(sandbox::MakeDirectory(paths_.root_dir + "/pods", 0700));
  RETURN_IF_ERROR(sandbox::MakeDirectory(paths_.pod_logs_dir, 0755));
  absl::StatusOr<sandbox::UniqueFd> lock = sandbox::LockFile(paths_.root_dir + "/lock", kLockPatience);
  if (absl::IsFailedPrecondition(lock.status())) {
    return absl::FailedPreconditionError(absl::StrCat(paths_.root_dir, ": another burstlet uses this root directory"));
  }
  RETURN_IF_ERROR(lock.status());
  lock_fd_ = lock->Release();
  RETURN_IF_ERROR(OpenNetwork());
  ASSIGN_OR_RETURN(const std::string warden, WardenPath(config_));
  sandbox::NativeDriverConfig driver;
  driver.root_dir = config_.root_dir;
  driver.cgroup_root = config_.cgroup_root;
  driver.warden_path = warden;
  driver.network = network_.get();
  driver.pool_size = config_.sandbox_pool_size;
  driver.cgroup_done = [&metrics = sources_.metrics](const char* operation, double seconds) {
    metrics.Observe(Series::kCgroupManagerDuration, seconds, {{"operation_type", operation}});
  };
  ASSIGN_OR_RETURN(auto native, sandbox::OpenNativeDriver(driver));
  driver_ = Metered(std::move(native), sources_.metrics);

  cache::RegistryConfig registries;
  registries.plain_http_hosts = config_.plain_http_registries;
  registries.ca_file = config_.registry_ca_file;
  cache::LayerOptions layers;
  layers.format = config_.image_layer_format;
  layers.keep_mounts = true;
  layers.scrub_interval = config_.image_scrub_interval;
  layers.scrub_bytes_per_second = static_cast<std::uint64_t>(config_.image_scrub_bytes_per_second);
  ASSIGN_OR_RETURN(images_, cache::LocalImageStore::Open(config_.root_dir + "/images", registries, layers));

  kube::Loop& loop = sources_.loop;
  image_manager_ = std::make_unique<ImageManager>(loop, *images_, sources_.objects, sources_.events, sources_.metrics,
                                                  config_.max_parallel_image_pulls);
  ASSIGN_OR_RETURN(auto volumes, NewVolumeManager({config_.root_dir}, loop, pool_, tasks_, sources_.objects, node_));
  volumes_ = Metered(std::move(volumes), sources_.metrics);
  statuses_ = NewStatusManager(loop, tasks_, sources_.sink);
  statuses_->OnStored(
      [this](const std::string&, const kube::PodStatus&) { sources_.metrics.Add(Series::kStatusWrites); });

  if (!config_.tracing_endpoint.empty()) {
    ASSIGN_OR_RETURN(traces_, TraceExporter::Open(loop, tasks_,
                                                  {config_.tracing_endpoint, config_.tracing_sampling_rate_per_million},
                                                  config_.node_name));
  }

  TranslateOptions translate;
  translate.seccomp_default = config_.seccomp_default;
  translate.seccomp_profile_root = config_.root_dir + "/seccomp";
  translate.allow_privilege_escalation_default = config_.default_allow_privilege_escalation;
  translate.app_armor_default = sandbox::AppArmorProfileLoaded(kAppArmorDefault) ? kAppArmorDefault : "";
  ASSIGN_OR_RETURN(user_namespaces_, OpenUserNamespaces());
  PodWorkerContext context{loop,
                           pool_,
                           tasks_,
                           *driver_,
                           *image_manager_,
                           *volumes_,
                           sources_.objects,
                           *statuses_,
                           sources_.events,
                           node_,
                           paths_,
                           sources_.metrics,
                           translate,
                           config_.max_container_restart_period,
                           sources_.services,
                           [this](const kube::Pod& pod, const PodTimeline& timeline) { PodStarted(pod, timeline); },
                           {}};
  context.user_namespaces = user_namespaces_.get();
  context.probe_metrics = &probe_metrics_;
  workers_ = std::make_unique<PodWorkers>(std::move(context), sources_.admit);
  ASSIGN_OR_RETURN(auto recovered, GatherRecovered(*driver_, paths_));
  workers_->Recover(std::move(recovered));
  log_rotator_ =
      std::make_unique<LogRotator>(loop, tasks_, *workers_,
                                   LogRotationPolicy{config_.container_log_max_bytes, config_.container_log_max_files,
                                                     config_.container_log_monitor_interval});
  local_storage_ = std::make_unique<LocalStorageEviction>(loop, tasks_, *workers_, paths_, sources_.metrics);
  image_gc_ = std::make_unique<ImageGarbageCollector>(
      loop, *images_, sources_.events, sources_.metrics,
      ImageGcPolicy{config_.image_gc_high_threshold_percent, config_.image_gc_low_threshold_percent,
                    config_.image_minimum_gc_age, config_.image_maximum_gc_age},
      [images = config_.root_dir + "/images"] { return ReadSpace(images); });
  image_gc_->Start(tasks_);
  return absl::OkStatus();
}

void PodRuntime::CleanHost() {
  local_storage_.reset();
  log_rotator_.reset();
  workers_.reset();
  volumes_.reset();
  driver_.reset();
  images_->Unmount();
  if (network_ != nullptr) LogIfError(network_->Close(), "Network not removed");
  cni_ = nullptr;
  network_.reset();
  LogIfError(RemoveNodeTmpfs(config_.root_dir + "/volumes"), "Volumes not unmounted");
  auto cgroups = sandbox::CgroupTree::Open(config_.cgroup_root);
  if (cgroups.ok()) LogIfError((*cgroups)->RemoveRoot(), "cgroups not removed");
}

void PodRuntime::PodStarted(const kube::Pod& pod, const PodTimeline& timeline) {
  std::string stages;
  double pulling = 0;
  for (const auto& [stage, seconds] : timeline.Durations()) {
    if (stage == PodStage::kImage) pulling = seconds;
    sources_.metrics.Observe(Series::kPodStartStage, seconds, {{"stage", PodStageName(stage)}});
    absl::StrAppend(&stages, stages.empty() ? "" : " ", PodStageName(stage), "=",
                    absl::StrFormat("%.1f", seconds * 1000));
  }
  const auto total = timeline.Total();
  if (total) {
    sources_.metrics.Observe(Series::kPodStartDuration, *total);
    sources_.metrics.Observe(Series::kPodStartSliDuration, *total - pulling);
  }
  sources_.metrics.Add(Series::kStartedPods);
  if (traces_ != nullptr) traces_->PodStarted(pod, timeline);
  Info("Pod ready", {{"pod", ObjectName(pod.metadata)},
                     {"podUID", pod.metadata.uid},
                     {"ms", total.value_or(0) * 1000},
                     {"stages_ms", stages}});
}

}  // namespace burstlet::provider
