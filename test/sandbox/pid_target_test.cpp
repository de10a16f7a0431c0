// A container in another one's pid namespace: it sees, and may not take along, what it has joined.
#include "test/sandbox/sandbox_fixture.h"

#include <csignal>

#include "metrics/status.h"

namespace burstlet::sandbox::test {
namespace {

constexpr const char* kProcesses = "for p in /proc/[0-9]*; do tr '\\0' ' ' < $p/cmdline; echo; done";

ContainerSpec Joining(const Fixture& fixture, const std::string& id, const std::string& target,
                      const std::string& script) {
  ContainerSpec spec = fixture.ShellSpec(id, script);
  spec.name = id;
  spec.pid_target = target;
  return spec;
}

}  // namespace

TEST_CASE("a container that joins another's pid namespace sees its processes, and ends alone", "[root]") {
  SKIP_UNLESS_ROOT;
  Fixture fixture;
  Sandbox& sandbox = fixture.Create(fixture.PodSpec("pod-a"));
  REQUIRE(sandbox.Start(fixture.ShellSpec("target", "exec sleep 7654")).ok());
  ContainerSpec spec = Joining(fixture, "joins", "target", absl::StrCat(kProcesses, "; sleep 8765 & wait"));
  REQUIRE(sandbox.Start(spec).ok());
  fixture.AwaitLog(spec.log_path, "sleep 7654");
  SECTION("by itself") {}
  SECTION("under an agent that has adopted it") {
    fixture.sandboxes.clear();
    fixture.Close();
    fixture.Open();
    REQUIRE(fixture.recovered.size() == 1);
    REQUIRE(fixture.recovered[0].sandbox != nullptr);
    fixture.sandboxes.push_back(std::move(fixture.recovered[0].sandbox));
  }
  Sandbox& again = *fixture.sandboxes.back();
  // Its first process is not the namespace's: the signal needs no handler, and all of it goes with Kill.
  REQUIRE(again.Kill("joins").ok());
  CHECK(Fixture::AwaitExit(again, "joins").signal == SIGKILL);
  REQUIRE(again.RemoveContainer("joins").ok());
  ContainerSpec second = Joining(fixture, "looks", "target", kProcesses);
  fixture.Run(again, second);
  CHECK(LogText(second.log_path).find("sleep 7654") != std::string::npos);
  CHECK(LogText(second.log_path).find("sleep 8765") == std::string::npos);
  REQUIRE(again.Remove().ok());
}

TEST_CASE("the end of a pid namespace is the end of who has joined it", "[root]") {
  SKIP_UNLESS_ROOT;
  Fixture fixture;
  Sandbox& sandbox = fixture.Create(fixture.PodSpec("pod-a"));
  REQUIRE(sandbox.Start(fixture.ShellSpec("target", "exec sleep 1000")).ok());
  REQUIRE(sandbox.Start(Joining(fixture, "joins", "target", "sleep 1000")).ok());
  REQUIRE(sandbox.Start(fixture.ShellSpec("other", "exec sleep 1000")).ok());
  REQUIRE(sandbox.Kill("target").ok());
  CHECK(Fixture::AwaitExit(sandbox, "joins").exit_code == 137);
  // The warden's next children are born where they belong.
  ContainerSpec own = fixture.ShellSpec("own", "echo pid $$");
  fixture.Run(sandbox, own);
  CHECK(LogText(own.log_path) == "pid 1\n");
  CHECK(ReasonOf(sandbox.Start(Joining(fixture, "late", "target", "true")).status()) == "CreateContainerError");
  auto states = sandbox.Containers();
  REQUIRE(states.ok());
  for (const ContainerState& state : *states) CHECK((state.phase == ContainerPhase::kRunning) == (state.id == "other"));
  REQUIRE(sandbox.Remove().ok());
}

}  // namespace burstlet::sandbox::test
