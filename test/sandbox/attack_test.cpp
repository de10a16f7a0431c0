// More attacks, one case each: races, what a container leaves for the next command, sockets, settings, propagation.
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/fs.h>
#include <linux/seccomp.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <unistd.h>
#include <atomic>
#include <cerrno>
#include <cstdio>
#include <thread>

#include "metrics/status.h"
#include "sandbox/native/seccomp.h"
#include "test/sandbox/sandbox_fixture.h"

namespace burstlet::sandbox::test {
namespace {

bool Contains(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

void Privileged(ContainerSpec& spec) {
  spec.privileged = true;
  spec.masked_paths.clear();
  spec.read_only_paths.clear();
}

SandboxSpec WithHostVolume(SandboxSpec pod, const std::string& path) {
  pod.volumes = {{"data", {VolumeSource::Kind::kHostPath, path, 0, 0, {}, {}}}};
  return pod;
}

}  // namespace

TEST_CASE("a subPath that is swapped for a link all the time never shows the host (CVE-2021-25741)", "[root]") {
  SKIP_UNLESS_ROOT;
  Fixture fixture;
  const std::string volume = fixture.root + "/volume";
  const std::string secret = fixture.root + "/secret";
  for (const std::string& path : {volume, volume + "/dir", secret}) REQUIRE(::mkdir(path.c_str(), 0755) == 0);
  std::ofstream(volume + "/dir/marker") << "mine\n";
  std::ofstream(secret + "/marker") << "HOST\n";
  REQUIRE(::symlink(secret.c_str(), (volume + "/link").c_str()) == 0);
  std::atomic<bool> stop{false};
  std::thread attacker([&] {
    while (!stop)
      ::renameat2(AT_FDCWD, (volume + "/dir").c_str(), AT_FDCWD, (volume + "/link").c_str(), RENAME_EXCHANGE);
  });
  Sandbox& sandbox = fixture.Create(WithHostVolume(fixture.PodSpec("pod-a"), volume));
  int mine = 0;
  int refused = 0;
  for (int i = 0; i < 60; ++i) {
    ContainerSpec spec = fixture.ShellSpec(absl::StrCat("c", i), "cat /data/marker");
    spec.mounts = {{"data", "", "dir", "/data", false, false, Propagation::kPrivate}};
    const auto started = sandbox.Start(spec);
    if (!started.ok()) {
      ++refused;
      continue;
    }
    Fixture::AwaitExit(sandbox, spec.id);
    const std::string text = LogText(spec.log_path);
    CHECK_FALSE(Contains(text, "HOST"));
    if (text == "mine\n") ++mine;
  }
  stop = true;
  attacker.join();
  CHECK(mine + refused == 60);
  CHECK(sandbox.Remove().ok());
}

TEST_CASE("volumes don't cover /proc, by name or by a link of the image (CVE-2019-19921, CVE-2023-27561)", "[root]") {
  SKIP_UNLESS_ROOT;
  Fixture fixture;
  const std::string volume = fixture.root + "/volume";
  REQUIRE(::mkdir(volume.c_str(), 0755) == 0);
  REQUIRE(::symlink("/proc/sys", (fixture.image + "/plain").c_str()) == 0);
  REQUIRE(::symlink("/proc", (fixture.image + "/whole").c_str()) == 0);
  Sandbox& sandbox = fixture.Create(WithHostVolume(fixture.PodSpec("pod-a"), volume));
  int number = 0;
  for (const char* path : {"/proc", "/proc/sys", "/proc/self/attr", "/plain", "/whole", "/whole/sys/kernel"}) {
    ContainerSpec spec = fixture.ShellSpec(absl::StrCat("c", ++number), "true");
    spec.mounts = {{"data", "", "", path, false, false, Propagation::kPrivate}};
    const auto started = sandbox.Start(spec);
    INFO(path << started.status().ToString());
    CHECK(ReasonOf(started.status()) == "CreateContainerError");
    CHECK(Contains(std::string(started.status().message()), "cannot be mounted because it is inside /proc"));
  }
  std::ofstream(volume + "/uptime") << "1 1\n";
  ContainerSpec spec = fixture.ShellSpec("good", "cat /proc/uptime");
  spec.mounts = {{"", volume + "/uptime", "", "/proc/uptime", true, false, Propagation::kPrivate}};
  CHECK(fixture.Run(sandbox, spec).exit_code == 0);
  CHECK(LogText(spec.log_path) == "1 1\n");
  CHECK(sandbox.Remove().ok());
}

TEST_CASE("links that an image leaves in /dev count for nothing (CVE-2025-31133, CVE-2025-52565)", "[root]") {
  SKIP_UNLESS_ROOT;
  Fixture fixture;
  for (const char* name : {"/dev/null", "/dev/console", "/dev/pts", "/dev/ptmx"})
    REQUIRE(::symlink("/proc/sys/kernel/core_pattern", (fixture.image + name).c_str()) == 0);
  const std::string text = fixture.Output(
      "stat -c %F:%t:%T /dev/null /proc/keys; stat -c %F /dev/console; tty; echo x > /proc/keys; grep -c core "
      "/proc/sys/kernel/core_pattern",
      [](ContainerSpec& spec) { spec.tty = true; });
  INFO(text);
  CHECK(Contains(text,
                 "character special file:1:3\r\ncharacter special file:1:3\r\ncharacter special file\r\n/dev/pts/0"));
  CHECK_FALSE(Contains(Slurp("/proc/sys/kernel/core_pattern"), "x\n"));
}

TEST_CASE("a terminal for a command is refused where the container put something else (CVE-2025-52565)", "[root]") {
  SKIP_UNLESS_ROOT;
  Fixture fixture;
  Sandbox& sandbox = fixture.Create(fixture.PodSpec("pod-a"));
  ContainerSpec spec = fixture.ShellSpec(
      "c1", "mount -t tmpfs x /dev/pts && mknod /dev/pts/ptmx c 1 3 && ls /dev/pts; echo ready; exec sleep 1000");
  Privileged(spec);
  REQUIRE(sandbox.Start(spec).ok());
  Fixture::AwaitLog(spec.log_path, "ready");
  CHECK(Contains(LogText(spec.log_path), "ptmx"));
  ExecSpec command;
  command.args = {"true"};
  command.tty = true;
  const auto streams = sandbox.Exec("c1", command);
  CHECK_FALSE(streams.ok());
  CHECK(Contains(std::string(streams.status().message()), "not a terminal multiplexer"));
  CHECK(sandbox.Remove().ok());
}

TEST_CASE("settings that are not the pod's own are never written (CVE-2022-0811)", "[root]") {
  SKIP_UNLESS_ROOT;
  Fixture fixture;
  const std::string before = Slurp("/proc/sys/kernel/core_pattern");
  int number = 0;
  for (const char* name :
       {"kernel.core_pattern", "net/../kernel/core_pattern", "kernel/core_pattern", "vm.overcommit_memory",
        "user.max_user_namespaces", "kernel.shm_rmid_forced/../core_pattern"}) {
    SandboxSpec pod = fixture.PodSpec(absl::StrCat("pod-", ++number));
    pod.sysctls = {{name, "|/tmp/evil"}};
    INFO(name);
    CHECK(ReasonOf(fixture.driver->Create(pod).status()) == "FailedCreatePodSandBox");
  }
  CHECK(Slurp("/proc/sys/kernel/core_pattern") == before);
}

TEST_CASE("sockets that lead into the kernel's ciphers or to a hypervisor are refused (AF_ALG, AF_VSOCK)", "") {
  const auto filter = CompileSeccomp(SeccompSpec(), 0);
  REQUIRE(filter.ok());
  std::string program = filter->program;
  const sock_fprog loaded{static_cast<unsigned short>(program.size() / sizeof(sock_filter)),
                          reinterpret_cast<sock_filter*>(program.data())};
  // The errno of a socket of each family, from a process that has the filter.
  const auto refused = [&loaded](int family) {
    const pid_t child = ::fork();
    if (child == 0) {
      if (::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 ||
          ::prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &loaded, 0, 0) != 0)
        ::_exit(255);
      ::_exit(::socket(family, SOCK_DGRAM, 0) < 0 ? errno : 0);
    }
    int status = 0;
    REQUIRE(::waitpid(child, &status, 0) == child);
    REQUIRE(WIFEXITED(status));
    return WEXITSTATUS(status);
  };
  CHECK(refused(AF_ALG) == ENOSYS);
  CHECK(refused(AF_VSOCK) == ENOSYS);
  CHECK(refused(AF_INET) == 0);
  CHECK(refused(AF_UNIX) == 0);
  CHECK(refused(AF_ALG + 1) != ENOSYS);
}

TEST_CASE("a fork bomb ends at its limit, and goes with its pod", "[root]") {
  SKIP_UNLESS_ROOT;
  Fixture fixture;
  Sandbox& sandbox = fixture.Create(fixture.PodSpec("pod-a"));
  ContainerSpec spec =
      fixture.ShellSpec("c1", "sh -c 'while :; do sleep 1000 & done' 2> /dev/null; echo full; exec sleep 1000");
  spec.resources.pids_limit = 40;
  REQUIRE(sandbox.Start(spec).ok());
  Fixture::AwaitLog(spec.log_path, "full");
  const auto stats = sandbox.Stats(StatsDetail::kAll);
  REQUIRE(stats.ok());
  REQUIRE(stats->containers.size() == 1);
  CHECK(stats->containers[0].usage.pids > 30);
  CHECK(stats->containers[0].usage.pids <= 40);
  CHECK(sandbox.Remove().ok());
}

TEST_CASE("nothing of ours listens where pods of the host's network could speak to it (CVE-2020-15257)", "[root]") {
  SKIP_UNLESS_ROOT;
  Fixture fixture;
  SandboxSpec pod = fixture.PodSpec("pod-a");
  pod.host_network = true;
  Sandbox& sandbox = fixture.Create(pod);
  ContainerSpec spec =
      fixture.ShellSpec("c1", "grep -c '@' /proc/net/unix; grep '@.*burstlet' /proc/net/unix; echo end");
  CHECK(fixture.Run(sandbox, spec).exit_code == 0);
  CHECK_FALSE(Contains(LogText(spec.log_path), "burstlet"));
  CHECK(Contains(LogText(spec.log_path), "end"));
  CHECK(sandbox.Remove().ok());
}

TEST_CASE("other users of the host see nothing of pods' directories (CVE-2021-41103)", "[root]") {
  SKIP_UNLESS_ROOT;
  Fixture fixture;
  Sandbox& sandbox = fixture.Create(fixture.PodSpec("pod-a"));
  REQUIRE(sandbox.Start(fixture.CommandSpec("c1", {"sleep", "1000"})).ok());
  for (const char* path : {"", "/sandboxes", "/sandboxes/pod-a", "/sandboxes/pod-a/containers", "/trash"}) {
    struct stat status{};
    INFO(path);
    REQUIRE(::stat((fixture.root + "/state" + path).c_str(), &status) == 0);
    CHECK((status.st_mode & 07777) == 0700);
  }
  CHECK(sandbox.Remove().ok());
}

TEST_CASE("a group file without end does not fill the agent's memory (CVE-2026-47262)", "[root]") {
  SKIP_UNLESS_ROOT;
  Fixture fixture;
  REQUIRE(::truncate((fixture.image + "/etc/group").c_str(), off_t{1} << 36) == 0);
  Sandbox& sandbox = fixture.Create(fixture.PodSpec("pod-a"));
  ContainerSpec spec = fixture.ShellSpec("c1", "true");
  spec.user.image_user = "web";
  CHECK(ReasonOf(sandbox.Start(spec).status()) == "CreateContainerError");
  CHECK(sandbox.Remove().ok());
}

TEST_CASE("a recursive read-only mount has no writable place below, a plain one may", "[root]") {
  SKIP_UNLESS_ROOT;
  Fixture fixture;
  const std::string volume = fixture.root + "/volume";
  for (const std::string& path : {volume, volume + "/inner"}) REQUIRE(::mkdir(path.c_str(), 0755) == 0);
  REQUIRE(::mount("inner", (volume + "/inner").c_str(), "tmpfs", 0, nullptr) == 0);
  Sandbox& sandbox = fixture.Create(WithHostVolume(fixture.PodSpec("pod-a"), volume));
  ContainerSpec spec = fixture.ShellSpec(
      "c1", "touch /plain/x; touch /plain/inner/x && echo inner; touch /whole/x; touch /whole/inner/y; echo end");
  spec.mounts = {{"data", "", "", "/plain", true, false, Propagation::kPrivate},
                 {"data", "", "", "/whole", true, true, Propagation::kPrivate}};
  CHECK(fixture.Run(sandbox, spec).exit_code == 0);
  const std::string text = LogText(spec.log_path);
  INFO(text);
  std::size_t refused = 0;
  for (std::size_t at = 0; (at = text.find("Read-only file system", at)) != std::string::npos; ++at) ++refused;
  CHECK(refused == 3);
  CHECK(Contains(text, "inner\n"));
  CHECK(sandbox.Remove().ok());
  CHECK(::umount2((volume + "/inner").c_str(), MNT_DETACH) == 0);
}

TEST_CASE("mounts spread between host and container only as the mount's propagation says", "[root]") {
  SKIP_UNLESS_ROOT;
  Fixture fixture;
  const std::string volume = fixture.root + "/volume";
  REQUIRE(::mkdir(volume.c_str(), 0755) == 0);
  REQUIRE(::mount("volume", volume.c_str(), "tmpfs", 0, nullptr) == 0);
  REQUIRE(::mount(nullptr, volume.c_str(), nullptr, MS_SHARED, nullptr) == 0);
  for (const char* name : {"/host", "/private", "/slave", "/shared"})
    REQUIRE(::mkdir((volume + name).c_str(), 0755) == 0);
  Sandbox& sandbox = fixture.Create(WithHostVolume(fixture.PodSpec("pod-a"), volume));
  ContainerSpec spec = fixture.ShellSpec(
      "c1",
      "for p in private slave shared; do mount -t tmpfs x /$p/$p && touch /$p/$p/made; done; echo ready; "
      "while [ ! -e /go/now ]; do sleep 0.05; done; ls /private/host /slave/host /shared/host");
  Privileged(spec);
  const std::string gate = fixture.root + "/gate";
  REQUIRE(::mkdir(gate.c_str(), 0755) == 0);
  spec.mounts = {{"data", "", "", "/private", false, false, Propagation::kPrivate},
                 {"data", "", "", "/slave", false, false, Propagation::kHostToContainer},
                 {"data", "", "", "/shared", false, false, Propagation::kBidirectional},
                 {"", gate, "", "/go", true, false, Propagation::kPrivate}};
  REQUIRE(sandbox.Start(spec).ok());
  Fixture::AwaitLog(spec.log_path, "ready");
  CHECK(::access((volume + "/shared/made").c_str(), F_OK) == 0);
  CHECK(::access((volume + "/slave/made").c_str(), F_OK) != 0);
  CHECK(::access((volume + "/private/made").c_str(), F_OK) != 0);
  REQUIRE(::mount("host", (volume + "/host").c_str(), "tmpfs", 0, nullptr) == 0);
  std::ofstream(volume + "/host/given") << "x";
  std::ofstream(gate + "/now") << "x";
  CHECK(Fixture::AwaitExit(sandbox, "c1").exit_code == 0);
  const std::string text = LogText(spec.log_path);
  INFO(text);
  CHECK(Contains(text, "/private/host:\n\n"));
  CHECK(Contains(text, "/slave/host:\ngiven\n"));
  CHECK(Contains(text, "/shared/host:\ngiven"));
  CHECK(sandbox.Remove().ok());
  for (const char* name : {"/host", "/shared", ""}) CHECK(::umount2((volume + name).c_str(), MNT_DETACH) == 0);
}

}  // namespace burstlet::sandbox::test
