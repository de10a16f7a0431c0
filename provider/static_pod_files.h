// The static pods' files: one pod a file, in one directory (or one file), looked at when they change and now and then.
//
// A file counts once its writer has closed it or renamed it into place; names that begin with a dot never count. A file
// that is no pod is logged by its name, once for each content, and the others are not affected. Owner: node_agent. Loop
// thread only; files are read on the worker pool. Source: pkg/kubelet/config/file.go.
#pragma once

#include <chrono>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "kube/api/pod.h"
#include "kube/async/offload.h"
#include "kube/async/task_group.h"
#include "provider/static_pod_source.h"

namespace burstlet::provider {

std::unique_ptr<StaticPodSource> NewStaticPodFiles(kube::Loop& loop, kube::WorkerPool& pool, kube::TaskGroup& tasks,
                                                   const std::string& path, const std::string& node_name,
                                                   std::chrono::milliseconds check_frequency);

/// The pod of one file's text; `file` is its path.
absl::StatusOr<kube::Pod> ParseStaticPod(const std::string& file, const std::string& text, const std::string& node_name,
                                         std::int64_t seen);

}  // namespace burstlet::provider
