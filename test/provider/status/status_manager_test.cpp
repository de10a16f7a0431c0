#include "provider/status/status_manager.h"

#include <catch2/catch.hpp>
#include <deque>
#include <memory>
#include <string>
#include <vector>

#include "kube/async/signal_event.h"
#include "test/provider/loop_runner.h"

namespace burstlet::provider {
namespace {

using PodPtr = std::shared_ptr<const kube::Pod>;

PodPtr MakePod(const std::string& version, const std::string& phase = "Pending") {
  auto pod = std::make_shared<kube::Pod>();
  pod->metadata.name = "web";
  pod->metadata.namespace_ = "default";
  pod->metadata.uid = "uid-1";
  pod->metadata.resourceVersion = version;
  pod->status.phase = phase;
  return pod;
}

kube::PodStatus Phase(const std::string& phase, const std::string& message = "") {
  kube::PodStatus status;
  status.phase = phase;
  status.message = message;
  return status;
}

/// Records writes, answers from a script, and can hold a write until it is let go.
class FakeSink final : public StatusSink {
 public:
  explicit FakeSink(kube::Loop& loop) : arrived(loop), release(loop) {}

  kube::Task<absl::StatusOr<kube::Pod>> Write(PodPtr pod, kube::PodStatus previous, kube::PodStatus next) override {
    log.push_back("write " + next.phase + (next.message.empty() ? "" : " " + next.message));
    from.push_back(previous.phase);
    ++in_flight;
    CHECK(in_flight == 1);
    arrived.Set();
    if (hold) co_await release.Wait();
    --in_flight;
    if (!errors.empty()) {
      const absl::Status error = errors.front();
      errors.pop_front();
      co_return error;
    }
    kube::Pod stored = *pod;
    stored.metadata.resourceVersion = std::to_string(++version);
    stored.status = next;
    if (respell) stored.status.message += " (as stored)";
    co_return stored;
  }

  kube::Task<absl::Status> Delete(PodPtr pod) override {
    log.push_back("delete " + pod->metadata.name);
    arrived.Set();
    if (errors.empty()) co_return absl::OkStatus();
    const absl::Status error = errors.front();
    errors.pop_front();
    co_return error;
  }

  std::vector<std::string> log;
  std::vector<std::string> from;
  std::deque<absl::Status> errors;
  kube::SignalEvent arrived;
  kube::SignalEvent release;
  bool hold = false;
  bool respell = false;
  int in_flight = 0;
  int version = 100;
};

struct Fixture {
  Fixture() : tasks(loop), sink(loop), manager(NewStatusManager(loop, tasks, sink)) {}

  /// Until nothing is left to write.
  kube::Task<void> Settle() {
    co_await Turns(loop, 5);
    co_await tasks.Join();
    co_await Turns(loop, 2);
  }

