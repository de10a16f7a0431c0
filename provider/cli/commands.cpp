#include "provider/cli/commands.h"

#include <poll.h>
#include <unistd.h>

#include <cstdio>
#include <ctime>
#include <map>
#include <utility>

#include "absl/strings/str_cat.h"
#include "metrics/status.h"
#include "provider/cli/exec_client.h"
#include "provider/cli/local_agent.h"
#include "provider/cli/tables.h"

namespace burstlet::provider {
namespace {

constexpr int kRefreshMs = 2000;
constexpr char kDefaultContainer[] = "kubectl.kubernetes.io/default-container";

absl::Status Print(std::string_view text) {
  if (std::fwrite(text.data(), 1, text.size(), stdout) != text.size() || std::fflush(stdout) != 0) {
    return absl::UnavailableError("the output is closed");
  }
  return absl::OkStatus();
}

/// The namespace's pods; all of them without one.
absl::StatusOr<std::vector<kube::Pod>> Pods(const LocalAgent& agent, const std::string& name_space) {
  ASSIGN_OR_RETURN(const std::string json, agent.Get("/pods"));
  ASSIGN_OR_RETURN(std::vector<kube::Pod> pods, PodsOf(json));
  std::erase_if(pods,
                [&](const kube::Pod& pod) { return !name_space.empty() && pod.metadata.namespace_ != name_space; });
  return pods;
}

/// Finds the pod and says whole what was said in short.
absl::StatusOr<PodTarget> Resolve(const LocalAgent& agent, PodTarget target) {
  const std::size_t slash = target.pod.find('/');
  if (slash != std::string::npos) {
    target.name_space = target.pod.substr(0, slash);
    target.pod.erase(0, slash + 1);
  }
  ASSIGN_OR_RETURN(std::vector<kube::Pod> pods, Pods(agent, target.name_space));
  std::erase_if(pods, [&](const kube::Pod& pod) { return pod.metadata.name != target.pod; });
  if (pods.empty()) return absl::NotFoundError(absl::StrCat("pod \"", target.pod, "\" not found"));
  if (pods.size() > 1) {
    std::string where;
    for (const kube::Pod& pod : pods) absl::StrAppend(&where, where.empty() ? "" : ", ", pod.metadata.namespace_);
    return absl::InvalidArgumentError(
        absl::StrCat("pod \"", target.pod, "\" is in several namespaces (", where, "): name one with -n"));
  }
  const kube::Pod& pod = pods.front();
  target.name_space = pod.metadata.namespace_;
  if (target.container.empty() && !pod.spec.containers.empty()) {
    const auto chosen = pod.metadata.annotations.find(kDefaultContainer);
    target.container = chosen != pod.metadata.annotations.end() ? chosen->second : pod.spec.containers.front().name;
  }
  return target;
}

absl::StatusOr<std::string> UsageNow(const LocalAgent& agent, const std::string& name_space) {
  ASSIGN_OR_RETURN(const std::vector<kube::Pod> pods, Pods(agent, name_space));
  ASSIGN_OR_RETURN(const std::string summary, agent.Get("/stats/summary"));
  ASSIGN_OR_RETURN(const auto usage, UsageOf(summary));
  ASSIGN_OR_RETURN(const std::string starts, agent.Get("/starts"));
  ASSIGN_OR_RETURN(const StartTimelines timelines, TimelinesOf(starts));
  return UsageTable(pods, usage, timelines);
}

}  // namespace

absl::Status ListPods(const PodTarget& target, bool as_json) {
  const LocalAgent agent(target.root_dir);
  if (as_json) {
    ASSIGN_OR_RETURN(const std::string json, agent.Get("/pods"));
    return Print(json);
  }
  ASSIGN_OR_RETURN(const std::vector<kube::Pod> pods, Pods(agent, target.name_space));
  return Print(PodTable(pods, std::time(nullptr)));
}

absl::Status ShowUsage(const PodTarget& target, bool once) {
  const LocalAgent agent(target.root_dir);
  const bool live = !once && isatty(STDOUT_FILENO) != 0;
  for (;;) {
    ASSIGN_OR_RETURN(const std::string table, UsageNow(agent, target.name_space));
    // Home and clear below: no flicker of a whole clear.
    RETURN_IF_ERROR(Print(live ? absl::StrCat("\x1b[H\x1b[J", table) : table));
    if (!live) return absl::OkStatus();
    poll(nullptr, 0, kRefreshMs);
  }
}

absl::Status ShowLogs(const PodTarget& wanted, const LogsOptions& options) {
  const LocalAgent agent(wanted.root_dir);
  ASSIGN_OR_RETURN(const PodTarget target, Resolve(agent, wanted));
  std::string path =
      absl::StrCat("/containerLogs/", PercentEncode(target.name_space), "/", PercentEncode(target.pod), "/",
                   PercentEncode(target.container), "?follow=", options.follow ? "true" : "false",
                   options.previous ? "&previous=true" : "", options.timestamps ? "&timestamps=true" : "");
  if (options.tail >= 0) absl::StrAppend(&path, "&tailLines=", options.tail);
  return agent.Get(path, [](std::string_view piece) { return Print(piece); });
}

absl::StatusOr<int> ExecInTarget(const PodTarget& wanted, std::vector<std::string> command, bool with_stdin, bool tty) {
  const LocalAgent agent(wanted.root_dir);
  ASSIGN_OR_RETURN(const PodTarget target, Resolve(agent, wanted));
  ExecOptions options;
  options.name_space = target.name_space;
  options.pod = target.pod;
  options.container = target.container;
  options.command = std::move(command);
  options.with_stdin = with_stdin;
  options.tty = tty;
  return ExecInPod(agent, options);
}

}  // namespace burstlet::provider
