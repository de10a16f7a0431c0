#include "kube/server/router.h"

#include <algorithm>
#include <array>
#include <optional>

#include "absl/strings/str_cat.h"

namespace burstlet::kube {
namespace {

struct Rule {
  std::string_view root;  // the first segment
  Endpoint endpoint;
  std::string_view allow;
  std::array<std::string_view, 2> subresources;
};

constexpr std::string_view kStreaming = "GET, POST";

// One line a root segment; unknown ones need nodes/proxy.
constexpr Rule kRules[] = {
    {"healthz", Endpoint::kHealthz, "GET, HEAD", {"healthz", "proxy"}},
    {"pods", Endpoint::kPods, "GET", {"pods", "proxy"}},
    {"runningpods", Endpoint::kRunningPods, "GET", {"pods", "proxy"}},
    {"configz", Endpoint::kConfigz, "GET, HEAD", {"configz", "proxy"}},
    {"stats", Endpoint::kStatsSummary, "GET", {"stats", ""}},
    {"metrics", Endpoint::kMetrics, "GET, HEAD", {"metrics", ""}},
    {"logs", Endpoint::kNodeLogs, "GET", {"log", ""}},
    {"checkpoint", Endpoint::kCheckpoint, "POST", {"checkpoint", ""}},
    {"statusz", Endpoint::kStatusz, "GET, HEAD", {"statusz", ""}},
    {"flagz", Endpoint::kFlagz, "GET, HEAD", {"configz", ""}},
    {"allocatedPods", Endpoint::kNotFound, "", {"pods", "proxy"}},
    {"containerLogs", Endpoint::kContainerLogs, "GET", {"proxy", ""}},
    {"exec", Endpoint::kExec, kStreaming, {"proxy", ""}},
    {"attach", Endpoint::kAttach, kStreaming, {"proxy", ""}},
    {"portForward", Endpoint::kPortForward, kStreaming, {"proxy", ""}},
    {"run", Endpoint::kRun, "POST", {"proxy", ""}},
    {"debug", Endpoint::kNotFound, "", {"proxy", ""}},
    {"starts", Endpoint::kStarts, "GET", {"proxy", ""}},  // no kubelet's: how pods' starts went
};

std::vector<std::string_view> Segments(std::string_view path) {
  std::vector<std::string_view> segments;
  while (!path.empty()) {
    path.remove_prefix(1);  // the slash
    const std::size_t slash = path.find('/');
    segments.push_back(path.substr(0, slash));
    if (slash == std::string_view::npos) break;
    path.remove_prefix(slash);
  }
  return segments;
}

bool ListsMethod(std::string_view allow, std::string_view method) {
  while (!allow.empty()) {
    const std::size_t comma = allow.find(", ");
    if (allow.substr(0, comma) == method) return true;
    if (comma == std::string_view::npos) return false;
    allow.remove_prefix(comma + 2);
  }
  return false;
}

// /{ns}/{pod}[/{uid}]/{container}; port-forward and nothing else has no container.
bool ParseContainer(const std::vector<std::string_view>& parts, bool with_container, ContainerRef* out) {
  const std::size_t plain = with_container ? 4 : 3;
  if (parts.size() != plain && parts.size() != plain + 1) return false;
  for (const std::string_view part : parts) {
    if (part.empty() || part == "." || part == "..") return false;
  }
  out->name_space = parts[1];
  out->pod = parts[2];
  if (parts.size() == plain + 1) out->uid = parts[3];
  if (with_container) out->container = parts.back();
  return true;
}

Endpoint MetricsEndpoint(std::string_view rest) {
  if (rest.empty()) return Endpoint::kMetrics;
  if (rest == "resource") return Endpoint::kMetricsResource;
  if (rest == "cadvisor") return Endpoint::kMetricsCadvisor;
  if (rest == "probes") return Endpoint::kMetricsProbes;
  if (rest == "slis") return Endpoint::kMetricsSlis;
  return Endpoint::kNotFound;
}

Endpoint Refine(Endpoint endpoint, const std::vector<std::string_view>& parts, Route* route) {
  switch (endpoint) {
    case Endpoint::kExec:
    case Endpoint::kAttach:
    case Endpoint::kRun:
      return ParseContainer(parts, true, &route->container) ? endpoint : Endpoint::kNotFound;
    case Endpoint::kContainerLogs:
    case Endpoint::kCheckpoint:
      return parts.size() == 4 && ParseContainer(parts, true, &route->container) ? endpoint : Endpoint::kNotFound;
    case Endpoint::kPortForward:
      return ParseContainer(parts, false, &route->container) ? endpoint : Endpoint::kNotFound;
    case Endpoint::kMetrics:
      return MetricsEndpoint(route->rest);
    case Endpoint::kStatsSummary:
      return route->rest == "summary" ? endpoint : Endpoint::kNotFound;
    case Endpoint::kHealthz:
      return route->rest.empty() || route->rest == "ping" || route->rest == "log" || route->rest == "syncloop"
                 ? endpoint
                 : Endpoint::kNotFound;
    case Endpoint::kPods:
    case Endpoint::kRunningPods:
    case Endpoint::kConfigz:
    case Endpoint::kStarts:
    case Endpoint::kStatusz:
    case Endpoint::kFlagz:
      return route->rest.empty() ? endpoint : Endpoint::kNotFound;
    default:
      return endpoint;
  }
}

}  // namespace

std::string ApiVerb(std::string_view method) {
  if (method == "POST") return "create";
  if (method == "GET") return "get";
  if (method == "PUT") return "update";
  if (method == "PATCH") return "patch";
  if (method == "DELETE") return "delete";
  return "";
}

std::vector<std::string> StatuszPaths() {
  std::vector<std::string> paths;
  for (const Rule& rule : kRules) {
    if (rule.endpoint != Endpoint::kNotFound) paths.push_back("/" + std::string(rule.root));
  }
  std::sort(paths.begin(), paths.end());
  return paths;
}

Route Classify(std::string_view method, std::string_view path) {
  Route route;
  route.verb = ApiVerb(method);
  const std::vector<std::string_view> parts = Segments(path);
  const Rule* found = nullptr;
  for (const Rule& rule : kRules) {
    if (!parts.empty() && parts[0] == rule.root) found = &rule;
  }
  if (found == nullptr) {
    route.subresources = {"proxy"};
    return route;
  }
  for (const std::string_view subresource : found->subresources) {
    if (!subresource.empty()) route.subresources.emplace_back(subresource);
  }
  route.bucket = found->root;
  route.long_running = found->allow == kStreaming || found->root == "debug";
  const std::size_t after_root = found->root.size() + 2;
  if (path.size() > after_root) route.rest = path.substr(after_root);
  route.endpoint = Refine(found->endpoint, parts, &route);
  if (found->root == "metrics" && route.endpoint != Endpoint::kMetrics && route.endpoint != Endpoint::kNotFound)
    absl::StrAppend(&route.bucket, "/", route.rest);
  if (found->root == "debug") {
    if (route.rest == "flags/v") route.endpoint = Endpoint::kDebugFlags;
    if (route.rest.rfind("pprof/", 0) == 0 || route.rest == "pprof") route.endpoint = Endpoint::kPprof;
  }
  route.allow = found->allow;
  route.method_allowed = found->allow.empty() || ListsMethod(found->allow, method);
  return route;
}

}  // namespace burstlet::kube