  kube::Loop loop;
  kube::TaskGroup tasks;
  FakeSink sink;
  std::unique_ptr<StatusManager> manager;
};

using Log = std::vector<std::string>;

kube::Task<void> NewestWins(Fixture& f) {
  f.sink.hold = true;
  f.manager->Observe(MakePod("7"));
  f.manager->Set(MakePod("7"), Phase("Pending", "1"));
  co_await f.sink.arrived.Wait();
  f.manager->Set(MakePod("7"), Phase("Running", "2"));
  f.manager->Set(MakePod("7"), Phase("Running", "3"));
  f.sink.hold = false;
  f.sink.release.Set();
  co_await f.Settle();
  CHECK(f.sink.log == Log{"write Pending 1", "write Running 3"});
  CHECK(f.sink.from == Log{"Pending", "Pending"});
}

kube::Task<void> EqualIsNotWritten(Fixture& f) {
  f.manager->Observe(MakePod("7", "Running"));
  f.manager->Set(MakePod("7", "Running"), Phase("Running"));
  co_await f.Settle();
  CHECK(f.sink.log.empty());
  int stored = 0;
  f.manager->WhenStored("uid-1", [&] { ++stored; });
  co_await f.Settle();
  CHECK(stored == 1);
}

kube::Task<void> SubSecondTimesAreNotWritten(Fixture& f) {
  auto pod = std::make_shared<kube::Pod>(*MakePod("7", "Running"));
  pod->status.startTime = kube::Time{5'000'000'000};
  f.manager->Observe(pod);
  kube::PodStatus status = Phase("Running");
  status.startTime = kube::Time{5'123'456'789};
  f.manager->Set(pod, status);
  co_await f.Settle();
  CHECK(f.sink.log.empty());
}

kube::Task<void> FailuresAreRetried(Fixture& f) {
  f.sink.errors = {absl::UnavailableError("no connection"), absl::UnavailableError("no connection")};
  std::vector<std::string> acknowledged;
  f.manager->OnStored(
      [&](const std::string& uid, const kube::PodStatus& status) { acknowledged.push_back(uid + " " + status.phase); });
  int stored = 0;
  f.manager->Set(MakePod("7"), Phase("Running"));
  f.manager->WhenStored("uid-1", [&] { ++stored; });
  co_await f.Settle();
  CHECK(f.sink.log == Log{"write Running", "write Running", "write Running"});
  CHECK(acknowledged == Log{"uid-1 Running"});
  CHECK(stored == 1);
}

kube::Task<void> GoneEndsAllWaits(Fixture& f) {
  f.sink.errors = {absl::NotFoundError("pods \"web\" not found")};
  int stored = 0;
  f.manager->Set(MakePod("7"), Phase("Running"));
  f.manager->WhenStored("uid-1", [&] { ++stored; });
  co_await f.Settle();
  CHECK(stored == 1);
  f.manager->Set(MakePod("7"), Phase("Failed"));
  f.manager->DeletePod(MakePod("7"));
  co_await f.Settle();
  CHECK(f.sink.log == Log{"write Running"});
}

kube::Task<void> ForgetEndsABackOff(Fixture& f) {
  for (int i = 0; i < 100; ++i) f.sink.errors.push_back(absl::UnavailableError("no connection"));
  int stored = 0;
  f.manager->Set(MakePod("7"), Phase("Running"));
  f.manager->WhenStored("uid-1", [&] { ++stored; });
  co_await f.sink.arrived.Wait();
  co_await Turns(f.loop, 5);
  f.manager->Forget("uid-1");
  co_await f.Settle();
  CHECK(stored == 1);
  CHECK_FALSE(f.manager->Get("uid-1").has_value());
}

kube::Task<void> DeleteComesAfterTheTerminalStatus(Fixture& f) {
  f.sink.errors = {absl::UnavailableError("no connection")};
  f.manager->Set(MakePod("7", "Running"), Phase("Succeeded"));
  f.manager->DeletePod(MakePod("7", "Running"));
  co_await f.Settle();
  CHECK(f.sink.log == Log{"write Succeeded", "write Succeeded", "delete web"});
}

kube::Task<void> DeleteIsRetried(Fixture& f) {
  f.manager->Set(MakePod("7", "Running"), Phase("Failed"));
  co_await f.Settle();
  f.sink.errors = {absl::UnavailableError("no connection"), absl::PermissionDeniedError("not yet")};
  f.manager->DeletePod(MakePod("7", "Running"));
  co_await f.Settle();
  CHECK(f.sink.log == Log{"write Failed", "delete web", "delete web", "delete web"});
}

kube::Task<void> ForeignChangesAreReconciled(Fixture& f) {
  f.manager->Set(MakePod("7"), Phase("Running"));
  co_await f.Settle();
  // Our own write as the watch shows it, and an event from before it.
  f.manager->Observe(MakePod("101", "Running"));
  f.manager->Observe(MakePod("8", "Pending"));
  co_await f.Settle();
  CHECK(f.sink.log == Log{"write Running"});
  f.manager->Observe(MakePod("205", "Unknown"));
  co_await f.Settle();
  CHECK(f.sink.log == Log{"write Running", "write Running"});
  CHECK(f.sink.from.back() == "Unknown");
}

kube::Task<void> TheServersSpellingIsAccepted(Fixture& f) {
  f.sink.respell = true;
  f.manager->Set(MakePod("7"), Phase("Running", "hello"));
  co_await f.Settle();
  auto shown = std::make_shared<kube::Pod>(*MakePod("150", "Running"));
  shown->status.message = "hello (as stored)";
  f.manager->Observe(shown);
  co_await f.Settle();
  CHECK(f.sink.log == Log{"write Running hello"});
}

kube::Task<void> StopEndsRetries(Fixture& f) {
  for (int i = 0; i < 100; ++i) f.sink.errors.push_back(absl::UnavailableError("no connection"));
  f.manager->Set(MakePod("7"), Phase("Running"));
  co_await f.sink.arrived.Wait();
  co_await Turns(f.loop, 3);
  f.manager->Stop();
  co_await f.tasks.Join();
  CHECK(f.sink.log.size() <= 2);
  CHECK(f.manager->Get("uid-1")->phase == "Running");
}

void Run(kube::Task<void> (*scenario)(Fixture&)) {
  Fixture fixture;
  RunOnLoop(fixture.loop, scenario(fixture));
}

}  // namespace

TEST_CASE("the newest status wins and one write is in flight", "[status_manager]") { Run(NewestWins); }
TEST_CASE("a status that is stored already is not written", "[status_manager]") { Run(EqualIsNotWritten); }
TEST_CASE("times are compared at the server's precision", "[status_manager]") { Run(SubSecondTimesAreNotWritten); }
TEST_CASE("a failed write is repeated until it is stored", "[status_manager]") { Run(FailuresAreRetried); }
TEST_CASE("a pod that is gone ends all waits", "[status_manager]") { Run(GoneEndsAllWaits); }
TEST_CASE("forgetting a pod ends its back-off", "[status_manager]") { Run(ForgetEndsABackOff); }
TEST_CASE("the final delete comes after the terminal status", "[status_manager]") {
  Run(DeleteComesAfterTheTerminalStatus);
}
TEST_CASE("the final delete is repeated until it is done", "[status_manager]") { Run(DeleteIsRetried); }
TEST_CASE("what others change of ours is put back", "[status_manager]") { Run(ForeignChangesAreReconciled); }
TEST_CASE("the server's own spelling is not fought", "[status_manager]") { Run(TheServersSpellingIsAccepted); }
TEST_CASE("stopping ends retries", "[status_manager]") { Run(StopEndsRetries); }

}  // namespace burstlet::provider
