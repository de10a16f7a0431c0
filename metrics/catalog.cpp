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
#include <cstdlib>
#include <fstream>
#include <mutex>
#include <utility>
#include <variant>
#include <vector>

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
          "Time from a pod's creation to all its containers reported as started, without image pulls."},
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
  std::string text;
  text += "# HELP process_cpu_seconds_total Total user and system CPU time spent in seconds.\n";
  text += "# TYPE process_cpu_seconds_total counter\nprocess_cpu_seconds_total " + std::to_string(cpu) + "\n";
  text += "# HELP process_resident_memory_bytes Resident memory size in bytes.\n";
  text += "# TYPE process_resident_memory_bytes gauge\nprocess_resident_memory_bytes " +
          std::to_string(pages_resident * page) + "\n";
  text += "# HELP process_virtual_memory_bytes Virtual memory size in bytes.\n";
  text += "# TYPE process_virtual_memory_bytes gauge\nprocess_virtual_memory_bytes " +
          std::to_string(pages_total * page) + "\n";
  return text;
}

}  // namespace

struct Metrics::State {
  prometheus::Registry registry;
  std::array<AnyFamily, kCatalog.size()> families;
};

Metrics::Metrics() : state_(std::make_unique<State>()) {
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

void Metrics::Observe(Series series, double value, const Labels& labels) {
  std::get<prometheus::Family<prometheus::Histogram>*>(state_->families[static_cast<std::size_t>(series)])
      ->Add(labels, BucketsOf(series))
      .Observe(value);
}

std::string Metrics::Text() const {
  return prometheus::TextSerializer().Serialize(state_->registry.Collect()) + ProcessMetrics();
}

}  // namespace burstlet
