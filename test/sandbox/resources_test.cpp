// What a pod gets of the host: mounts, cgroups, devices, limits; and that nothing of it is left behind.
#include "test/sandbox/sandbox_fixture.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <csignal>

#include "metrics/status.h"
#include "sandbox/native/sandbox_state.h"
#include "sandbox/os/subprocess.h"
#include "sandbox/os/syscalls.h"

namespace burstlet::sandbox::test {
namespace {

/// Mounts here that name `part`: others on this host come and go.
std::size_t CountMounts(const std::string& part) {
  std::istringstream lines(Slurp("/proc/self/mountinfo"));
  std::string line;
  std::size_t count = 0;
  while (std::getline(lines, line)) count += line.find(part) != std::string::npos ? 1 : 0;
  return count;
}

std::size_t CountEntries(const std::string& path) {
  std::size_t count = 0;
  if (DIR* stream = ::opendir(path.c_str())) {
    while (::readdir(stream) != nullptr) ++count;
    ::closedir(stream);
  }
  return count;
}

/// Processes that descend from this one.
std::size_t CountChildren() {
  std::istringstream text(Slurp("/proc/self/task/" + std::to_string(::getpid()) + "/children"));
  std::size_t count = 0;
  std::string pid;
  while (text >> pid) ++count;
  return count;
}

}  // namespace

TEST_CASE("volumes: host paths, tmpfs, images, queues, read-only and shared between containers", "[root]") {
  SKIP_UNLESS_ROOT;
  Fixture fixture;
  std::string host = fixture.root + "/host";
  REQUIRE(::mkdir(host.c_str(), 0755) == 0);
  std::ofstream(host + "/file") << "host file\n";
  SandboxSpec pod = fixture.PodSpec("pod-a");
  pod.volumes = {{"host", {VolumeSource::Kind::kHostPath, host, 0, 0, {}, {}}},
                 {"mem", {VolumeSource::Kind::kTmpfs, "", 1 << 20, 02770, 2345u, {}}},
                 {"image", {VolumeSource::Kind::kImage, "", 0, 0, {}, {fixture.image, host}}},
                 {"queue", {VolumeSource::Kind::kMqueue, "", 0, 0, {}, {}}},
                 {"one", {VolumeSource::Kind::kHostPath, host + "/file", 0, 0, {}, {}}}};
  Sandbox& sandbox = fixture.Create(pod);
  ContainerSpec first = fixture.ShellSpec(
      "c1",
      "cat /host/file; touch /host/x 2>&1; echo shared > /mem/f; stat -c '%a %g' /mem; ls /image/file; "
      "touch /image/y 2>&1; grep -c ' /q mqueue' /proc/mounts; cat /one; touch /dev/shm/s; df -k /mem | grep -c 1024");
  first.mounts = {{"host", "", "", "/host", true, false, Propagation::kPrivate},
                  {"mem", "", "", "/mem", false, false, Propagation::kPrivate},
                  {"image", "", "", "/image", true, false, Propagation::kPrivate},
                  {"queue", "", "", "/q", false, false, Propagation::kPrivate},
                  {"one", "", "", "/one", false, false, Propagation::kPrivate}};
  fixture.Run(sandbox, first);
  CHECK(LogText(first.log_path) ==
        "host file\ntouch: /host/x: Read-only file system\n2770 2345\n/image/file\n"
        "touch: /image/y: Read-only file system\n1\nhost file\n1\n");
  ContainerSpec second = fixture.ShellSpec("c2", "cat /mem/f; ls /dev/shm");
  second.mounts = {{"mem", "", "", "/mem", false, false, Propagation::kPrivate}};
  fixture.Run(sandbox, second);
  CHECK(LogText(second.log_path) == "shared\ns\n");
  CHECK(sandbox.Remove().ok());
  CHECK(::access((host + "/file").c_str(), F_OK) == 0);
}

TEST_CASE("a volume of huge pages is a file system of its own, for who may have such pages", "[root]") {
  SKIP_UNLESS_ROOT;
  if (::access("/sys/kernel/mm/hugepages/hugepages-2048kB", F_OK) != 0) {
    WARN("skipped: this kernel has no huge pages of 2 MiB");
    return;
  }
  Fixture fixture;
  SandboxSpec pod = fixture.PodSpec("pod-a");
  VolumeSource source;
  source.kind = VolumeSource::Kind::kHugePages;
  source.page_size_bytes = 2 << 20;
  source.mode = 0777;
  source.gid = 2345;
  pod.volumes = {{"huge", source}};
  Sandbox& sandbox = fixture.Create(pod);
  ContainerSpec spec = fixture.ShellSpec(
      "c1", "grep ' /huge ' /proc/mounts | cut -d' ' -f3; stat -c '%a %g' /huge; stat -f -c %s /huge");
  spec.mounts = {{"huge", "", "", "/huge", false, false, Propagation::kPrivate}};
  fixture.Run(sandbox, spec);
  CHECK(LogText(spec.log_path) == "hugetlbfs\n777 2345\n2097152\n");
  CHECK(sandbox.Remove().ok());
}

TEST_CASE("an image is mounted into a container read-only, whole or one of its directories", "[root]") {
  SKIP_UNLESS_ROOT;
  Fixture fixture;
  std::string upper = fixture.root + "/upper";
  std::string lower = fixture.root + "/lower";
  for (const std::string& layer : {upper, lower}) REQUIRE(MakeDirectory(layer + "/sub", 0755).ok());
  std::ofstream(upper + "/sub/both") << "upper\n";
  std::ofstream(lower + "/sub/both") << "lower\n";
  std::ofstream(lower + "/sub/below") << "below\n";
  REQUIRE(::symlink("/etc", (upper + "/out").c_str()) == 0);
  REQUIRE(::symlink("sub", (upper + "/in").c_str()) == 0);
  MountSpec whole{"", "", "", "/whole", true, false, Propagation::kPrivate, {upper, lower}};
  MountSpec part = whole;
  part.destination = "/deep/part";
  part.sub_path = "in";
  MountSpec one = whole;
  one.destination = "/one";
  one.image_layers = {lower};
  one.sub_path = "sub";
  const std::string text = fixture.Output(
      "cat /whole/sub/both /whole/sub/below; ls /deep/part; cat /one/both; touch /whole/x /deep/part/x /one/x 2>&1; "
      "grep -c ' /deep/part\\| /whole\\| /one' /proc/self/mountinfo",
      [&](ContainerSpec& spec) { spec.mounts = {whole, part, one}; });
  CHECK(text ==
        "upper\nbelow\nbelow\nboth\nlower\ntouch: /whole/x: Read-only file system\n"
        "touch: /deep/part/x: Read-only file system\ntouch: /one/x: Read-only file system\n3\n");
  Sandbox& sandbox = fixture.Create(fixture.PodSpec("pod-sub"));
  for (const char* wrong : {"out", "missing", "sub/both", "../lower"}) {
    ContainerSpec spec = fixture.ShellSpec(absl::StrCat("c", ::strlen(wrong)), "true");
    part.sub_path = wrong;
    spec.mounts = {part};
    auto started = sandbox.Start(spec);
    INFO(wrong);
    REQUIRE_FALSE(started.ok());
    CHECK(ReasonOf(started.status()) == "CreateContainerError");
    CHECK_THAT(std::string(started.status().message()), Catch::Contains("subPath"));
  }
}

TEST_CASE("a read-only root file system takes writes only where volumes are", "[root]") {
  SKIP_UNLESS_ROOT;
  Fixture fixture;
  CHECK(fixture.Output("touch /x 2>&1; touch /dev/shm/y && echo shm", [](ContainerSpec& spec) {
    spec.rootfs.read_only = true;
  }) == "touch: /x: Read-only file system\nshm\n");
}

TEST_CASE("an image of 120 layers is mounted, the topmost wins", "[root]") {
  SKIP_UNLESS_ROOT;
  Fixture fixture;
  std::string text = fixture.Output("ls / | grep -c layer; cat /top", [&](ContainerSpec& spec) {
    spec.rootfs.lower_dirs.clear();
    // Long names: options of over 256 bytes would not pass.
    std::string base = fixture.root + "/" + std::string(120, 'l') + "/" + std::string(120, 'm');
    REQUIRE(MakeDirectory(base, 0755).ok());
    for (int i = 120; i > 0; --i) {
      std::string layer = absl::StrCat(base, "/", i);
      REQUIRE(::mkdir(layer.c_str(), 0755) == 0);
      std::ofstream(absl::StrCat(layer, "/layer", i)) << i;
      std::ofstream(layer + "/top") << i << "\n";
      spec.rootfs.lower_dirs.push_back(layer);
    }
    spec.rootfs.lower_dirs.push_back(fixture.image);
  });
  CHECK(text == "120\n120\n");
}

TEST_CASE("memory and process limits hold, and running out of memory is told", "[root]") {
  SKIP_UNLESS_ROOT;
  Fixture fixture;
  Sandbox& sandbox = fixture.Create(fixture.PodSpec("pod-a"));
  ContainerSpec spec = fixture.ShellSpec("c1", "head -c 200m /dev/zero > /dev/shm/fill; exit 1");
  spec.args = {"/bin/dd", "if=/dev/zero", "of=/dev/null", "bs=100M", "count=1"};
  spec.resources.memory_limit_bytes = 24 << 20;
  spec.resources.pids_limit = 20;
  spec.resources.cpu_shares = 512;
  spec.resources.cpu_quota_us = 50000;
  ContainerState state = fixture.Run(sandbox, spec);
  CHECK(state.exit_code == 137);
  CHECK(state.oom_killed);
  ContainerSpec stays = fixture.ShellSpec("c2", "sleep 1000");
  stays.resources.memory_limit_bytes = 64 << 20;
  REQUIRE(sandbox.Start(stays).ok());
  Resources more;
  more.memory_limit_bytes = 128 << 20;
  more.cpu_quota_us = 100000;
  CHECK(sandbox.UpdateResources("c2", more).ok());
  auto stats = sandbox.Stats(StatsDetail::kAll);
  REQUIRE(stats.ok());
  REQUIRE(stats->containers.size() == 1);
  CHECK(stats->containers[0].usage.memory_usage_bytes > 0);
  CHECK(stats->containers[0].usage.memory_usage_bytes < (64 << 20));
  CHECK(stats->containers[0].usage.cpu_usage_ns > 0);
  CHECK(stats->containers[0].usage.pids == 1);
  CHECK(sandbox.Remove().ok());
}

TEST_CASE("a pod gets less CPU than an ended container of it had", "[root]") {
  SKIP_UNLESS_ROOT;
  Fixture fixture;
  SandboxSpec pod = fixture.PodSpec("pod-a");
  pod.resources.cpu_quota_us = 50000;
  Sandbox& sandbox = fixture.Create(pod);
  ContainerSpec ended = fixture.ShellSpec("c1", "exit 0");
  ended.resources.cpu_quota_us = 50000;
  CHECK(fixture.Run(sandbox, ended).exit_code == 0);
  ContainerSpec stays = fixture.ShellSpec("c2", "sleep 1000");
  stays.resources.cpu_quota_us = 20000;
  REQUIRE(sandbox.Start(stays).ok());
  Resources less;
  less.cpu_quota_us = 30000;
  const absl::Status updated = sandbox.UpdatePodResources(less);
  INFO(updated.message());
  CHECK(updated.ok());
  CHECK(sandbox.Remove().ok());
}

TEST_CASE("containers of a pod share its network, ipc and host name, and only by wish their processes", "[root]") {
  SKIP_UNLESS_ROOT;
  Fixture fixture;
  SandboxSpec pod = fixture.PodSpec("pod-a");
  pod.share_process_namespace = true;
  pod.domainname = "example";
  pod.sysctls = {{"net.core.somaxconn", "77"}, {"kernel.shm_rmid_forced", "1"}};
  Sandbox& sandbox = fixture.Create(pod);
  REQUIRE(sandbox.Start(fixture.ShellSpec("c1", "sleep 1000")).ok());
  ContainerSpec spec = fixture.ShellSpec("c2",
                                         "hostname; ps | grep -c '[s]leep 1000'; cat /proc/sys/net/core/somaxconn; "
                                         "ip addr | grep -c LOOPBACK; cat /proc/sys/kernel/domainname");
  CHECK(fixture.Run(sandbox, spec).exit_code == 0);
  CHECK(LogText(spec.log_path) == "pod-a\n1\n77\n1\nexample\n");
  // What c1 leaves running is killed with it although it is not PID 1 of anything.
  CHECK(sandbox.Kill("c1").ok());
  CHECK(fixture.AwaitExit(sandbox, "c1").exit_code == 137);
  CHECK(sandbox.Remove().ok());
  SandboxSpec bad = fixture.PodSpec("pod-b");
  bad.sysctls = {{"kernel.core_pattern", "|/bin/evil"}};
  CHECK(ReasonOf(fixture.driver->Create(bad).status()) == "FailedCreatePodSandBox");
}

TEST_CASE("host namespaces: network, processes and ipc of the host, and everything still ends with the pod", "[root]") {
  SKIP_UNLESS_ROOT;
  Fixture fixture;
  SandboxSpec pod = fixture.PodSpec("pod-a");
  pod.host_network = true;
  pod.host_pid = true;
  pod.host_ipc = true;
  Sandbox& sandbox = fixture.Create(pod);
  ContainerSpec spec = fixture.ShellSpec("c1",
                                         "readlink /proc/self/ns/net; readlink /proc/self/ns/ipc; "
                                         "readlink /proc/self/ns/pid; sleep 1000 & sleep 1000");
  auto started = sandbox.Start(spec);
  REQUIRE(started.ok());
  fixture.AwaitLog(spec.log_path, "pid:");
  char link[64];
  std::string want;
  for (const char* name : {"net", "ipc", "pid"}) {
    ssize_t size = ::readlink(absl::StrCat("/proc/self/ns/", name).c_str(), link, sizeof(link));
    want += std::string(link, static_cast<std::size_t>(size)) + "\n";
  }
  CHECK(LogText(spec.log_path) == want);
  UniqueFd first(PidfdOpen(started->pid));
  REQUIRE(first.valid());
  CHECK(sandbox.Remove().ok());
  pollfd poll_fd{first.get(), POLLIN, 0};
  CHECK(::poll(&poll_fd, 1, 10000) == 1);
}

TEST_CASE("a rlimit, an oom score and a working directory that does not exist yet", "[root]") {
  SKIP_UNLESS_ROOT;
  Fixture fixture;
  CHECK(fixture.Output("ulimit -n; cat /proc/self/oom_score_adj; pwd; echo $HOME", [](ContainerSpec& spec) {
    spec.rlimits = {{RLIMIT_NOFILE, 256, 512}};
    spec.oom_score_adj = 900;
    spec.working_dir = "/made/for/me";
  }) == "256\n900\n/made/for/me\n/root\n");
}

TEST_CASE("a pod of another boot is not adopted, a damaged record is swept", "[root]") {
  SKIP_UNLESS_ROOT;
  Fixture fixture;
  fixture.Create(fixture.PodSpec("pod-a"));
  fixture.sandboxes.clear();
  fixture.Close();
  std::string path = fixture.root + "/state/sandboxes/pod-a/spec";
  auto state = DecodeState(Slurp(path));
  REQUIRE(state.ok());
  // After a reboot there would be no warden either.
  ::kill(state->warden_pid, SIGKILL);
  state->boot_id = "another";
  std::ofstream(path) << EncodeState(*state);
  std::string broken = fixture.root + "/state/sandboxes/pod-b";
  REQUIRE(::mkdir(broken.c_str(), 0700) == 0);
  std::ofstream(broken + "/spec") << EncodeState(*state).substr(0, 100);
  fixture.Open();
  REQUIRE(fixture.recovered.size() == 1);
  CHECK(fixture.recovered[0].sandbox == nullptr);
  CHECK(fixture.recovered[0].spec.id == "pod-a");
  CHECK(::access(path.c_str(), F_OK) != 0);
  CHECK(::access(broken.c_str(), F_OK) != 0);
}

TEST_CASE("fifty sandboxes leave nothing: no process, mount, cgroup, directory or descriptor", "[root]") {
  SKIP_UNLESS_ROOT;
  Fixture fixture(0);
  auto tree = CgroupTree::Open(fixture.cgroup_root);
  REQUIRE(tree.ok());
  std::string pods = (*tree)->PodPath(QosClass::kBestEffort, "");
  pods = pods.substr(0, pods.rfind('/'));
  auto run = [&](int number) {
    std::string id = absl::StrCat("pod-", number);
    Sandbox& sandbox = fixture.Create(fixture.PodSpec(id));
    REQUIRE(sandbox.Start(fixture.ShellSpec(id + "-a", "sleep 1000 & sleep 1000 & wait")).ok());
    fixture.Run(sandbox, fixture.ShellSpec(id + "-b", "touch /x"));
    REQUIRE(sandbox.Remove().ok());
  };
  run(0);
  fixture.sandboxes.clear();
  fixture.Close();
  std::size_t children = CountChildren();
  std::size_t descriptors = CountEntries("/proc/self/fd");
  fixture.Open();
  for (int i = 1; i <= 50; ++i) run(i);
  fixture.sandboxes.clear();
  fixture.Close();
  CHECK(CountMounts(fixture.root) == 0);
  CHECK(CountChildren() == children);
  CHECK(CountEntries("/proc/self/fd") == descriptors);
  CHECK((*tree)->Children(pods).empty());
  CHECK((*tree)->Stats((*tree)->WardensPath())->pids == 0);
  CHECK(CountEntries(fixture.root + "/state/sandboxes") == 2);
}

TEST_CASE("a sandbox record survives its encoding, and nothing shorter or longer is one", "") {
  SandboxState state;
  state.spec.id = "u-1";
  state.spec.labels = {{"a", "b"}, {"c", std::string("nul\0inside", 10)}};
  state.spec.volumes = {{"v", {VolumeSource::Kind::kImage, "/p", 7, 0755, 5u, {"/l1", "/l2"}}}};
  state.spec.sysctls = {{"net.core.somaxconn", "1"}};
  state.spec.host_ports = {{"udp", "1.2.3.4", 53, 5353}};
  state.spec.qos = QosClass::kBurstable;
  state.spec.resources.cpu_shares = 99;
  state.spec.resources.cpuset_cpus = "0-1";
  state.spec.resources.hugepage_limits = {{"2MB", 4 << 20}};
  state.boot_id = "boot";
  state.warden_pid = 321;
  state.created_at = 5;
  state.network = {{"10.0.0.1", "fd00::1"}, "veth0"};
  std::string bytes = EncodeState(state);
  auto again = DecodeState(bytes);
  REQUIRE(again.ok());
  CHECK(EncodeState(*again) == bytes);
  CHECK(again->spec.labels == state.spec.labels);
  CHECK(again->spec.qos == QosClass::kBurstable);
  CHECK(*again->spec.resources.cpuset_cpus == "0-1");
  for (std::size_t size = 0; size < bytes.size(); ++size) CHECK_FALSE(DecodeState(bytes.substr(0, size)).ok());
  CHECK_FALSE(DecodeState(bytes + std::string(8, '\0')).ok());
}

TEST_CASE("a process that can't be started is an error of the starter", "") {
  SubprocessSpec spec;
  spec.path = "/does/not/exist";
  spec.args = {"x"};
  auto started = Spawn(spec);
  CHECK(absl::IsNotFound(started.status()));
  CHECK(ErrnoOf(started.status()) == ENOENT);
}

}  // namespace burstlet::sandbox::test
