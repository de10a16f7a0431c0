// A pod's containers from start to removal, on the real kernel.
#include "test/sandbox/sandbox_fixture.h"

#include <fcntl.h>
#include <csignal>

#include "metrics/status.h"

namespace burstlet::sandbox::test {

TEST_CASE("a container runs, writes its log and reports its exit code", "[root]") {
  SKIP_UNLESS_ROOT;
  Fixture fixture;
  Sandbox& sandbox = fixture.Create(fixture.PodSpec("pod-a"));
  ContainerSpec spec = fixture.ShellSpec("c1", "echo hello; echo oops >&2; exit 7");
  ContainerState state = fixture.Run(sandbox, spec);
  CHECK(state.exit_code == 7);
  CHECK(state.signal == 0);
  CHECK(state.finished_at >= state.started_at);
  CHECK(LogText(spec.log_path, "stdout") == "hello\n");
  CHECK(LogText(spec.log_path, "stderr") == "oops\n");
  auto events = sandbox.ReadEvents();
  REQUIRE(events.ok());
  REQUIRE(events->size() == 1);
  CHECK((*events)[0].exit_code == 7);
  CHECK(sandbox.RemoveContainer("c1").ok());
  CHECK(sandbox.Containers()->empty());
  CHECK(sandbox.Remove().ok());
  CHECK(sandbox.Remove().ok());
}

TEST_CASE("a program that is missing or not executable is a StartError", "[root]") {
  SKIP_UNLESS_ROOT;
  Fixture fixture;
  Sandbox& sandbox = fixture.Create(fixture.PodSpec("pod-a"));
  auto missing = sandbox.Start(fixture.CommandSpec("c1", {"nonsense"}));
  CHECK(absl::IsNotFound(missing.status()));
  CHECK(ReasonOf(missing.status()) == "StartError");
  CHECK(std::string(missing.status().message()) == "exec: \"nonsense\": executable file not found in $PATH");
  auto denied = sandbox.Start(fixture.CommandSpec("c2", {"/etc/passwd"}));
  CHECK(absl::IsPermissionDenied(denied.status()));
  CHECK(ReasonOf(denied.status()) == "StartError");
  CHECK(sandbox.Containers()->empty());
  // The same sandbox still works, and the failed ids are free again.
  CHECK(fixture.Run(sandbox, fixture.ShellSpec("c1", "exit 3")).exit_code == 3);
  CHECK(sandbox.Remove().ok());
}

TEST_CASE("signals reach the container's first process, which is PID 1 of its namespace", "[root]") {
  SKIP_UNLESS_ROOT;
  Fixture fixture;
  Sandbox& sandbox = fixture.Create(fixture.PodSpec("pod-a"));
  ContainerSpec spec = fixture.ShellSpec("c1", "trap 'exit 42' TERM; echo pid $$; while :; do sleep 0.01; done");
  auto started = sandbox.Start(spec);
  REQUIRE(started.ok());
  CHECK(started->phase == ContainerPhase::kRunning);
  CHECK(started->pid > 1);
  CHECK(sandbox.Stats(StatsDetail::kUsage)->containers.size() == 1);
  fixture.AwaitLog(spec.log_path, "pid");
  CHECK(LogText(spec.log_path) == "pid 1\n");
  CHECK(sandbox.Signal("c1", SIGTERM).ok());
  CHECK(fixture.AwaitExit(sandbox, "c1").exit_code == 42);
  CHECK(absl::IsNotFound(sandbox.Signal("c1", SIGTERM)));

  REQUIRE(sandbox.Start(fixture.ShellSpec("c2", "sleep 1000")).ok());
  CHECK(absl::IsFailedPrecondition(sandbox.RemoveContainer("c2")));
  CHECK(sandbox.Kill("c2").ok());
  ContainerState killed = fixture.AwaitExit(sandbox, "c2");
  CHECK(killed.exit_code == 137);
  CHECK(killed.signal == SIGKILL);
  CHECK_FALSE(killed.oom_killed);
  CHECK(sandbox.Remove().ok());
}

TEST_CASE("a restarted agent adopts running pods and learns of exits that happened meanwhile", "[root]") {
  SKIP_UNLESS_ROOT;
  Fixture fixture;
  SandboxSpec pod = fixture.PodSpec("pod-a");
  pod.labels = {{"name", "web"}, {"namespace", "default"}};
  Sandbox& sandbox = fixture.Create(pod);
  REQUIRE(
      sandbox.Start(fixture.ShellSpec("stays", "echo started; trap 'exit 9' TERM; while :; do sleep 0.01; done")).ok());
  ContainerSpec ends = fixture.ShellSpec("ends", "cat /tmp/gate; exit 5");
  std::string gate = fixture.root + "/gate";
  REQUIRE(::mkfifo(gate.c_str(), 0600) == 0);
  ends.mounts = {{"", gate, "", "/tmp/gate", false, false, Propagation::kPrivate}};
  REQUIRE(sandbox.Start(ends).ok());
  fixture.sandboxes.clear();
  fixture.Close();
  fixture.AwaitLog(fixture.LogPath("stays"), "started");
  // The exit happens while no agent is there; opening the FIFO for writing waits for the reader.
  UniqueFd writer(::open(gate.c_str(), O_WRONLY | O_CLOEXEC));
  writer.Reset();

  fixture.Open();
  REQUIRE(fixture.recovered.size() == 1);
  CHECK(fixture.recovered[0].spec.labels == pod.labels);
  REQUIRE(fixture.recovered[0].sandbox != nullptr);
  Sandbox& again = *fixture.recovered[0].sandbox;
  CHECK(again.id() == "pod-a");
  ContainerState ended = fixture.AwaitExit(again, "ends");
  CHECK(ended.exit_code == 5);
  CHECK(again.Signal("stays", SIGTERM).ok());
  CHECK(fixture.AwaitExit(again, "stays").exit_code == 9);
  CHECK(again.ReopenLog("stays").ok());
  CHECK(again.Remove().ok());
}

TEST_CASE("a pod whose warden was killed is gone, and says so", "[root]") {
  SKIP_UNLESS_ROOT;
  Fixture fixture;
  Sandbox& sandbox = fixture.Create(fixture.PodSpec("pod-a"));
  auto started = sandbox.Start(fixture.ShellSpec("c1", "sleep 1000"));
  REQUIRE(started.ok());
  // The parent of the container's first process is the warden.
  std::string stat = Slurp(absl::StrCat("/proc/", started->pid, "/stat"));
  int warden = std::stoi(stat.substr(stat.rfind(')') + 4));
  REQUIRE(::kill(warden, SIGKILL) == 0);
  pollfd poll_fd{sandbox.event_fd(), POLLIN, 0};
  REQUIRE(::poll(&poll_fd, 1, 10000) == 1);
  absl::StatusOr<std::vector<ContainerState>> events = std::vector<ContainerState>();
  while (events.ok()) events = sandbox.ReadEvents();
  CHECK(ReasonOf(events.status()) == "ContainerStatusUnknown");
  CHECK(sandbox.Remove().ok());
  CHECK(::kill(started->pid, 0) != 0);
}

}  // namespace burstlet::sandbox::test
