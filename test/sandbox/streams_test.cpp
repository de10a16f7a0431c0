// Commands in containers, terminals, standard input, attaching, and the log's format.
#include "test/sandbox/sandbox_fixture.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/ioctl.h>
#include <csignal>

#include "metrics/status.h"

namespace burstlet::sandbox::test {
namespace {

ExecExit ReadExit(int fd) {
  ExecExit exit;
  pollfd poll_fd{fd, POLLIN, 0};
  REQUIRE(::poll(&poll_fd, 1, 20000) == 1);
  REQUIRE(::read(fd, &exit, sizeof(exit)) == sizeof(exit));
  return exit;
}

/// A pod with a container that stays, and a way to run commands in it.
struct Running {
  explicit Running(Fixture& fixture, const std::function<void(ContainerSpec&)>& change = {})
      : sandbox(fixture.Create(fixture.PodSpec("pod-a"))) {
    ContainerSpec spec = fixture.ShellSpec("c1", "sleep 1000");
    if (change) change(spec);
    auto started = sandbox.Start(spec);
    INFO(started.status().ToString());
    REQUIRE(started.ok());
  }
  ExecStreams Exec(const ExecSpec& spec) {
    auto streams = sandbox.Exec("c1", spec);
    INFO(streams.status().ToString());
    REQUIRE(streams.ok());
    for (int fd : {streams->stdin_fd, streams->stdout_fd, streams->stderr_fd, streams->master_fd, streams->exit_fd})
      owned.emplace_back(fd);
    return *streams;
  }
  Sandbox& sandbox;
  std::vector<UniqueFd> owned;
};

ExecSpec Shell(const std::string& script) {
  ExecSpec spec;
  spec.args = {"sh", "-c", script};
  return spec;
}

void WriteText(int fd, const std::string& text) {
  REQUIRE(::write(fd, text.data(), text.size()) == static_cast<ssize_t>(text.size()));
}

}  // namespace

TEST_CASE("a command runs inside: its streams, its exit code, the container's view and rights", "[root]") {
  SKIP_UNLESS_ROOT;
  Fixture fixture;
  Running running(fixture, [](ContainerSpec& spec) {
    spec.user.image_user = "web";
    spec.env = {"PATH=/bin", "FROM=container"};
    spec.working_dir = "/home/web";
  });
  ExecStreams streams =
      running.Exec(Shell("echo out; echo err >&2; hostname; id -u; pwd; echo $FROM; "
                         "grep -E 'Cap(Inh|Eff)|Seccomp:' /proc/self/status; cat /proc/1/comm; exit 13"));
  CHECK(streams.stdin_fd == -1);
  CHECK(ReadToEnd(streams.stdout_fd) ==
        "out\npod-a\n1234\n/home/"
        "web\ncontainer\nCapInh:\t0000000000000000\nCapEff:\t0000000000000000\nSeccomp:\t2\nsleep\n");
  CHECK(ReadToEnd(streams.stderr_fd) == "err\n");
  ExecExit exit = ReadExit(streams.exit_fd);
  CHECK(exit.exit_code == 13);
  CHECK(exit.signal == 0);
  ExecSpec killed = Shell("kill -9 $$");
  CHECK(ReadExit(running.Exec(killed).exit_fd).exit_code == 137);
  CHECK(running.sandbox.Remove().ok());
}

TEST_CASE("a command's standard input ends when its writer closes it", "[root]") {
  SKIP_UNLESS_ROOT;
  Fixture fixture;
  Running running(fixture);
  ExecSpec spec;
  spec.args = {"cat"};
  spec.env = {"PATH=/bin"};
  spec.want_stdin = true;
  auto streams = running.sandbox.Exec("c1", spec);
  REQUIRE(streams.ok());
  UniqueFd in(streams->stdin_fd), out(streams->stdout_fd), err(streams->stderr_fd), exit(streams->exit_fd);
  WriteText(in.get(), "through the pipe");
  in.Reset();
  CHECK(ReadToEnd(out.get()) == "through the pipe");
  CHECK(ReadExit(exit.get()).exit_code == 0);
  CHECK(running.sandbox.Remove().ok());
}

TEST_CASE("a command that does not exist is told as such, and leaves nothing", "[root]") {
  SKIP_UNLESS_ROOT;
  Fixture fixture;
  Running running(fixture);
  ExecSpec spec;
  spec.args = {"nonsense"};
  auto streams = running.sandbox.Exec("c1", spec);
  CHECK(absl::IsNotFound(streams.status()));
  CHECK(std::string(streams.status().message()) == "exec: \"nonsense\": executable file not found in $PATH");
  CHECK(absl::IsNotFound(running.sandbox.Exec("other", spec).status()));
  CHECK(running.sandbox.Stats(StatsDetail::kSummary)->pod.pids <= 1);
  CHECK(running.sandbox.Remove().ok());
}

TEST_CASE("a command on a terminal has a size that can change", "[root]") {
  SKIP_UNLESS_ROOT;
  Fixture fixture;
  Running running(fixture);
  ExecSpec spec = Shell("tty; stty size; read line; stty size; exit 4");
  spec.tty = true;
  spec.want_stdin = true;
  spec.columns = 91;
  spec.rows = 17;
  ExecStreams streams = running.Exec(spec);
  REQUIRE(streams.master_fd >= 0);
  CHECK(streams.stdout_fd == -1);
  CHECK(streams.pid > 0);
  winsize size{};
  size.ws_col = 50;
  size.ws_row = 10;
  REQUIRE(::ioctl(streams.master_fd, TIOCSWINSZ, &size) == 0);
  WriteText(streams.master_fd, "\n");
  std::string text = ReadToEnd(streams.master_fd);
  INFO(text);
  CHECK(text.find("/dev/pts/0") != std::string::npos);
  CHECK(text.find("10 50") != std::string::npos);
  CHECK(ReadExit(streams.exit_fd).exit_code == 4);
  CHECK(running.sandbox.Remove().ok());
}

TEST_CASE("a container with a terminal logs it, and its console is its own", "[root]") {
  SKIP_UNLESS_ROOT;
  Fixture fixture;
  Sandbox& sandbox = fixture.Create(fixture.PodSpec("pod-a"));
  ContainerSpec spec = fixture.ShellSpec("c1", "tty; echo over the console > /dev/console; test -t 0 && echo terminal");
  spec.tty = true;
  CHECK(fixture.Run(sandbox, spec).exit_code == 0);
  CHECK(LogText(spec.log_path, "stdout") == "/dev/pts/0\r\nover the console\r\nterminal\r\n");
  CHECK(sandbox.Remove().ok());
}

TEST_CASE("attach: copies of the output, the container's own input, its exit", "[root]") {
  SKIP_UNLESS_ROOT;
  Fixture fixture;
  Sandbox& sandbox = fixture.Create(fixture.PodSpec("pod-a"));
  ContainerSpec spec = fixture.ShellSpec("c1", "echo early; cat; echo gone >&2; exit 6");
  spec.stdin_open = true;
  spec.stdin_once = true;
  REQUIRE(sandbox.Start(spec).ok());
  fixture.AwaitLog(spec.log_path, "early");
  auto watcher = sandbox.Attach("c1", false);
  auto streams = sandbox.Attach("c1", true);
  REQUIRE(streams.ok());
  REQUIRE(watcher.ok());
  CHECK(watcher->stdin_fd == -1);
  UniqueFd in(streams->stdin_fd), out(streams->stdout_fd), err(streams->stderr_fd), exit(streams->exit_fd);
  UniqueFd out2(watcher->stdout_fd), err2(watcher->stderr_fd), exit2(watcher->exit_fd);
  WriteText(in.get(), "typed\n");
  in.Reset();  // stdin_once: the end of the first attachment is the end of the input
  CHECK(ReadToEnd(out.get()) == "typed\n");
  CHECK(ReadToEnd(err.get()) == "gone\n");
  CHECK(ReadToEnd(out2.get()) == "typed\n");
  CHECK(ReadExit(exit.get()).exit_code == 6);
  CHECK(ReadExit(exit2.get()).exit_code == 6);
  fixture.AwaitExit(sandbox, "c1");
  CHECK(absl::IsNotFound(sandbox.Attach("c1", false).status()));
  CHECK(sandbox.Remove().ok());
}

/// A container that says `script`'s output once it is told to, and a reader attached to it who has not read yet.
struct SlowReader {
  SlowReader(Fixture& fixture, const std::string& script)
      : sandbox(fixture.Create(fixture.PodSpec("pod-a"))), spec(fixture.ShellSpec("c1", "read go; " + script)) {
    spec.stdin_open = true;
    REQUIRE(sandbox.Start(spec).ok());
    auto attached = sandbox.Attach("c1", true);
    REQUIRE(attached.ok());
    in.Reset(attached->stdin_fd);
    out.Reset(attached->stdout_fd);
    err.Reset(attached->stderr_fd);
    exit.Reset(attached->exit_fd);
    WriteText(in.get(), "go\n");
  }
  Sandbox& sandbox;
  ContainerSpec spec;
  UniqueFd in, out, err, exit;
};

constexpr std::size_t kSeqSize = 1288895;  // digits and newlines of 1..200000

TEST_CASE("a container waits for its attached reader, who gets all of it", "[root]") {
  SKIP_UNLESS_ROOT;
  Fixture fixture;
  SlowReader slow(fixture, "seq 1 200000; exit 3");
  fixture.AwaitLog(slow.spec.log_path, "\n10000\n");
  // The reader's pipe and one buffer of the warden's: no more was read of the container, so no more is in the log.
  CHECK(LogText(slow.spec.log_path).size() <= (64 << 10) + (16 << 10));
  const std::string all = ReadToEnd(slow.out.get());
  CHECK(all.size() == kSeqSize);
  CHECK(all.substr(all.size() - 7) == "200000\n");
  CHECK(ReadExit(slow.exit.get()).exit_code == 3);
  fixture.AwaitExit(slow.sandbox, "c1");
  CHECK(LogText(slow.spec.log_path) == all);
  CHECK(slow.sandbox.Remove().ok());
}

TEST_CASE("a container goes on when a reader leaves that was behind", "[root]") {
  SKIP_UNLESS_ROOT;
  Fixture fixture;
  SlowReader slow(fixture, "seq 1 200000; exit 3");
  auto second = slow.sandbox.Attach("c1", false);
  REQUIRE(second.ok());
  UniqueFd out(second->stdout_fd), err(second->stderr_fd), exit(second->exit_fd);
  fixture.AwaitLog(slow.spec.log_path, "\n10000\n");
  for (UniqueFd* fd : {&slow.out, &slow.err, &slow.exit, &out, &err, &exit}) fd->Reset();
  CHECK(fixture.AwaitExit(slow.sandbox, "c1").exit_code == 3);
  CHECK(LogText(slow.spec.log_path).size() == kSeqSize);
  CHECK(slow.sandbox.Remove().ok());
}

TEST_CASE("what a container said last is there for its reader when both container and sandbox have gone", "[root]") {
  SKIP_UNLESS_ROOT;
  Fixture fixture;
  // More than the reader's pipe takes, less than the container's and the reader's together.
  SlowReader slow(fixture, "seq 10000 27999; exit 4");
  CHECK(fixture.AwaitExit(slow.sandbox, "c1").exit_code == 4);
  CHECK(slow.sandbox.RemoveContainer("c1").ok());
  CHECK(slow.sandbox.Remove().ok());
  const std::string all = ReadToEnd(slow.out.get());
  CHECK(all.size() == 18000 * 6);
  CHECK(all.substr(all.size() - 6) == "27999\n");
  CHECK(ReadExit(slow.exit.get()).exit_code == 4);
}

TEST_CASE("a thousand readers that come and go cost the warden nothing", "[root]") {
  SKIP_UNLESS_ROOT;
  Fixture fixture;
  Running running(fixture);
  for (int i = 0; i < 1000; ++i) {
    auto streams = running.sandbox.Attach("c1", false);
    REQUIRE(streams.ok());
    for (int fd : {streams->stdout_fd, streams->stderr_fd, streams->exit_fd}) ::close(fd);
  }
  auto all = running.sandbox.Containers();
  REQUIRE(all.ok());
  std::string stat = Slurp(absl::StrCat("/proc/", (*all)[0].pid, "/stat"));
  std::string fds = absl::StrCat(
      "/proc/", stat.substr(stat.rfind(')') + 4, stat.find(' ', stat.rfind(')') + 4) - stat.rfind(')') - 4), "/fd");
  std::size_t open = 0;
  if (DIR* stream = ::opendir(fds.c_str())) {
    while (::readdir(stream) != nullptr) ++open;
    ::closedir(stream);
  }
  CHECK(open > 3);
  CHECK(open < 40);
  CHECK(running.sandbox.Remove().ok());
}

TEST_CASE("log lines over 16 KiB are written in parts, and so is a last line without newline", "[root]") {
  SKIP_UNLESS_ROOT;
  Fixture fixture;
  Sandbox& sandbox = fixture.Create(fixture.PodSpec("pod-a"));
  ContainerSpec spec = fixture.ShellSpec(
      "c1",
      "head -c 40000 /dev/zero | tr '\\0' x; echo; head -c 16384 /dev/zero | tr '\\0' y; echo; echo; echo -n tail");
  fixture.Run(sandbox, spec);
  std::istringstream lines(Slurp(spec.log_path));
  std::vector<std::pair<std::string, std::size_t>> seen;
  std::string line;
  while (std::getline(lines, line)) {
    std::size_t space = line.find(' ');
    CHECK(space == 30);
    CHECK(line[10] == 'T');
    CHECK(line[29] == 'Z');
    REQUIRE(line.substr(space, 8) == " stdout ");
    seen.emplace_back(line.substr(space + 8, 1), line.size() - space - 10);
  }
  CHECK(seen == std::vector<std::pair<std::string, std::size_t>>{
                    {"P", 16384}, {"P", 16384}, {"F", 7232}, {"F", 16384}, {"F", 0}, {"P", 4}});
  CHECK(sandbox.Remove().ok());
}

TEST_CASE("a rotated log goes on in a new file, a log that is a link is refused", "[root]") {
  SKIP_UNLESS_ROOT;
  Fixture fixture;
  Sandbox& sandbox = fixture.Create(fixture.PodSpec("pod-a"));
  ContainerSpec spec = fixture.ShellSpec("c1", "echo before; read go; echo after");
  spec.stdin_open = true;
  REQUIRE(sandbox.Start(spec).ok());
  fixture.AwaitLog(spec.log_path, "before");
  REQUIRE(::rename(spec.log_path.c_str(), (spec.log_path + ".1").c_str()) == 0);
  REQUIRE(sandbox.ReopenLog("c1").ok());
  auto attached = sandbox.Attach("c1", true);
  REQUIRE(attached.ok());
  UniqueFd in(attached->stdin_fd), out(attached->stdout_fd), err(attached->stderr_fd), exit(attached->exit_fd);
  WriteText(in.get(), "go\n");
  fixture.AwaitExit(sandbox, "c1");
  CHECK(LogText(spec.log_path + ".1") == "before\n");
  CHECK(LogText(spec.log_path) == "after\n");
  ContainerSpec linked = fixture.ShellSpec("c2", "true");
  REQUIRE(::symlink("/etc/hostname", linked.log_path.c_str()) == 0);
  CHECK(ReasonOf(sandbox.Start(linked).status()) == "CreateContainerError");
  CHECK(sandbox.Remove().ok());
}

}  // namespace burstlet::sandbox::test
