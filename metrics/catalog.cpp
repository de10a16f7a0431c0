#include "metrics/catalog.h"

#include <prometheus/counter.h>
#include <prometheus/family.h>
#include <prometheus/gauge.h>
#include <prometheus/histogram.h>
#include <prometheus/registry.h>
#include <prometheus/text_serializer.h>
#include <sys/resource.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <mutex>
#include <utility>
#include <variant>
#include <vector>

#include "metrics/exposition.h"
#include "metrics/log.h"

namespace burstlet {
namespace {

enum class Kind { kCounter, kGauge, kHistogram };

struct Entry {
  Series series;
  Kind kind;
  const char* name;
  const char* help;
};

constexpr std::array kCatalog{
    Entry{Series::kPodStartStage, Kind::kHistogram, "burstlet_pod_start_stage_seconds",
          "Time of each stage of a pod's start: from the stage before to its end."},
    Entry{Series::kPodStartDuration, Kind::kHistogram, "kubelet_pod_start_duration_seconds",
          "Time from the node seeing a pod for the first time to the pod running."},
    Entry{Series::kPodStartSliDuration, Kind::kHistogram, "kubelet_pod_start_sli_duration_seconds",
          "Time from the node seeing a pod for the first time to its being reported as ready, without image pulls."},
    Entry{Series::kRunningPods, Kind::kGauge, "kubelet_running_pods", "Number of pods that have a running sandbox."},
    Entry{Series::kRunningContainers, Kind::kGauge, "kubelet_running_containers", "Number of containers by state."},
    Entry{Series::kStartedPods, Kind::kCounter, "kubelet_started_pods_total", "Number of pods started."},
    Entry{Series::kStartedContainers, Kind::kCounter, "kubelet_started_containers_total",
          "Number of containers started."},
    Entry{Series::kStartedContainerErrors, Kind::kCounter, "kubelet_started_containers_errors_total",
          "Number of errors when starting containers."},
    Entry{Series::kRuntimeOperations, Kind::kCounter, "kubelet_runtime_operations_total",
          "Number of sandbox operations by type."},
    Entry{Series::kRuntimeOperationErrors, Kind::kCounter, "kubelet_runtime_operations_errors_total",
          "Number of failed sandbox operations by type."},
    Entry{Series::kRuntimeOperationDuration, Kind::kHistogram, "kubelet_runtime_operations_duration_seconds",
          "Duration of sandbox operations by type."},
    Entry{Series::kImagePulls, Kind::kCounter, "burstlet_image_pulls_total", "Number of image pulls by result."},
    Entry{Series::kImagePullBytes, Kind::kCounter, "burstlet_image_pull_bytes_total",
          "Bytes downloaded from registries."},
    Entry{Series::kImagePullDuration, Kind::kHistogram, "burstlet_image_pull_duration_seconds",
          "Duration of image pulls that downloaded something."},
    Entry{Series::kImagesCollected, Kind::kCounter, "kubelet_image_garbage_collected_total",
          "Number of unused images removed, for want of space or for their age."},
    Entry{Series::kStatusWrites, Kind::kCounter, "burstlet_pod_status_writes_total",
          "Pod status writes that the API server acknowledged."},
    Entry{Series::kNodeName, Kind::kGauge, "kubelet_node_name", "The node's name. The value is always 1."},
    Entry{Series::kBuildInfo, Kind::kGauge, "burstlet_build_info", "The version of the agent. The value is always 1."},
    Entry{Series::kDroppedLogLines, Kind::kGauge, "burstlet_log_lines_dropped",
          "Log lines dropped because the queue was full."},
    Entry{Series::kCertificateClientTtl, Kind::kGauge, "kubelet_certificate_manager_client_ttl_seconds",
          "Seconds until the node's client certificate expires, negative afterwards, +Inf when there is none."},
    Entry{Series::kCertificateClientRenewErrors, Kind::kCounter,
          "kubelet_certificate_manager_client_expiration_renew_errors",
          "Number of failed tries to get a client certificate."},
    Entry{Series::kCertificateServerTtl, Kind::kGauge, "kubelet_certificate_manager_server_ttl_seconds",
          "Seconds until the serving certificate expires, negative afterwards, +Inf when there is none."},
    Entry{Series::kCertificateServerRotation, Kind::kHistogram, "kubelet_certificate_manager_server_rotation_seconds",
          "How long serving certificates lived before they were replaced."},
    Entry{Series::kCertificateServerRenewErrors, Kind::kCounter, "kubelet_server_expiration_renew_errors",
          "Number of failed tries to get a serving certificate."},
    Entry{Series::kActivePods, Kind::kGauge, "kubelet_active_pods", "Number of pods whose resources are held."},
    Entry{Series::kPodWorkerDuration, Kind::kHistogram, "kubelet_pod_worker_duration_seconds",
          "Time of one step of a pod's worker, by operation."},
    Entry{Series::kHttpRequests, Kind::kCounter, "kubelet_http_requests_total",
          "Number of requests of the kubelet port since it started."},
    Entry{Series::kHttpRequestDuration, Kind::kHistogram, "kubelet_http_requests_duration_seconds",
          "Time to serve requests of the kubelet port."},
    Entry{Series::kHttpInflightRequests, Kind::kGauge, "kubelet_http_inflight_requests",
          "Number of requests being served."},
    Entry{Series::kRestClientRequests, Kind::kCounter, "rest_client_requests_total",
          "Number of requests to the API server by code, method and host."},
    Entry{Series::kRestClientRequestDuration, Kind::kHistogram, "rest_client_request_duration_seconds",
          "Time until an answer of the API server was whole, by verb and host."},
    Entry{Series::kKubernetesBuildInfo, Kind::kGauge, "kubernetes_build_info",
          "The Kubernetes version whose kubelet this is. The value is always 1."},
    Entry{Series::kPlegRelistDuration, Kind::kHistogram, "kubelet_pleg_relist_duration_seconds",
          "Time to read what one sandbox tells of its containers; nothing is listed anew here."},
    Entry{Series::kCgroupManagerDuration, Kind::kHistogram, "kubelet_cgroup_manager_duration_seconds",
          "Time of cgroup operations by type."},
    Entry{Series::kStorageOperationDuration, Kind::kHistogram, "storage_operation_duration_seconds",
          "Time of volume operations. All volumes of a pod are one step, so each is told the time of all."},
    Entry{Series::kEvictions, Kind::kCounter, "kubelet_evictions", "Number of pods evicted by signal."},
    Entry{Series::kNodeStartupPreKubelet, Kind::kGauge, "kubelet_node_startup_pre_kubelet_duration_seconds",
          "Time from the host's boot to the agent's start."},
    Entry{Series::kNodeStartupPreRegistration, Kind::kGauge, "kubelet_node_startup_pre_registration_duration_seconds",
          "Time from the agent's start to its first try to register the node."},
    Entry{Series::kNodeStartupRegistration, Kind::kGauge, "kubelet_node_startup_registration_duration_seconds",
          "Time from the first try to register the node to its registration."},
    Entry{Series::kNodeStartupPostRegistration, Kind::kGauge, "kubelet_node_startup_post_registration_duration_seconds",
          "Time from the node's registration to its being ready."},
    Entry{Series::kNodeStartup, Kind::kGauge, "kubelet_node_startup_duration_seconds",
          "Time from the host's boot to the node being ready."},
};

const prometheus::Histogram::BucketBoundaries kSeconds{0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5,
                                                       1,      2.5,   5,      10,    30,   60,    120,  300, 600};

/// The kubelet's, from a minute to four years.
const prometheus::Histogram::BucketBoundaries kLifetimes{60,      3600,    14400,    86400,    604800,
                                                         2592000, 7776000, 15552000, 31104000, 124416000};

const prometheus::Histogram::BucketBoundaries& BucketsOf(Series series) {
  return series == Series::kCertificateServerRotation ? kLifetimes : kSeconds;
}

using AnyFamily = std::variant<prometheus::Family<prometheus::Counter>*, prometheus::Family<prometheus::Gauge>*,
                               prometheus::Family<prometheus::Histogram>*>;

/// process_* as Prometheus' client libraries name them.
std::string ProcessMetrics() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  const double cpu = static_cast<double>(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
                     static_cast<double>(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
  long pages_total = 0;
  long pages_resident = 0;
  std::ifstream("/proc/self/statm") >> pages_total >> pages_resident;
  const long page = sysconf(_SC_PAGESIZE);
  Exposition out;
  out.Family("process_cpu_seconds_total", "counter", "Total user and system CPU time spent in seconds.");
  out.Sample("", cpu);
  out.Family("process_max_fds", "gauge", "Maximum number of open file descriptors.");
  rlimit files{};
  getrlimit(RLIMIT_NOFILE, &files);
  out.Count("", files.rlim_cur);
  out.Family("process_open_fds", "gauge", "Number of open file descriptors.");
  std::error_code ignored;
  out.Count("", static_cast<std::uint64_t>(std::distance(std::filesystem::directory_iterator("/proc/self/fd", ignored),
                                                         std::filesystem::directory_iterator())));
  out.Family("process_resident_memory_bytes", "gauge", "Resident memory size in bytes.");
  out.Count("", static_cast<std::uint64_t>(pages_resident * page));
  out.Family("process_start_time_seconds", "gauge", "Start time of the process since unix epoch in seconds.");
  out.Sample("", ProcessStartTime());
  out.Family("process_virtual_memory_bytes", "gauge", "Virtual memory size in bytes.");
  out.Count("", static_cast<std::uint64_t>(pages_total * page));
  return out.Take();
}

}  // namespace

double ProcessStartTime() {
  static const double started =
      std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count();
  return started;
}

struct Metrics::State {
  prometheus::Registry registry;
  std::array<AnyFamily, kCatalog.size()> families;
};

Metrics::Metrics() : state_(std::make_unique<State>()) {
  ProcessStartTime();
  for (std::size_t i = 0; i < kCatalog.size(); ++i) {
    const Entry& entry = kCatalog[i];
    if (static_cast<std::size_t>(entry.series) != i) std::abort();  // the table follows the enumeration
    switch (entry.kind) {
      case Kind::kCounter:
        state_->families[i] = &prometheus::BuildCounter().Name(entry.name).Help(entry.help).Register(state_->registry);
        break;
      case Kind::kGauge:
        state_->families[i] = &prometheus::BuildGauge().Name(entry.name).Help(entry.help).Register(state_->registry);
        break;
      case Kind::kHistogram:
        state_->families[i] =
            &prometheus::BuildHistogram().Name(entry.name).Help(entry.help).Register(state_->registry);
        break;
    }
  }
}

Metrics::~Metrics() = default;

void Metrics::Declare(Series series, const Labels& labels) {
  const AnyFamily& family = state_->families[static_cast<std::size_t>(series)];
  if (const auto* counters = std::get_if<prometheus::Family<prometheus::Counter>*>(&family)) {
    (*counters)->Add(labels);
  } else if (const auto* gauges = std::get_if<prometheus::Family<prometheus::Gauge>*>(&family)) {
    (*gauges)->Add(labels);
  } else {
    std::get<prometheus::Family<prometheus::Histogram>*>(family)->Add(labels, BucketsOf(series));
  }
}

void Metrics::Add(Series series, const Labels& labels, double amount) {
  std::get<prometheus::Family<prometheus::Counter>*>(state_->families[static_cast<std::size_t>(series)])
      ->Add(labels)
      .Increment(amount);
}

void Metrics::Set(Series series, double value, const Labels& labels) {
  std::get<prometheus::Family<prometheus::Gauge>*>(state_->families[static_cast<std::size_t>(series)])
      ->Add(labels)
      .Set(value);
}

void Metrics::Change(Series series, double by, const Labels& labels) {
  std::get<prometheus::Family<prometheus::Gauge>*>(state_->families[static_cast<std::size_t>(series)])
      ->Add(labels)
      .Increment(by);
}

void Metrics::Observe(Series series, double value, const Labels& labels) {
  std::get<prometheus::Family<prometheus::Histogram>*>(state_->families[static_cast<std::size_t>(series)])
      ->Add(labels, BucketsOf(series))
      .Observe(value);
}

std::string Metrics::Text() const {
  return prometheus::TextSerializer().Serialize(state_->registry.Collect()) + ProcessMetrics();
}

}  // namespace burstlet
