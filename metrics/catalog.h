// Every series the agent exposes of itself, one line each; and the one object that keeps their values.
//
// Names are the kubelet's where the meaning is the kubelet's, else they begin with burstlet_. Values are kept by
// prometheus-cpp inside the body. Threads: any.
#pragma once

#include <map>
#include <memory>
#include <string>

namespace burstlet {

enum class Series {
  kPodStartStage,                 // histogram {stage}
  kPodStartDuration,              // histogram
  kPodStartSliDuration,           // histogram
  kRunningPods,                   // gauge
  kRunningContainers,             // gauge {container_state}
  kStartedPods,                   // counter
  kStartedContainers,             // counter {container_type}
  kStartedContainerErrors,        // counter {container_type, code}
  kRuntimeOperations,             // counter {operation_type}
  kRuntimeOperationErrors,        // counter {operation_type}
  kRuntimeOperationDuration,      // histogram {operation_type}
  kImagePulls,                    // counter {result}
  kImagePullBytes,                // counter
  kImagePullDuration,             // histogram
  kImagesCollected,               // counter {reason}
  kStatusWrites,                  // counter
  kNodeName,                      // gauge {node}
  kBuildInfo,                     // gauge {version}
  kDroppedLogLines,               // gauge
  kCertificateClientTtl,          // gauge
  kCertificateClientRenewErrors,  // counter
  kCertificateServerTtl,          // gauge
  kCertificateServerRotation,     // histogram, months long
  kCertificateServerRenewErrors,  // counter
  kActivePods,                    // gauge {static}
  kPodWorkerDuration,             // histogram {operation_type}
  kHttpRequests,                  // counter {method, path, server_type, long_running}
  kHttpRequestDuration,           // histogram {method, path, server_type, long_running}
  kHttpInflightRequests,          // gauge {method, path, server_type, long_running}
  kRestClientRequests,            // counter {code, host, method}
  kRestClientRequestDuration,     // histogram {verb, host}
  kKubernetesBuildInfo,           // gauge {git_version, major, minor, platform, compiler}
  kPlegRelistDuration,            // histogram
  kCgroupManagerDuration,         // histogram {operation_type}
  kStorageOperationDuration,      // histogram {migrated, operation_name, status, volume_plugin}
  kEvictions,                     // counter {eviction_signal}
  kNodeStartupPreKubelet,         // gauge
  kNodeStartupPreRegistration,    // gauge
  kNodeStartupRegistration,       // gauge
  kNodeStartupPostRegistration,   // gauge
  kNodeStartup,                   // gauge
};

using Labels = std::map<std::string, std::string>;

class Metrics {
 public:
  Metrics();
  ~Metrics();
  Metrics(const Metrics&) = delete;
  Metrics& operator=(const Metrics&) = delete;

  /// The series shows 0 before its first event, as dashboards and alerts want it.
  void Declare(Series series, const Labels& labels = {});
  /// Counters.
  void Add(Series series, const Labels& labels = {}, double amount = 1);
  /// Gauges.
  void Set(Series series, double value, const Labels& labels = {});
  void Change(Series series, double by, const Labels& labels = {});
  /// Histograms, in the unit of the series' name.
  void Observe(Series series, double value, const Labels& labels = {});
  /// The Prometheus text format of all series and of the process itself (process_*).
  std::string Text() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

/// Unix seconds of the first call, which the first Metrics object makes: the program's start, as near as matters.
double ProcessStartTime();

}  // namespace burstlet
