// One WATCH request: its lines become typed events, its end a reason.
//
// Shared by the reflector and the watches of single objects. Loop thread only.
#pragma once

#include <functional>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "kube/client.h"

namespace burstlet::kube {

/// The pieces of one line of a watch, as slices of it.
struct WatchEvent {
  std::string_view type;  // ADDED, MODIFIED, DELETED, BOOKMARK, ERROR
  std::string_view object;
};

/// kInvalidArgument when the line is no watch event.
absl::StatusOr<WatchEvent> ParseWatchEvent(std::string_view line);

/// What to do with objects; `type` is never BOOKMARK or ERROR.
using OnWatchObject = std::function<void(std::string_view type, std::string object)>;

/// Watches from `resource_version`, which moves on with each event and bookmark. Ends OK when the server ends it in
/// peace (its time is up); kOutOfRange when the version is too old (410, as an answer or as an ERROR event).
Task<absl::Status> RunWatch(Client& client, std::string path, std::string selector, std::string& resource_version,
                            OnWatchObject on_object, CancelToken cancel);

/// The query's '?' or '&' form: Query("/api/v1/pods", {"a=1", ""}) skips blanks.
std::string WithQuery(const std::string& path, const std::vector<std::string>& parameters);

}  // namespace burstlet::kube
