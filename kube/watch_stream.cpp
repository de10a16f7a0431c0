#include "kube/watch_stream.h"

#include <random>

#include "absl/strings/str_cat.h"
#include "kube/client_status.h"
#include "kube/json.h"
#include "kube/json_scan.h"
#include "metrics/status.h"

namespace burstlet::kube {
namespace {

/// Bookmarks come about once a minute; a stream silent for longer has lost its peer.
constexpr std::chrono::milliseconds kIdleLimit{100'000};

/// The server ends the watch by itself after 5 to 10 minutes, spread so that not all nodes come back at once.
int TimeoutSeconds() {
  static std::minstd_rand random{std::random_device{}()};
  return std::uniform_int_distribution<int>(300, 600)(random);
}

/// metadata.resourceVersion without decoding the object (managedFields alone may be most of it).
std::string_view ResourceVersionOf(std::string_view object) {
  std::string_view version;
  const auto in_metadata = [&version](std::string_view key, std::string_view value) {
    if (key != "resourceVersion" || value.size() < 2) return true;
    version = value.substr(1, value.size() - 2);
    return false;
  };
  const absl::Status status = VisitJsonMembers(object, [&](std::string_view key, std::string_view value) {
    if (key != "metadata") return true;
    return VisitJsonMembers(value, in_metadata).ok() && version.empty();
  });
  return status.ok() ? version : std::string_view();
}

/// Shared by the lines of one watch.
struct WatchState {
  std::string& resource_version;
  OnWatchObject on_object;
  CancelToken stop;  // ends the stream from inside: an ERROR event or a line that is none
  absl::Status failure;

  void Fail(absl::Status status) {
    failure = std::move(status);
    stop.Cancel();
  }
  void OnLine(const std::string& line);
};

void WatchState::OnLine(const std::string& line) {
  const auto event = ParseWatchEvent(line);
  if (!event.ok()) return Fail(event.status());
  std::string object(event->object);
  if (event->type == "ERROR") {
    const auto status = Decode<ApiStatus>(object);
    const int code = status.ok() ? status->code : 500;
    return Fail(StatusOfResponse(code >= 300 ? code : 500, object, std::chrono::milliseconds(0)));
  }
  const std::string_view version = ResourceVersionOf(object);
  if (!version.empty()) resource_version = version;
  if (event->type != "BOOKMARK") on_object(event->type, std::move(object));
}

}  // namespace

absl::StatusOr<WatchEvent> ParseWatchEvent(std::string_view line) {
  WatchEvent event;
  const absl::Status status = VisitJsonMembers(line, [&event](std::string_view key, std::string_view value) {
    if (key == "type" && value.size() >= 2) event.type = value.substr(1, value.size() - 2);
    if (key == "object") event.object = value;
    return event.type.empty() || event.object.empty();
  });
  RETURN_IF_ERROR(status);
  if (event.type.empty() || event.object.empty()) {
    return absl::InvalidArgumentError("a watch event lacks its type or its object");
  }
  return event;
}

std::string WithQuery(const std::string& path, const std::vector<std::string>& parameters) {
  std::string out = path;
  char separator = path.find('?') == std::string::npos ? '?' : '&';
  for (const std::string& parameter : parameters) {
    if (parameter.empty()) continue;
    out += separator;
    out += parameter;
    separator = '&';
  }
  return out;
}

Task<absl::Status> RunWatch(Client& client, std::string path, std::string selector, std::string& resource_version,
                            OnWatchObject on_object, CancelToken cancel) {
  const auto state =
      std::make_shared<WatchState>(WatchState{resource_version, std::move(on_object), CancelToken(), absl::OkStatus()});
  const std::uint64_t chained = cancel.OnCancel([state] { state->stop.Cancel(); });
  std::string query =
      WithQuery(path, {"watch=true", "allowWatchBookmarks=true", absl::StrCat("timeoutSeconds=", TimeoutSeconds()),
                       "resourceVersion=" + resource_version, selector});
  std::function<void(std::string)> on_line = [state](std::string line) { state->OnLine(line); };
  absl::Status status = co_await client.Stream(std::move(query), std::move(on_line), kIdleLimit, state->stop);
  cancel.Forget(chained);
  if (cancel.cancelled()) co_return absl::CancelledError("the watch was cancelled");
  if (!state->failure.ok()) co_return state->failure;
  co_return status;
}

}  // namespace burstlet::kube
