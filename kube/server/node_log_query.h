// Node log queries (KEP-2258): `/logs/?query=kubelet&sinceTime=...` asks for services or one file, with options.
//
// Pure: text to a checked query. Failure says which option is wrong and why: kInvalidArgument for what cannot be read
// (400), kOutOfRange for what can be read and is not allowed (406, as a kubelet answers). Source:
// pkg/kubelet/kubelet_server_journal.go.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "kube/server/http_message.h"

namespace burstlet::kube {

struct NodeLogQuery {
  std::vector<std::string> services;
  std::string file;                        // with a slash: relative to the log folder, never together with services
  std::optional<std::int64_t> since_time;  // seconds since 1970
  std::optional<std::int64_t> until_time;
  std::optional<std::int64_t> tail_lines;
  std::optional<std::int64_t> boot;  // 0 this boot, -1 the one before
  std::string pattern;               // a regular expression of journalctl's (PCRE2)

  /// Files have none.
  bool has_options() const {
    return since_time.has_value() || until_time.has_value() || tail_lines.has_value() || boot.has_value() ||
           !pattern.empty();
  }
};

/// What is asked of the node's logs: a path below the log folder ("" is the folder itself), or a query.
struct NodeLogRequest {
  std::string path;
  std::optional<NodeLogQuery> query;
};

/// The answer: a directory's names (those of directories end in a slash), or bytes.
struct NodeLogSource {
  bool directory = false;
  std::vector<std::string> names;
  int fd = -1;             // a regular file, a pipe or a socket; owned by the receiver
  std::int64_t size = -1;  // of a file; -1: to the end
};

/// kNotFound: 404; kInvalidArgument, kOutOfRange: 400, 406; kPermissionDenied: 403.
using NodeLogs = std::function<void(NodeLogRequest, std::function<void(absl::StatusOr<NodeLogSource>)>)>;

/// Nothing when the request has no option of a query.
absl::StatusOr<std::optional<NodeLogQuery>> ParseNodeLogQuery(const HttpRequest& request);

}  // namespace burstlet::kube
