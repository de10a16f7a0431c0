#include "kube/reflector.h"

#include "absl/strings/str_cat.h"
#include "kube/async/signal_event.h"
#include "kube/backoff.h"
#include "kube/client_status.h"
#include "kube/json_scan.h"
#include "kube/watch_stream.h"
#include "metrics/log.h"
#include "metrics/status.h"

namespace burstlet::kube {
namespace {

constexpr int kPageSize = 500;
constexpr std::chrono::milliseconds kListTimeout{30'000};
constexpr int kFailuresPerWarning = 10;
/// The first retry comes at once as people see it; only a server that stays away is left alone for longer.
constexpr Backoff::Delay kFirstDelay{5};
constexpr Backoff::Delay kMostDelay{7'000};
/// A watch that lived this long counts as success, whatever ended it.
constexpr std::chrono::seconds kHealthyWatch{1};

struct Page {
  std::string resource_version;
  std::string next;  // the continue token
};

/// Takes one LIST answer apart without decoding its items.
absl::StatusOr<Page> ReadPage(const std::string& body, std::vector<std::string>& objects) {
  Page page;
  absl::Status inner;
  RETURN_IF_ERROR(VisitJsonMembers(body, [&](std::string_view key, std::string_view value) {
    if (key == "metadata") {
      inner = VisitJsonMembers(value, [&page](std::string_view name, std::string_view text) {
        const bool is_text = text.size() >= 2 && text.front() == '"';
        if (is_text && name == "resourceVersion") page.resource_version = text.substr(1, text.size() - 2);
        if (is_text && name == "continue") page.next = text.substr(1, text.size() - 2);
        return true;
      });
    } else if (key == "items" && value != "null") {
      inner = VisitJsonElements(value, [&objects](std::string_view item) {
        objects.emplace_back(item);
        return true;
      });
    }
    return inner.ok();
  }));
  RETURN_IF_ERROR(inner);
  if (page.resource_version.empty()) return absl::InvalidArgumentError("a list lacks its resourceVersion");
  return page;
}

class Reflector {
 public:
  Reflector(Client& client, Loop& loop, std::string name, std::string path, std::string selector,
            ReflectorHandlers handlers, CancelToken cancel)
      : client_(client),
        pause_(loop),
        name_(std::move(name)),
        path_(std::move(path)),
        selector_(std::move(selector)),
        handlers_(std::move(handlers)),
        cancel_(std::move(cancel)) {}

  Task<void> Run();

 private:
  Task<absl::Status> List();
  Task<void> Watch();
  /// Sleeps the next delay, or until cancelled.
  Task<void> Pause(absl::Status why);

  Client& client_;
  SignalEvent pause_;  // set by cancellation
  const std::string name_;
  const std::string path_;
  const std::string selector_;
  ReflectorHandlers handlers_;
  CancelToken cancel_;
  std::string resource_version_;  // empty: a LIST is due
  Backoff backoff_{kFirstDelay, kMostDelay};
  int failures_ = 0;
};

/// All pages of the list, told as one Replace. No resourceVersion is asked for: the answer is the present truth, never
/// an API server's stale cache, which after a restart of the agent would look like deleted pods.
Task<absl::Status> Reflector::List() {
  std::vector<std::string> objects;
  std::string next;
  do {
    std::string query = WithQuery(
        path_, {absl::StrCat("limit=", kPageSize), next.empty() ? "" : absl::StrCat("continue=", next), selector_});
    CO_ASSIGN_OR_RETURN(const Response response, co_await client_.Do("GET", std::move(query), "", "", kListTimeout));
    CO_RETURN_IF_ERROR(StatusOfResponse(response.code, response.body, std::chrono::milliseconds(0)));
    CO_ASSIGN_OR_RETURN(Page page, ReadPage(response.body, objects));
    resource_version_ = std::move(page.resource_version);
    next = std::move(page.next);
  } while (!next.empty());
  if (cancel_.cancelled()) co_return absl::OkStatus();
  V(2, "Listed", {{"reflector", name_}, {"objects", objects.size()}});
  handlers_.replace(std::move(objects));
  co_return absl::OkStatus();
}

/// Returns when the watch has ended for good or bad, having paused where that is due.
Task<void> Reflector::Watch() {
  const auto started = std::chrono::steady_clock::now();
  bool progressed = false;
  OnWatchObject on_object = [this, &progressed](std::string_view type, std::string object) {
    progressed = true;
    if (type == "DELETED") {
      handlers_.deleted(std::move(object));
    } else {
      handlers_.changed(std::move(object));
    }
  };
  const absl::Status status =
      co_await RunWatch(client_, path_, selector_, resource_version_, std::move(on_object), cancel_);
  const bool healthy = progressed || std::chrono::steady_clock::now() - started >= kHealthyWatch;
  if (healthy) backoff_.Reset();
  if (cancel_.cancelled() || (status.ok() && healthy)) co_return;
  // Too old, or an event that cannot be read: only the whole list helps.
  const bool relist = absl::IsOutOfRange(status) || absl::IsInvalidArgument(status);
  if (relist) resource_version_.clear();
  co_await Pause(status);
}

Task<void> Reflector::Pause(absl::Status why) {
  const auto delay = std::max(backoff_.Next(), RetryAfterOf(why));
  V(2, "Watch interrupted",
    {{"reflector", name_}, {"err", std::string(why.message())}, {"delayMilliseconds", delay.count()}});
  co_await pause_.WaitUntil(std::chrono::steady_clock::now() + delay);
}

Task<void> Reflector::Run() {
  const std::uint64_t registration = cancel_.OnCancel([this] { pause_.Set(); });
  while (!cancel_.cancelled()) {
    if (resource_version_.empty()) {
      const absl::Status listed = co_await List();
      if (!listed.ok()) {
        resource_version_.clear();
        if (handlers_.list_failed) handlers_.list_failed(listed);
        if (++failures_ % kFailuresPerWarning == kFailuresPerWarning / 2) {
          Warn("Cannot list", {{"reflector", name_}, {"err", std::string(listed.message())}, {"tries", failures_}});
        }
        co_await Pause(listed);
        continue;
      }
      failures_ = 0;
    }
    co_await Watch();
  }
  cancel_.Forget(registration);
}

}  // namespace

Task<void> RunReflector(Client& client, Loop& loop, std::string name, std::string path, std::string selector,
                        ReflectorHandlers handlers, CancelToken cancel) {
  Reflector reflector(client, loop, std::move(name), std::move(path), std::move(selector), std::move(handlers),
                      std::move(cancel));
  co_await reflector.Run();
}

}  // namespace burstlet::kube
