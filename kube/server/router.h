// What a request asks for, and which right it needs: decided together, so that the two can never disagree.
//
// Pure. Paths are taken as they are (no cleaning of ".." or "//"): the first segment alone chooses both the endpoint
// and the authorization subresources. Source: pkg/kubelet/server/{server,auth}.go, KEP-2862.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "kube/server/kubelet_server.h"

namespace burstlet::kube {

enum class Endpoint {
  kNotFound,
  kHealthz,
  kPods,
  kRunningPods,
  kStatsSummary,
  kMetrics,
  kMetricsResource,
  kMetricsCadvisor,
  kMetricsProbes,
  kMetricsSlis,
  kContainerLogs,
  kExec,
  kAttach,
  kPortForward,
  kRun,
  kConfigz,
  kCheckpoint,
  kNodeLogs,
  kPprof,
  kDebugFlags,
  kStarts,
  kStatusz,
  kFlagz,
};

struct Route {
  Endpoint endpoint = Endpoint::kNotFound;
  /// Tried in this order until one is allowed; never empty.
  std::vector<std::string> subresources;
  /// The API verb of the method; empty for methods that have none.
  std::string verb;
  /// Methods served, as the Allow header says them; empty = any.
  std::string allow;
  bool method_allowed = true;
  ContainerRef container;
  /// For counting: the root, of metrics two segments; "other" where nothing is served.
  std::string bucket = "other";
  bool long_running = false;
  /// What follows the endpoint's own path ("syncloop" of /healthz/syncloop).
  std::string rest;
};

Route Classify(std::string_view method, std::string_view path);

/// What /statusz lists: the served root paths, sorted.
std::vector<std::string> StatuszPaths();

/// "get" of GET and so on; "" for a method without an API verb.
std::string ApiVerb(std::string_view method);

}  // namespace burstlet::kube
