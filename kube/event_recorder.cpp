#include "kube/event_recorder.h"

#include <chrono>
#include <deque>

#include "absl/strings/str_cat.h"
#include "kube/async/signal_event.h"
#include "kube/async/task_group.h"
#include "kube/backoff.h"
#include "kube/client_status.h"
#include "kube/event_correlator.h"
#include "kube/json.h"
#include "metrics/log.h"

namespace burstlet::kube {
namespace {

using std::chrono::steady_clock;

constexpr std::size_t kMaxQueue = 1000;
constexpr int kMaxTries = 12;  // while there is no connection, as client-go
constexpr std::chrono::milliseconds kFirstRetry{100};
constexpr std::chrono::milliseconds kMostRetry{10'000};
constexpr std::chrono::seconds kStopLimit{2};
/// A container's words may be part of it.
constexpr std::size_t kMaxMessage = 16'384;

Time Now() {
  return Time{std::chrono::duration_cast<std::chrono::nanoseconds>(std::chrono::system_clock::now().time_since_epoch())
                  .count()};
}

/// What an event that exists already is changed to.
std::string CountPatch(const Event& event) {
  return absl::StrCat("{\"count\":", event.count, ",\"lastTimestamp\":", EncodeText(FormatTime(event.lastTimestamp)),
                      ",\"message\":", EncodeText(event.message), "}");
}

class NodeEventRecorder final : public EventRecorder {
 public:
  NodeEventRecorder(Client& client, Loop& loop, std::string node_name)
      : client_(client), node_name_(std::move(node_name)), wake_(loop), stop_(loop), group_(loop) {
    group_.Spawn("event recorder", Send());
  }

  void PodEvent(const Pod& pod, const std::string& field_path, const std::string& type, const std::string& reason,
                const std::string& message) override {
    ObjectReference object;
    object.kind = "Pod";
    object.apiVersion = "v1";
    object.namespace_ = pod.metadata.namespace_;
    object.name = pod.metadata.name;
    object.uid = pod.metadata.uid;
    object.resourceVersion = pod.metadata.resourceVersion;
    object.fieldPath = field_path;
    Record(std::move(object), type, reason, message);
  }

  void NodeEvent(const std::string& type, const std::string& reason, const std::string& message) override {
    ObjectReference object;
    object.kind = "Node";
    object.apiVersion = "v1";
    object.name = node_name_;
    object.uid = node_name_;  // the kubelet's way: `kubectl describe node` finds them by it
    Record(std::move(object), type, reason, message);
  }

  Task<void> Stop() override {
    stopping_ = true;
    stop_by_ = steady_clock::now() + kStopLimit;
    wake_.Set();
    stop_.Set();
    co_await group_.Join();
  }

 private:
  void Record(ObjectReference object, const std::string& type, const std::string& reason, const std::string& message);
  Task<void> Send();
  Task<void> SendOne(CorrelatedEvent item);
  Task<absl::Status> Try(CorrelatedEvent& item);
  bool GivenUp() const { return stopping_ && steady_clock::now() >= stop_by_; }

  Client& client_;
  const std::string node_name_;
  SignalEvent wake_;
  SignalEvent stop_;
  TaskGroup group_;
  EventCorrelator correlator_;
  std::deque<Event> queue_;
  std::uint64_t dropped_ = 0;
  std::int64_t last_name_nanos_ = 0;
  bool stopping_ = false;
  SteadyTime stop_by_ = SteadyTime::max();
};

void NodeEventRecorder::Record(ObjectReference object, const std::string& type, const std::string& reason,
                               const std::string& message) {
  V(2, "Event", {{"object", object.namespace_ + "/" + object.name}, {"reason", reason}, {"message", message}});
  if (stopping_) return;
  if (queue_.size() >= kMaxQueue) {
    if (dropped_++ % kMaxQueue == 0) Warn("Events are dropped: the queue is full", {{"dropped", dropped_}});
    return;
  }
  const Time now = Now();
  Event event;
  event.metadata.namespace_ = object.namespace_.empty() ? "default" : object.namespace_;
  // Two of the same nanosecond would have one name.
  last_name_nanos_ = std::max(last_name_nanos_ + 1, now.unix_nanos);
  event.metadata.name = absl::StrCat(object.name, ".", absl::Hex(last_name_nanos_));
  event.involvedObject = std::move(object);
  event.type = type;
  event.reason = reason;
  event.message = message.substr(0, kMaxMessage);
  event.source = {"kubelet", node_name_};
  event.reportingComponent = "kubelet";
  event.reportingInstance = node_name_;
  event.firstTimestamp = now;
  event.lastTimestamp = now;
  event.count = 1;
  queue_.push_back(std::move(event));
  wake_.Set();
}

Task<void> NodeEventRecorder::Send() {
  while (true) {
    while (!queue_.empty() && !GivenUp()) {
      Event event = std::move(queue_.front());
      queue_.pop_front();
      auto item = correlator_.Correlate(std::move(event), steady_clock::now());
      if (item) co_await SendOne(*std::move(item));
    }
    if (stopping_) co_return;
    co_await wake_.Wait();
  }
}

Task<absl::Status> NodeEventRecorder::Try(CorrelatedEvent& item) {
  if (!item.existing_name.empty()) {
    const auto patched =
        co_await client_.PatchEvent(item.event.metadata.namespace_, item.existing_name, CountPatch(item.event));
    if (!absl::IsNotFound(patched.status())) co_return patched.status();
    // It has outlived its hour in etcd; the count goes on under a new name.
    item.existing_name.clear();
  }
  const auto created = co_await client_.CreateEvent(item.event);
  if (created.ok()) correlator_.Remember(item.key, item.event.metadata.name);
  co_return created.status();
}

Task<void> NodeEventRecorder::SendOne(CorrelatedEvent item) {
  Backoff backoff(kFirstRetry, kMostRetry);
  for (int tries = 1;; ++tries) {
    const absl::Status status = co_await Try(item);
    if (status.ok()) co_return;
    const bool no_answer = HttpCodeOf(status) == 0;
    if (no_answer && tries < kMaxTries && !GivenUp() && !stopping_) {
      co_await stop_.WaitUntil(steady_clock::now() + backoff.Next());
      continue;
    }
    // A namespace on its way out takes no new objects: that is its business, not a failure of ours.
    const bool expected =
        HasApiCause(status, "NamespaceTerminating") || absl::IsAlreadyExists(status) || absl::IsNotFound(status);
    if (expected) {
      V(4, "Event refused", {{"event", item.event.metadata.name}, {"err", std::string(status.message())}});
    } else {
      Warn(
          "Event lost",
          {{"event", item.event.metadata.name}, {"reason", item.event.reason}, {"err", std::string(status.message())}});
    }
    co_return;
  }
}

}  // namespace

std::unique_ptr<EventRecorder> NewEventRecorder(Client& client, Loop& loop, std::string node_name) {
  return std::make_unique<NodeEventRecorder>(client, loop, std::move(node_name));
}

}  // namespace burstlet::kube
