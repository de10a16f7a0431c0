// Static pods from a URL: a Pod or a list of them, asked for by GET every so often.
//
// An answer counts as a whole or not at all: what cannot be read changes nothing and is logged. An empty body takes all
// pods of the URL away. Owner: node_agent. Loop thread only; requests are made on a thread of their own.
// Source: pkg/kubelet/config/http.go.
#pragma once

#include <chrono>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "cache/proxy.h"
#include "kube/async/task_group.h"
#include "provider/static_pod_source.h"

namespace burstlet::provider {

struct StaticPodUrl {
  std::string url;  // http or https
  std::vector<std::pair<std::string, std::string>> headers;
  std::chrono::milliseconds check_frequency{20'000};
  std::chrono::milliseconds time_limit{10'000};  // to connect, and of silence
  cache::ProxyConfig proxy;
};

std::unique_ptr<StaticPodSource> NewStaticPodUrl(kube::Loop& loop, kube::TaskGroup& tasks, StaticPodUrl from,
                                                 const std::string& node_name);

/// The pods of one answer, YAML or JSON: a Pod, a PodList or a List.
absl::StatusOr<StaticPodList> ParseStaticPods(const std::string& url, const std::string& text,
                                              const std::string& node_name, std::int64_t seen);

}  // namespace burstlet::provider
