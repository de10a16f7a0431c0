#include "test/provider/node/fake_api.h"

#include "absl/strings/str_cat.h"
#include "kube/json.h"

namespace burstlet::provider {

kube::Task<absl::StatusOr<kube::Response>> FakeApi::Do(std::string method, std::string path, std::string,
                                                       std::string body, std::chrono::milliseconds) {
  requests_.push_back({method + " " + path, body});
  arrived_.Set();
  // Answers come in a later turn, as from a network.
  kube::SteadyTime now = std::chrono::steady_clock::now();
  co_await kube::SleepUntil(loop_, now);
  for (auto& [prefix, script] : failures) {
    if (script.empty() || (method + " " + path).rfind(prefix, 0) != 0) continue;
    const absl::Status failure = script.front();
    script.pop_front();
    co_return failure;
  }
  absl::StatusOr<std::string> answer = Serve(method, path, body);
  if (!answer.ok()) co_return answer.status();
  co_return kube::Response{200, *std::move(answer)};
}

kube::Task<absl::Status> FakeApi::Stream(std::string, std::function<void(std::string)> on_line,
                                         std::chrono::milliseconds, kube::CancelToken cancel) {
  cancel.OnCancel([this] { watch_changed_.Set(); });
  while (!cancel.cancelled()) {
    while (!events_.empty()) {
      const std::string event = events_.front();
      events_.pop_front();
      on_line(event);
    }
    co_await watch_changed_.Wait();
  }
  co_return absl::CancelledError("watch cancelled");
}

kube::Task<void> FakeApi::Until(std::string prefix, std::size_t count) {
  while (Count(prefix) < count) {
    co_await arrived_.Wait();
  }
}

std::size_t FakeApi::Count(const std::string& prefix) const {
  std::size_t count = 0;
  for (const Request& request : requests_) count += request.line.rfind(prefix, 0) == 0 ? 1 : 0;
  return count;
}

std::string FakeApi::LastBody(const std::string& prefix) const {
  for (auto it = requests_.rbegin(); it != requests_.rend(); ++it) {
    if (it->line.rfind(prefix, 0) == 0) return it->body;
  }
  return "";
}

void FakeApi::PutNode(kube::Node changed) {
  const bool known = node && node->metadata.uid == changed.metadata.uid && !changed.metadata.uid.empty();
  if (!known) changed.metadata.uid = "node-uid-" + std::to_string(++uids_);
  changed.metadata.resourceVersion = std::to_string(++version_);
  node = std::move(changed);
  Tell(known ? "MODIFIED" : "ADDED", *node);
}

void FakeApi::DeleteNode() {
  const kube::Node last = *node;
  node.reset();
  lease.reset();  // the garbage collector: it has lost its owner
  Tell("DELETED", last);
}

void FakeApi::Tell(const std::string& type, const kube::Node& about) {
  events_.push_back(absl::StrCat(R"({"type":")", type, R"(","object":)", kube::Encode(about), "}"));
  watch_changed_.Set();
}

absl::StatusOr<std::string> FakeApi::Serve(const std::string& method, const std::string& path,
                                           const std::string& body) {
  if (path.find("/leases") != std::string::npos) return ServeLease(method, body);
  if (path.rfind("/api/v1/nodes?", 0) == 0) {
    return absl::StrCat(R"({"kind":"NodeList","metadata":{"resourceVersion":")", version_, R"("},"items":[)",
                        node ? kube::Encode(*node) : "", "]}");
  }
  return ServeNode(method, path, body);
}

/// Patches are taken as given for what the tests look at: labels and annotations, and the status as a whole.
absl::StatusOr<std::string> FakeApi::ServeNode(const std::string& method, const std::string& path,
                                               const std::string& body) {
  if (method == "POST") {
    if (node) return absl::AlreadyExistsError("nodes \"node-1\" already exists");
    absl::StatusOr<kube::Node> created = kube::Decode<kube::Node>(body);
    if (!created.ok()) return created.status();
    PutNode(*std::move(created));
    return kube::Encode(*node);
  }
  if (!node) return absl::NotFoundError("nodes \"node-1\" not found");
  if (method == "PATCH") {
    absl::StatusOr<kube::Node> patch = kube::Decode<kube::Node>(body);
    if (!patch.ok()) return patch.status();
    kube::Node changed = *node;
    if (path.ends_with("/status")) {
      for (const kube::NodeCondition& condition : patch->status.conditions) {
        std::erase_if(changed.status.conditions, [&](const auto& old) { return old.type == condition.type; });
        changed.status.conditions.push_back(condition);
      }
      if (!patch->status.nodeInfo.bootID.empty()) changed.status.nodeInfo.bootID = patch->status.nodeInfo.bootID;
      for (const auto& [name, quantity] : patch->status.capacity) changed.status.capacity[name] = quantity;
      for (const auto& [name, quantity] : patch->status.allocatable) changed.status.allocatable[name] = quantity;
    } else {
      for (const auto& [key, value] : patch->metadata.labels) changed.metadata.labels[key] = value;
      for (const auto& [key, value] : patch->metadata.annotations) changed.metadata.annotations[key] = value;
    }
    PutNode(std::move(changed));
  }
  return kube::Encode(*node);
}

absl::StatusOr<std::string> FakeApi::ServeLease(const std::string& method, const std::string& body) {
  if (method == "POST" && lease) return absl::AlreadyExistsError("lease exists");
  if (method != "POST" && !lease) return absl::NotFoundError("lease not found");
  if (method != "GET") {
    absl::StatusOr<kube::Lease> sent = kube::Decode<kube::Lease>(body);
    if (!sent.ok()) return sent.status();
    if (lease && sent->metadata.resourceVersion != lease->metadata.resourceVersion) {
      return absl::AbortedError("the object has been modified");
    }
    lease = *std::move(sent);
    lease->metadata.resourceVersion = std::to_string(++version_);
  }
  return kube::Encode(*lease);
}

}  // namespace burstlet::provider
