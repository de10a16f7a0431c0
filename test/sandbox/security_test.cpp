// Attacks from inside a container or by its image, one case each (the ids are those of the public advisories).
#include "test/sandbox/sandbox_fixture.h"

#include <fcntl.h>
#include <sys/sysmacros.h>
#include <csignal>

#include "metrics/status.h"
#include "sandbox/native/user_lookup.h"

namespace burstlet::sandbox::test {
namespace {

std::string HostDisk() {
  std::string mounts = Slurp("/proc/self/mountinfo");
  std::istringstream lines(mounts);
  std::string line;
  while (std::getline(lines, line)) {
    std::istringstream words(line);
    std::string id, parent, device, root, place;
    words >> id >> parent >> device >> root >> place;
    if (place == "/") return device;
  }
  return "8:0";
}

bool Contains(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

}  // namespace

TEST_CASE("the host's disk can be made as a node in a container, and not opened", "[root]") {
  SKIP_UNLESS_ROOT;
  Fixture fixture;
  std::string device = HostDisk();
  device[device.find(':')] = ' ';
  std::string text = fixture.Output("mknod /tmp/disk b " + device +
                                    " && echo made; dd if=/tmp/disk of=/dev/null bs=512 count=1 2>&1 && echo READ; "
                                    "mknod /tmp/null c 1 3 && echo x > /tmp/null && echo null works");
  INFO(text);
  CHECK(Contains(text, "made"));
  CHECK(Contains(text, "Operation not permitted"));
  CHECK_FALSE(Contains(text, "READ"));
  CHECK(Contains(text, "null works"));
}

TEST_CASE("masked and read-only paths of /proc and /sys", "[root]") {
  SKIP_UNLESS_ROOT;
  Fixture fixture;
  std::string text = fixture.Output(
      "for f in kcore keys timer_list; do test -e /proc/$f && stat -c %t:%T /proc/$f; done; ls /sys/firmware | wc -l; "
      "echo 1 > /proc/sys/kernel/panic; touch /sys/x; mkdir /sys/fs/cgroup/x; echo end");
  INFO(text);
  CHECK(Contains(text, "1:3\n0\n"));
  std::size_t refused = 0;
  for (std::size_t at = 0; (at = text.find("Read-only file system", at)) != std::string::npos; ++at) ++refused;
  CHECK(refused >= 3);
  CHECK(Contains(text, "end"));
}

TEST_CASE("capabilities, no_new_privs and seccomp are those of the spec", "[root]") {
  SKIP_UNLESS_ROOT;
  Fixture fixture;
  std::string text = fixture.Output("grep -E '^(Cap|NoNewPrivs|Seccomp:)' /proc/self/status | tr '\\t' ' '",
                                    [](ContainerSpec& spec) { spec.no_new_privileges = true; });
  INFO(text);
  CHECK(Contains(text, "CapInh: 0000000000000000"));
  CHECK(Contains(text, "CapPrm: 00000000a80425fb"));
  CHECK(Contains(text, "CapEff: 00000000a80425fb"));
  CHECK(Contains(text, "CapBnd: 00000000a80425fb"));
  CHECK(Contains(text, "CapAmb: 0000000000000000"));
  CHECK(Contains(text, "NoNewPrivs: 1"));
  CHECK(Contains(text, "Seccomp: 2"));
  std::string user = fixture.Output("grep -E '^(Cap|NoNewPrivs)' /proc/self/status | tr '\\t' ' '; id",
                                    [](ContainerSpec& spec) { spec.user.image_user = "web"; });
  INFO(user);
  CHECK(Contains(user, "CapEff: 0000000000000000"));
  CHECK(Contains(user, "CapBnd: 00000000a80425fb"));
  CHECK(Contains(user, "NoNewPrivs: 0"));
  CHECK(Contains(user, "uid=1234(web) gid=2345(www) groups=2345(www),3456(extra)"));
  std::string refused = fixture.Output("mount -t tmpfs x /tmp 2>&1; unshare -U true 2>&1; echo end");
  INFO(refused);
  CHECK(Contains(refused, "mount: permission denied"));
  CHECK(Contains(refused, "unshare: "));
  std::string privileged =
      fixture.Output("mount -t tmpfs x /tmp && echo mounted; grep Seccomp: /proc/self/status", [](ContainerSpec& spec) {
        spec.privileged = true;
        spec.masked_paths.clear();
        spec.read_only_paths.clear();
      });
  INFO(privileged);
  CHECK(Contains(privileged, "mounted"));
  CHECK(Contains(privileged, "Seccomp:\t0"));
}

TEST_CASE("CVE-2024-21626: a working directory on a leaked descriptor leads nowhere", "[root]") {
  SKIP_UNLESS_ROOT;
  Fixture fixture;
  Sandbox& sandbox = fixture.Create(fixture.PodSpec("pod-a"));
  for (int fd = 3; fd < 24; ++fd) {
    std::string id = absl::StrCat("c", fd);
    ContainerSpec spec = fixture.ShellSpec(id, "ls ../../../../..; ls /proc/self/fd | wc -l");
    spec.working_dir = absl::StrCat("/proc/self/fd/", fd);
    auto started = sandbox.Start(spec);
    CHECK_FALSE(started.ok());
    CHECK(ReasonOf(started.status()) == "RunContainerError");
  }
  CHECK(sandbox.Remove().ok());
}

TEST_CASE("a working directory through another process's root makes and enters nothing", "[root]") {
  SKIP_UNLESS_ROOT;
  Fixture fixture;
  SandboxSpec pod = fixture.PodSpec("pod-a");
  pod.host_pid = true;
  Sandbox& sandbox = fixture.Create(pod);
  ContainerSpec spec = fixture.ShellSpec("c1", "pwd");
  spec.working_dir = "/proc/1/root" + fixture.root + "/evil";
  CHECK(ReasonOf(sandbox.Start(spec).status()) == "RunContainerError");
  CHECK(::access((fixture.root + "/evil").c_str(), F_OK) != 0);
  CHECK(sandbox.Remove().ok());
}

TEST_CASE("no descriptor of the warden or the agent reaches a container", "[root]") {
  SKIP_UNLESS_ROOT;
  Fixture fixture;
  CHECK(fixture.Output("ls /proc/1/fd; true") == "0\n1\n2\n");
}

TEST_CASE("an image whose /proc, /sys or /dev is a link is refused (CVE-2019-16884, CVE-2026-41579)", "[root]") {
  SKIP_UNLESS_ROOT;
  Fixture fixture;
  for (const char* name : {"/proc", "/sys", "/dev"}) {
    REQUIRE(::rmdir((fixture.image + name).c_str()) == 0);
    REQUIRE(::symlink("/tmp", (fixture.image + name).c_str()) == 0);
    Sandbox& sandbox = fixture.Create(fixture.PodSpec(absl::StrCat("pod-", name + 1)));
    auto started = sandbox.Start(fixture.ShellSpec(absl::StrCat("c-", name + 1), "true"));
    CHECK(ReasonOf(started.status()) == "CreateContainerError");
    CHECK(Contains(std::string(started.status().message()), "must be an ordinary directory"));
    CHECK(sandbox.Remove().ok());
    REQUIRE(::unlink((fixture.image + name).c_str()) == 0);
    REQUIRE(::mkdir((fixture.image + name).c_str(), 0755) == 0);
  }
}

TEST_CASE("mount targets behind links stay inside the root (CVE-2021-30465, CVE-2024-45310)", "[root]") {
  SKIP_UNLESS_ROOT;
  Fixture fixture;
  std::string outside = fixture.root + "/outside";
  REQUIRE(::mkdir(outside.c_str(), 0755) == 0);
  // In the container this is an absolute link to a place that does not exist there.
  REQUIRE(::symlink(outside.c_str(), (fixture.image + "/mnt").c_str()) == 0);
  REQUIRE(::symlink("../../../../../../etc", (fixture.image + "/up").c_str()) == 0);
  fixture.WriteInImage("/tmp/data", "from the host");
  std::string text = fixture.Output("cat /mnt/a/b/file; cat /up/new/file; ls " + outside, [&](ContainerSpec& spec) {
    std::string source = fixture.image + "/tmp/data";
    spec.mounts = {{"", source, "", "/mnt/a/b/file", true, false, Propagation::kPrivate},
                   {"", source, "", "/up/new/file", true, false, Propagation::kPrivate}};
  });
  CHECK(text == "from the hostfrom the hosta\n");
  CHECK(::access((outside + "/a").c_str(), F_OK) != 0);
  CHECK(::access("/etc/new", F_OK) != 0);
}

TEST_CASE("a subPath never leaves its volume (CVE-2017-1002101, CVE-2021-25741)", "[root]") {
  SKIP_UNLESS_ROOT;
  Fixture fixture;
  std::string volume = fixture.root + "/volume";
  REQUIRE(::mkdir(volume.c_str(), 0755) == 0);
  REQUIRE(::mkdir((volume + "/real").c_str(), 0755) == 0);
  REQUIRE(::symlink("real", (volume + "/inside").c_str()) == 0);
  REQUIRE(::symlink("/etc", (volume + "/absolute").c_str()) == 0);
  REQUIRE(::symlink("../../../etc", (volume + "/up").c_str()) == 0);
  SandboxSpec pod = fixture.PodSpec("pod-a");
  pod.volumes = {{"data", {VolumeSource::Kind::kHostPath, volume, 0, 0, {}, {}}}};
  Sandbox& sandbox = fixture.Create(pod);
  int number = 0;
  for (const char* path : {"absolute", "up", "../x", "absolute/passwd", "real/../../y"}) {
    ContainerSpec spec = fixture.ShellSpec(absl::StrCat("bad", ++number), "ls /data");
    spec.mounts = {{"data", "", path, "/data", false, false, Propagation::kPrivate}};
    auto started = sandbox.Start(spec);
    INFO(path);
    CHECK(ReasonOf(started.status()) == "CreateContainerError");
  }
  ContainerSpec good = fixture.ShellSpec("good", "touch /data/f /made/f && ls /data /made");
  good.mounts = {{"data", "", "inside", "/data", false, false, Propagation::kPrivate},
                 {"data", "", "new/deep", "/made", false, false, Propagation::kPrivate}};
  CHECK(fixture.Run(sandbox, good).exit_code == 0);
  CHECK(::access((volume + "/real/f").c_str(), F_OK) == 0);
  CHECK(::access((volume + "/new/deep/f").c_str(), F_OK) == 0);
  CHECK(sandbox.Remove().ok());
}

TEST_CASE("a container can't leave its cgroup view or write the host's", "[root]") {
  SKIP_UNLESS_ROOT;
  Fixture fixture;
  std::string text = fixture.Output(
      "cat /proc/self/cgroup; ls /sys/fs/cgroup | wc -l; "
      "find /sys/fs/cgroup -name release_agent 2>/dev/null");
  INFO(text);
  std::istringstream lines(text);
  std::string line;
  while (std::getline(lines, line) && line.find(':') != std::string::npos) {
    bool ours = Contains(line, ":memory:") || Contains(line, ":cpu:") || Contains(line, ":pids:") ||
                Contains(line, ":devices:");
    if (ours) CHECK(line.substr(line.rfind(':')) == ":/");
  }
  CHECK_FALSE(Contains(text, "release_agent"));
}

TEST_CASE("the user database is read inside the container's root and with bounds", "[root]") {
  SKIP_UNLESS_ROOT;
  Fixture fixture;
  std::string host = fixture.root + "/host-passwd";
  std::ofstream(host) << "evil:x:0:0::/:/bin/sh\n";
  REQUIRE(::unlink((fixture.image + "/etc/passwd").c_str()) == 0);
  REQUIRE(::symlink(host.c_str(), (fixture.image + "/etc/passwd").c_str()) == 0);
  Sandbox& sandbox = fixture.Create(fixture.PodSpec("pod-a"));
  ContainerSpec spec = fixture.ShellSpec("c1", "id");
  spec.user.image_user = "evil";
  auto started = sandbox.Start(spec);
  CHECK(ReasonOf(started.status()) == "CreateContainerError");
  CHECK(Contains(std::string(started.status().message()), "unable to find user evil"));
  // A database that is a FIFO does not block the agent.
  REQUIRE(::unlink((fixture.image + "/etc/passwd").c_str()) == 0);
  REQUIRE(::mkfifo((fixture.image + "/etc/passwd").c_str(), 0644) == 0);
  started = sandbox.Start(spec);
  CHECK(ReasonOf(started.status()) == "CreateContainerError");
  CHECK(sandbox.Remove().ok());
}

TEST_CASE("the warden's program can't be reached from a command run in the container (CVE-2019-5736)", "[root]") {
  SKIP_UNLESS_ROOT;
  Fixture fixture;
  SandboxSpec pod = fixture.PodSpec("pod-a");
  pod.share_process_namespace = true;
  Sandbox& sandbox = fixture.Create(pod);
  ContainerSpec spec = fixture.ShellSpec("c1",
                                         "cat /proc/1/exe > /tmp/x; ls -l /proc/1/exe; ls /proc/1/fd; echo > "
                                         "/proc/1/mem; kill -9 1; echo end");
  CHECK(fixture.Run(sandbox, spec).exit_code == 0);
  std::string text = LogText(spec.log_path);
  INFO(text);
  CHECK(Contains(text, "can't open '/proc/1/exe': Permission denied"));
  CHECK(Contains(text, "end"));
  CHECK(sandbox.Remove().ok());
}

TEST_CASE("users beyond 2^31-1 are refused, groups follow the image or not", "") {
  const std::string passwd = "root:x:0:0::/root:/bin/sh\nweb:x:1000:1001::/home/web:/bin/sh\nbig:x:4294967296:1::/:\n";
  const std::string group = "root:x:0:\nweb:x:1001:\naudio:x:29:web,other\nhuge:x:4294967296:web\n";
  UserSpec user;
  user.image_user = "4294967296";
  CHECK_FALSE(ResolveUser(user, passwd, group).ok());
  user.image_user = "2147483648";
  CHECK_FALSE(ResolveUser(user, passwd, group).ok());
  user.image_user = "big";
  CHECK_FALSE(ResolveUser(user, passwd, group).ok());
  user.image_user = "web";
  auto web = ResolveUser(user, passwd, group);
  REQUIRE(web.ok());
  CHECK(web->uid == 1000);
  CHECK(web->groups == std::vector<std::uint32_t>{1001, 29});
  CHECK(web->home == "/home/web");
  user.image_user = "web:audio";
  CHECK(ResolveUser(user, passwd, group)->groups == std::vector<std::uint32_t>{29});
  user.image_user = "";
  user.uid = 1000;
  user.merge_image_groups = false;
  user.supplemental_groups = {5, 29};
  CHECK(ResolveUser(user, passwd, group)->groups == std::vector<std::uint32_t>{1001, 5, 29});
  user.uid = 4711;
  auto unknown = ResolveUser(user, passwd, group);
  REQUIRE(unknown.ok());
  CHECK(unknown->gid == 0);
  CHECK(unknown->home == "/");
}

}  // namespace burstlet::sandbox::test
