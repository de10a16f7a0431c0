#include <catch2/catch.hpp>
#include <deque>
#include <memory>
#include <string>
#include <vector>

#include "kube/json.h"
#include "provider/status/status_manager.h"
#include "test/provider/loop_runner.h"

namespace burstlet::provider {
namespace {

/// Answers from a script: the JSON of a pod, or an error.
class ScriptedClient final : public kube::Client {
 public:
  kube::Task<absl::StatusOr<kube::Response>> Do(std::string method, std::string path, std::string, std::string body,
                                                std::chrono::milliseconds) override {
    log.push_back(method + " " + path);
    bodies.push_back(body);
    if (answers.empty()) co_return absl::InternalError("no answer scripted");
    const absl::StatusOr<std::string> answer = answers.front();
    answers.pop_front();
    if (!answer.ok()) co_return answer.status();
    co_return kube::Response{200, *answer};
  }
  kube::Task<absl::Status> Stream(std::string, std::function<void(std::string)>, std::chrono::milliseconds,
                                  kube::CancelToken) override {
    co_return absl::UnimplementedError("no watch here");
  }

  std::deque<absl::StatusOr<std::string>> answers;
  std::vector<std::string> log;
  std::vector<std::string> bodies;
};

kube::Pod MakePod(const std::string& uid, const std::string& phase) {
  kube::Pod pod;
  pod.metadata.name = "web";
  pod.metadata.namespace_ = "default";
  pod.metadata.uid = uid;
  pod.status.phase = phase;
  return pod;
}

struct Fixture {
  Fixture() : sink(NewApiStatusSink(client)) {}
  kube::Task<absl::StatusOr<kube::Pod>> Write(const std::string& from, const std::string& to) {
    kube::PodStatus previous;
    previous.phase = from;
    kube::PodStatus next;
    next.phase = to;
    next.conditions.push_back({"Ready", 1, "False", {}, kube::Time{1'000'000'000}, "", ""});
    return sink->Write(std::make_shared<const kube::Pod>(MakePod("uid-1", from)), previous, next);
  }
  kube::Task<absl::Status> Delete() {
    return sink->Delete(std::make_shared<const kube::Pod>(MakePod("uid-1", "Failed")));
  }

  kube::Loop loop;
  ScriptedClient client;
  std::unique_ptr<StatusSink> sink;
};

using Log = std::vector<std::string>;
constexpr char kPatch[] = "PATCH /api/v1/namespaces/default/pods/web/status";
constexpr char kGet[] = "GET /api/v1/namespaces/default/pods/web";
constexpr char kDelete[] = "DELETE /api/v1/namespaces/default/pods/web";

kube::Task<void> OneRequestPerWrite(Fixture& f) {
  f.client.answers = {kube::Encode(MakePod("uid-1", "Running"))};
  const absl::StatusOr<kube::Pod> stored = co_await f.Write("Pending", "Running");
  CHECK(stored.ok());
  CHECK(f.client.log == Log{kPatch});
  CHECK(f.client.bodies[0].find("\"uid\":\"uid-1\"") != std::string::npos);
}

kube::Task<void> ConflictsAreMergedAfresh(Fixture& f) {
  kube::Pod fresh = MakePod("uid-1", "Pending");
  fresh.status.conditions.push_back({"example.com/gate", 0, "True", {}, {}, "", ""});
  f.client.answers = {absl::AbortedError("conflict"), kube::Encode(fresh), kube::Encode(MakePod("uid-1", "Running"))};
  const absl::StatusOr<kube::Pod> stored = co_await f.Write("Pending", "Running");
  CHECK(stored.ok());
  CHECK(f.client.log == Log{kPatch, kGet, kPatch});
  CHECK(f.client.bodies[2].find("$patch") == std::string::npos);  // the foreign condition is not deleted
}

kube::Task<void> AnotherUidIsLeftAlone(Fixture& f) {
  f.client.answers = {absl::AbortedError("Precondition failed: UID"), kube::Encode(MakePod("uid-2", "Pending"))};
  const absl::StatusOr<kube::Pod> stored = co_await f.Write("Pending", "Running");
  CHECK(stored.status().code() == absl::StatusCode::kFailedPrecondition);
  CHECK(f.client.log == Log{kPatch, kGet});
}

kube::Task<void> GoneIsSaid(Fixture& f) {
  f.client.answers = {absl::NotFoundError("pods \"web\" not found")};
  const absl::StatusOr<kube::Pod> stored = co_await f.Write("Pending", "Running");
  CHECK(stored.status().code() == absl::StatusCode::kNotFound);
}

kube::Task<void> DeletesOnlyItsOwn(Fixture& f) {
  f.client.answers = {absl::NotFoundError("gone")};
  absl::Status status = co_await f.Delete();
  CHECK(status.ok());
  CHECK(f.client.bodies[0].find("\"gracePeriodSeconds\":0") != std::string::npos);
  CHECK(f.client.bodies[0].find("uid-1") != std::string::npos);

  f.client.answers = {absl::AbortedError("Precondition failed: UID"), kube::Encode(MakePod("uid-2", "Running"))};
  status = co_await f.Delete();
  CHECK(status.ok());

  f.client.answers = {absl::AbortedError("conflict"), kube::Encode(MakePod("uid-1", "Failed"))};
  status = co_await f.Delete();
  CHECK(status.code() == absl::StatusCode::kAborted);
  CHECK(f.client.log == Log{kDelete, kDelete, kGet, kDelete, kGet});
}

void Run(kube::Task<void> (*scenario)(Fixture&)) {
  Fixture fixture;
  RunOnLoop(fixture.loop, scenario(fixture));
}

}  // namespace

TEST_CASE("a status is written with one request", "[status_manager]") { Run(OneRequestPerWrite); }
TEST_CASE("a conflicting write is merged with a fresh copy", "[status_manager]") { Run(ConflictsAreMergedAfresh); }
TEST_CASE("a status never lands on another pod of the same name", "[status_manager]") { Run(AnotherUidIsLeftAlone); }
TEST_CASE("a pod that is gone is reported as gone", "[status_manager]") { Run(GoneIsSaid); }
TEST_CASE("the final delete hits only its own pod", "[status_manager]") { Run(DeletesOnlyItsOwn); }

}  // namespace burstlet::provider
