#include "provider/node_controller.h"

#include <algorithm>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "kube/async/signal_event.h"
#include "kube/backoff.h"
#include "kube/json.h"
#include "kube/patch.h"
#include "kube/reflector.h"
#include "metrics/log.h"
#include "metrics/status.h"
#include "provider/node_lease.h"

namespace burstlet::provider {
namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;

constexpr milliseconds kFirstRetry{100};
constexpr milliseconds kLongestRetry{7'000};
constexpr char kAttachDetachAnnotation[] = "volumes.kubernetes.io/controller-managed-attach-detach";

kube::Time WallClock() {
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  return kube::Time{std::chrono::duration_cast<std::chrono::nanoseconds>(now).count()};
}

/// Resource versions are numbers that grow (KEP-5504); a new UID is news whatever its number.
bool Newer(const kube::Node& candidate, const kube::Node* known) {
  if (known == nullptr || candidate.metadata.uid != known->metadata.uid) return true;
  const std::string& a = candidate.metadata.resourceVersion;
  const std::string& b = known->metadata.resourceVersion;
  return a.size() != b.size() ? a.size() > b.size() : a > b;
}

double UnixSeconds() { return static_cast<double>(WallClock().unix_nanos) / 1e9; }

bool Ready(const kube::NodeStatus& status) {
  return std::any_of(status.conditions.begin(), status.conditions.end(),
                     [](const auto& condition) { return condition.type == "Ready" && condition.status == "True"; });
}

std::string TaintText(const kube::Taint& taint) {
  return absl::StrCat(taint.key, taint.value.empty() ? "" : "=", taint.value, ":", taint.effect);
}

/// Logs the start and the end of a trouble, not every try of it.
class OutageLog {
 public:
  explicit OutageLog(const char* what) : what_(what) {}
  void Failed(const absl::Status& status) {
    if (failing_) {
      V(2, what_, {{"err", std::string(status.message())}});
    } else {
      Warn(what_, {{"err", std::string(status.message())}});
    }
    failing_ = true;
  }
  void Worked() {
    if (failing_) Info("Works again", {{"after", what_}});
    failing_ = false;
  }

 private:
  const char* what_;
  bool failing_ = false;
};

class ApiNodeController final : public NodeController {
 public:
  ApiNodeController(kube::Client& client, kube::Loop& loop, kube::TaskGroup& tasks, const NodeInfo& info,
                    NodeControllerConfig config, std::function<NodeConditionsInput()> input,
                    kube::EventRecorder* events)
      : client_(client),
        loop_(loop),
        tasks_(tasks),
        info_(info),
        config_(config),
        input_(std::move(input)),
        events_(events),
        wake_(loop),
        lease_wake_(loop),
        first_registration_(loop),
        lease_(client, info.name, config.lease_duration_seconds) {}

  void Start() override {
    Event("Normal", "Starting", "Starting kubelet.");
    tasks_.Spawn("node status", RunStatus());
    tasks_.Spawn("node lease", RunLease());
    tasks_.Spawn("own node", Watch());
  }

  void Stop() override {
    stopping_ = true;
    cancel_.Cancel();
    wake_.Set();
    lease_wake_.Set();
    first_registration_.Set();
  }

  std::shared_ptr<const kube::Node> current() const override { return current_; }

  void WhenRegistered(std::function<void()> callback) override {
    if (reported_once_) {
      loop_.Post(std::move(callback));
    } else {
      when_registered_.push_back(std::move(callback));
    }
  }

  void Refresh() override { wake_.Set(); }

 private:
  kube::Task<void> RunStatus() {
    kube::Backoff backoff(kFirstRetry, kLongestRetry);
    while (!stopping_) {
      absl::Status status = absl::OkStatus();
      if (!registered_) status = co_await Register();
      if (status.ok() && !stopping_) status = co_await Report();
      if (stopping_) co_return;
      milliseconds delay = config_.update_frequency;
      if (status.ok()) {
        backoff.Reset();
        outage_.Worked();
      } else {
        outage_.Failed(status);
        delay = std::min(backoff.Next(), std::max(kLongestRetry, delay));
      }
      co_await wake_.WaitUntil(steady_clock::now() + delay);
    }
  }

  /// Creates the Node, or makes an existing one ours.
  kube::Task<absl::Status> Register() {
    if (config_.startup != nullptr) config_.startup->Attempted(UnixSeconds());
    const bool may_create = config_.register_node && (config_.recreate_node || !ever_registered_);
    if (may_create) {
      absl::StatusOr<kube::Node> created = co_await client_.CreateNode(InitialNode());
      if (created.ok()) {
        Info("Registered node", {{"node", info_.name}});
        if (config_.startup != nullptr) config_.startup->Registered(UnixSeconds());
        TakeRegistered(*std::move(created));
        last_report_ = steady_clock::now();
        co_return absl::OkStatus();
      }
      // 403 may only mean "no create": the Node can be there all the same.
      const absl::StatusCode code = created.status().code();
      if (code != absl::StatusCode::kAlreadyExists && code != absl::StatusCode::kPermissionDenied) {
        co_return Annotate(created.status(), "registering the node");
      }
    }
    absl::StatusOr<kube::Node> existing = co_await client_.GetNode(info_.name);
    if (!existing.ok()) co_return Annotate(existing.status(), "looking for the node");
    absl::Status adopted = co_await Adopt(*std::move(existing));
    co_return adopted;
  }

  kube::Task<absl::Status> Adopt(kube::Node node) {
    kube::ObjectMeta wanted = node.metadata;
    for (const auto& [key, value] : info_.labels) wanted.labels[key] = value;
    wanted.annotations[kAttachDetachAnnotation] = "true";
    std::string patch = kube::MetadataPatch(node.metadata, wanted);
    const std::string old_boot = node.status.nodeInfo.bootID;
    if (!patch.empty()) {
      absl::StatusOr<kube::Node> patched = co_await client_.PatchNode(info_.name, std::move(patch));
      if (!patched.ok()) co_return Annotate(patched.status(), "reconciling the node's labels");
      node = *std::move(patched);
    }
    Info("Adopted node", {{"node", info_.name}});
    if (!old_boot.empty() && old_boot != info_.system.bootID) {
      Event("Warning", "Rebooted",
            absl::StrCat("Node ", info_.name, " has been rebooted, boot id: ", info_.system.bootID));
    }
    TakeRegistered(std::move(node));
    co_return absl::OkStatus();
  }

  /// Sends the status when it has changed, or when it is time.
  kube::Task<absl::Status> Report() {
    if (!current_) co_return absl::OkStatus();
    const kube::NodeStatus before = current_->status;
    const kube::NodeStatus next = BuildNodeStatus(info_, input_(), before, WallClock());
    const bool due = !last_report_ || steady_clock::now() - *last_report_ >= config_.report_frequency;
    if (!due && !NodeStatusChanged(before, next)) {
      Reported();
      co_return absl::OkStatus();
    }
    std::string patch = kube::NodeStatusPatch(before, next);
    if (!patch.empty()) {
      absl::StatusOr<kube::Node> stored = co_await client_.PatchNodeStatus(info_.name, std::move(patch));
      if (stored.status().code() == absl::StatusCode::kNotFound) Lost();
      if (!stored.ok()) co_return Annotate(stored.status(), "patching the node's status");
      if (Ready(before) != Ready(next)) EventReady(Ready(next));
      Take(*std::move(stored));
    }
    last_report_ = steady_clock::now();
    Reported();
    co_return absl::OkStatus();
  }

  kube::Task<void> RunLease() {
    kube::Backoff backoff(kFirstRetry, kLongestRetry);
    OutageLog outage("Cannot renew the node's lease");
    while (!stopping_) {
      steady_clock::time_point next = steady_clock::time_point::max();
      if (registered_ && current_) {
        const absl::Status status = co_await lease_.Renew(current_->metadata.uid);
        if (status.ok()) {
          backoff.Reset();
          outage.Worked();
          next = steady_clock::now() + config_.lease_renew_interval;
        } else {
          outage.Failed(status);
          next = steady_clock::now() + backoff.Next();
        }
      }
      if (stopping_) co_return;
      co_await lease_wake_.WaitUntil(next);
    }
  }

  kube::Task<void> Watch() {
    // A LIST that overtakes the registration would look like a deletion.
    co_await first_registration_.Wait();
    if (stopping_) co_return;
    kube::ReflectorHandlers handlers;
    handlers.replace = [this](std::vector<std::string> objects) {
      if (objects.empty()) {
        if (registered_) Lost();
      } else {
        Observed(objects.front());
      }
    };
    handlers.changed = [this](std::string object) { Observed(object); };
    handlers.deleted = [this](std::string object) {
      const absl::StatusOr<kube::ObjectHead> head = kube::DecodeHead(object);
      if (head.ok() && current_ && head->metadata.uid == current_->metadata.uid) Lost();
    };
    std::string selector = "fieldSelector=metadata.name%3D" + info_.name;
    co_await kube::RunReflector(client_, loop_, "node", "/api/v1/nodes", std::move(selector), std::move(handlers),
                                cancel_);
  }

  void Observed(const std::string& json) {
    absl::StatusOr<kube::Node> node = kube::Decode<kube::Node>(json);
    if (!node.ok()) return LogIfError(node.status(), "Own node from the watch");
    if (!Newer(*node, current_.get())) return;
    const bool other = !current_ || node->metadata.uid != current_->metadata.uid;
    const bool was_ready = current_ && Ready(current_->status);
    const bool ready = Ready(node->status);
    Take(*std::move(node));
    if (!registered_) {
      wake_.Set();  // there it is: adopt it now
    } else if (other || (was_ready && !ready)) {
      // Replaced, or marked not ready after an outage: say at once how it is.
      wake_.Set();
      lease_wake_.Set();
    }
  }

  kube::Node InitialNode() const {
    kube::Node node;
    node.metadata.name = info_.name;
    node.metadata.labels = info_.labels;
    node.metadata.annotations[kAttachDetachAnnotation] = "true";
    node.spec.taints = info_.taints;
    node.status = BuildNodeStatus(info_, input_(), kube::NodeStatus{}, WallClock());
    return node;
  }

  void TakeRegistered(kube::Node node) {
    registered_ = true;
    ever_registered_ = true;
    last_report_.reset();
    Take(std::move(node));
    lease_wake_.Set();
    first_registration_.Set();
  }

  void Take(kube::Node node) {
    current_ = std::make_shared<const kube::Node>(std::move(node));
    CompareTaints();
  }

  /// Said once per difference: a node may not repair it itself.
  void CompareTaints() {
    std::vector<std::string> missing;
    for (const kube::Taint& taint : info_.taints) {
      const bool there =
          std::any_of(current_->spec.taints.begin(), current_->spec.taints.end(), [&](const auto& other) {
            return other.key == taint.key && other.value == taint.value && other.effect == taint.effect;
          });
      if (!there) missing.push_back(TaintText(taint));
    }
    std::string text = absl::StrJoin(missing, ",");
    if (text != missing_taints_ && !text.empty()) {
      Warn("The Node lacks taints that are configured, and a node may not change its own", {{"taints", text}});
    }
    missing_taints_ = std::move(text);
  }

  void Lost() {
    if (!registered_) return;
    registered_ = false;
    current_.reset();
    if (config_.register_node && config_.recreate_node) {
      Warn("The Node was deleted: registering it again", {{"node", info_.name}});
    } else {
      Warn("The Node was deleted", {{"node", info_.name}});
    }
    wake_.Set();
  }

  void Reported() {
    if (config_.startup != nullptr && current_ && Ready(current_->status)) config_.startup->Ready(UnixSeconds());
    if (reported_once_) return;
    reported_once_ = true;
    for (auto& callback : when_registered_) loop_.Post(std::move(callback));
    when_registered_.clear();
  }

  void Event(const std::string& type, const std::string& reason, const std::string& message) {
    if (events_ != nullptr) events_->NodeEvent(type, reason, message);
  }
  void EventReady(bool ready) {
    const std::string word = ready ? "NodeReady" : "NodeNotReady";
    Event("Normal", word, absl::StrCat("Node ", info_.name, " status is now: ", word));
  }

  kube::Client& client_;
  kube::Loop& loop_;
  kube::TaskGroup& tasks_;
  const NodeInfo& info_;
  const NodeControllerConfig config_;
  const std::function<NodeConditionsInput()> input_;
  kube::EventRecorder* const events_;

  kube::SignalEvent wake_;
  kube::SignalEvent lease_wake_;
  kube::SignalEvent first_registration_;
  kube::CancelToken cancel_;
  NodeLease lease_;
  OutageLog outage_{"Cannot keep the node registered"};

  std::shared_ptr<const kube::Node> current_;
  std::optional<steady_clock::time_point> last_report_;
  std::vector<std::function<void()>> when_registered_;
  std::string missing_taints_;
  bool registered_ = false;
  bool ever_registered_ = false;
  bool reported_once_ = false;
  bool stopping_ = false;
};

}  // namespace

std::unique_ptr<NodeController> NewNodeController(kube::Client& client, kube::Loop& loop, kube::TaskGroup& tasks,
                                                  const NodeInfo& info, NodeControllerConfig config,
                                                  std::function<NodeConditionsInput()> input,
                                                  kube::EventRecorder* events) {
  return std::make_unique<ApiNodeController>(client, loop, tasks, info, config, std::move(input), events);
}

}  // namespace burstlet::provider
