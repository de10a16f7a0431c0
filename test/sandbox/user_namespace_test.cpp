// Pods with a user namespace of their own: ids inside and outside, volumes, commands, restarts, and what its root may
// do.
#include <fcntl.h>
#include <sys/sysmacros.h>
#include <csignal>

#include "metrics/status.h"
#include "sandbox/os/mount.h"
#include "test/sandbox/sandbox_fixture.h"

namespace burstlet::sandbox::test {
namespace {

constexpr std::uint32_t kBase = 65536 * 23;

#define SKIP_UNLESS_MAPPED                                       \
  SKIP_UNLESS_ROOT;                                              \
  do {                                                           \
    if (!KernelMapsIds()) {                                      \
      WARN("skipped: this kernel can't map the ids of a tmpfs"); \
      return;                                                    \
    }                                                            \
  } while (false)

bool Contains(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

SandboxSpec MappedPod(const Fixture& fixture, const std::string& id) {
  SandboxSpec spec = fixture.PodSpec(id);
  spec.user_namespace = {{0, kBase, 65536}};
  return spec;
}

/// What a shell script prints in a container of a mapped pod.
std::string MappedOutput(Fixture& fixture, const std::string& script,
                         const std::function<void(ContainerSpec&)>& change = {},
                         const std::function<void(SandboxSpec&)>& change_pod = {}) {
  static int number = 0;
  SandboxSpec pod = MappedPod(fixture, absl::StrCat("mapped-", ++number));
  if (change_pod) change_pod(pod);
  Sandbox& sandbox = fixture.Create(pod);
  ContainerSpec spec = fixture.ShellSpec(pod.id + "-c", script);
  if (change) change(spec);
  fixture.Run(sandbox, spec);
  std::string text = LogText(spec.log_path);
  REQUIRE(sandbox.Remove().ok());
  return text;
}

struct stat StatOf(const std::string& path) {
  struct stat status{};
  INFO(path);
  REQUIRE(::lstat(path.c_str(), &status) == 0);
  return status;
}

std::string Command(Sandbox& sandbox, const std::string& id, const std::string& script, bool tty = false) {
  ExecSpec spec;
  spec.args = {"sh", "-c", script};
  spec.tty = tty;
  auto streams = sandbox.Exec(id, spec);
  INFO(streams.status().ToString());
  REQUIRE(streams.ok());
  UniqueFd out(streams->stdout_fd), err(streams->stderr_fd), master(streams->master_fd), exit(streams->exit_fd);
  std::string text = ReadToEnd(tty ? master.get() : out.get());
  if (!tty) text += ReadToEnd(err.get());
  return text;
}

}  // namespace

TEST_CASE("a pod with a user namespace is root inside and nobody of the host outside", "[root][userns]") {
  SKIP_UNLESS_MAPPED;
  Fixture fixture;
  Sandbox& sandbox = fixture.Create(MappedPod(fixture, "pod-a"));
  ContainerSpec spec = fixture.ShellSpec(
      "c1",
      "cat /proc/self/uid_map /proc/self/gid_map | tr -s ' '; id -u; grep -E '^Cap(Prm|Eff|Bnd)' /proc/self/status; "
      "touch /tmp/mine /etc/passwd; stat -c %u:%g /tmp/mine /etc/passwd /bin/busybox / /dev /dev/shm; echo ready; "
      "exec sleep 1000");
  auto started = sandbox.Start(spec);
  INFO(started.status().ToString());
  REQUIRE(started.ok());
  Fixture::AwaitLog(spec.log_path, "ready");
  const std::string text = LogText(spec.log_path);
  INFO(text);
  const std::string map = absl::StrCat(" 0 ", kBase, " 65536\n");
  CHECK(Contains(text, map + map + "0\n"));
  CHECK(Contains(text, "CapEff:\t00000000a80425fb"));
  CHECK(Contains(text, "CapBnd:\t00000000a80425fb"));
  CHECK(Contains(text, "0:0\n0:0\n0:0\n0:0\n0:0\n0:0\nready"));
  const std::string proc = absl::StrCat("/proc/", started->pid);
  CHECK(Contains(Slurp(proc + "/status"), absl::StrCat("Uid:\t", kBase, "\t", kBase)));
  // Files of the image keep their owner on the disk; what the container wrote has the shifted one.
  const std::string upper = fixture.root + "/state/sandboxes/pod-a/containers/c1/upper";
  CHECK(StatOf(upper + "/tmp/mine").st_uid == kBase);
  CHECK(StatOf(upper + "/etc/passwd").st_gid == kBase);
  CHECK(StatOf(fixture.image + "/etc/passwd").st_uid == 0);
  // CVE-2025-47291: the pod's processes are within the pod's cgroup.
  CHECK(Contains(Slurp(proc + "/cgroup"), "pod-a/c1"));
  CHECK(sandbox.Remove().ok());
}

TEST_CASE("users, groups and pipes of a mapped pod", "[root][userns]") {
  SKIP_UNLESS_MAPPED;
  Fixture fixture;
  const std::string text =
      MappedOutput(fixture, "id; echo again > /proc/self/fd/1; cat /etc/secret 2>&1; pwd; touch x; stat -c %u x",
                   [](ContainerSpec& spec) {
                     spec.user.image_user = "web";
                     spec.user.supplemental_groups = {4000};
                     spec.working_dir = "/tmp";
                   });
  INFO(text);
  CHECK(Contains(text, "uid=1234(web) gid=2345(www) groups=2345(www),3456(extra),4000\nagain\n"));
  CHECK(Contains(text, "/tmp\n1234\n"));
  Sandbox& sandbox = fixture.Create(MappedPod(fixture, "pod-b"));
  ContainerSpec spec = fixture.ShellSpec("c1", "true");
  spec.user.uid = 70000;
  const auto started = sandbox.Start(spec);
  CHECK(ReasonOf(started.status()) == "RunContainerError");
  CHECK(Contains(std::string(started.status().message()), "setuid 70000"));
  CHECK(sandbox.Remove().ok());
}

TEST_CASE("volumes of a mapped pod have its ids inside and plain ones on the disk", "[root][userns]") {
  SKIP_UNLESS_MAPPED;
  Fixture fixture;
  const std::string volume = fixture.root + "/volume";
  REQUIRE(::mkdir(volume.c_str(), 0755) == 0);
  std::ofstream(volume + "/given") << "from the node\n";
  REQUIRE(::chown((volume + "/given").c_str(), 1234, 2345) == 0);
  fixture.WriteInImage("/tmp/hosts", "127.0.0.1 localhost\n");
  REQUIRE(::mkdir((fixture.root + "/top").c_str(), 0755) == 0);
  const std::string text = MappedOutput(
      fixture,
      "stat -c %u:%g /data /data/given /memory /etc/hosts /queues /image/etc/passwd /whole/etc/passwd; cat /data/given "
      "/etc/hosts; "
      "touch /data/new /memory/new /deep/new /queues/new && stat -c %u:%g /data/new /memory/new /deep /deep/new; "
      "touch /image/x 2>&1; echo images; stat -c %u:%g /own/etc/passwd /part /part/sh; touch /part/x 2>&1",
      [&](ContainerSpec& spec) {
        spec.mounts = {{"data", "", "", "/data", false, false, Propagation::kPrivate},
                       {"data", "", "made/here", "/deep", false, false, Propagation::kPrivate},
                       {"memory", "", "", "/memory", false, false, Propagation::kPrivate},
                       {"queues", "", "", "/queues", false, false, Propagation::kPrivate},
                       {"image", "", "", "/image", true, false, Propagation::kPrivate},
                       {"", "", "", "/own", true, false, Propagation::kPrivate, {fixture.image}},
                       {"", "", "bin", "/part", true, false, Propagation::kPrivate, {fixture.image}},
                       {"", fixture.image + "/tmp/hosts", "", "/etc/hosts", false, false, Propagation::kPrivate}};
        MountSpec image;
        image.destination = "/whole";
        image.image_layers = {fixture.root + "/top", fixture.image};
        spec.mounts.push_back(image);
      },
      [&](SandboxSpec& pod) {
        pod.volumes = {{"data", {VolumeSource::Kind::kHostPath, volume, 0, 0, {}, {}}},
                       {"memory", {VolumeSource::Kind::kTmpfs, "", 1 << 20, 01777, 3000, {}}},
                       {"queues", {VolumeSource::Kind::kMqueue, "", 0, 0, {}, {}}},
                       {"image", {VolumeSource::Kind::kImage, "", 0, 0, {}, {fixture.image}}}};
      });
  INFO(text);
  CHECK(Contains(text, "0:0\n1234:2345\n0:3000\n0:0\n0:0\n0:0\n0:0\nfrom the node\n127.0.0.1"));
  CHECK(Contains(text, "localhost\n0:0\n0:0\n0:0\n0:0\n"));
  CHECK(Contains(text, "Read-only file system"));
  CHECK(Contains(text, "images\n0:0\n0:0\n0:0\ntouch: /part/x: Read-only file system"));
  CHECK(StatOf(volume + "/new").st_uid == 0);
  CHECK(StatOf(volume + "/made/here/new").st_uid == 0);
  CHECK(StatOf(volume + "/made/here").st_gid == 0);
}

TEST_CASE("an image of many layers, a read-only root and a terminal in a mapped pod", "[root][userns]") {
  SKIP_UNLESS_MAPPED;
  Fixture fixture;
  std::vector<std::string> layers;
  for (int i = 0; i < 70; ++i) {
    layers.push_back(absl::StrCat(fixture.root, "/layer-", i));
    REQUIRE(::mkdir(layers.back().c_str(), 0755) == 0);
    std::ofstream(absl::StrCat(layers.back(), "/from-", i)) << i;
  }
  layers.push_back(fixture.image);
  const std::string text = MappedOutput(
      fixture, "stat -c %u /from-0 /from-69 /bin/busybox; touch /x; tty; stat -c %u:%g $(tty); echo to > /dev/tty",
      [&](ContainerSpec& spec) {
        spec.rootfs.lower_dirs = layers;
        spec.rootfs.read_only = true;
        spec.tty = true;
      });
  INFO(text);
  CHECK(Contains(text, "0\r\n0\r\n0\r\n"));
  CHECK(Contains(text, "Read-only file system"));
  CHECK(Contains(text, "/dev/pts/0\r\n0:5\r\nto\r\n"));
}

TEST_CASE("a command joins the user namespace of its container, also after a restart of the agent", "[root][userns]") {
  SKIP_UNLESS_MAPPED;
  Fixture fixture;
  {
    Sandbox& sandbox = fixture.Create(MappedPod(fixture, "pod-a"));
    REQUIRE(sandbox.Start(fixture.CommandSpec("c1", {"sleep", "1000"})).ok());
    const std::string look = "cat /proc/self/uid_map | tr -s ' '; touch /tmp/x; stat -c %u /tmp/x; cat /proc/1/comm";
    const std::string seen = absl::StrCat(" 0 ", kBase, " 65536\n0\nsleep\n");
    CHECK(Command(sandbox, "c1", look) == seen);
    CHECK(Command(sandbox, "c1", "stat -c %u:%g $(tty)", true) == "0:5\r\n");
    CHECK(Command(sandbox, "c1", "cat /proc/1/oom_score_adj /proc/self/oom_score_adj") == "0\n0\n");
  }
  fixture.sandboxes.clear();
  fixture.Close();
  fixture.Open();
  REQUIRE(fixture.recovered.size() == 1);
  REQUIRE(fixture.recovered[0].sandbox != nullptr);
  CHECK(fixture.recovered[0].spec.user_namespace[0].host_id == kBase);
  Sandbox& again = *fixture.recovered[0].sandbox;
  CHECK(Contains(Command(again, "c1", "cat /proc/self/uid_map | tr -s ' '"), absl::StrCat(" 0 ", kBase, " 65536")));
  ContainerSpec second = fixture.ShellSpec("c2", "cat /proc/self/uid_map | tr -s ' '; stat -c %u /bin/busybox");
  CHECK(fixture.Run(again, second).exit_code == 0);
  CHECK(LogText(second.log_path) == absl::StrCat(" 0 ", kBase, " 65536\n0\n"));
  CHECK(again.Remove().ok());
}

TEST_CASE("the network and settings of a mapped pod are its root's; the host's are not", "[root][userns]") {
  SKIP_UNLESS_MAPPED;
  Fixture fixture;
  auto all = [](ContainerSpec& spec) {
    spec.capabilities = {"NET_ADMIN", "SYS_ADMIN", "MKNOD", "SYS_PTRACE"};
    spec.seccomp.kind = SeccompSpec::Kind::kUnconfined;
  };
  const std::string text = MappedOutput(
      fixture,
      "ip link set lo up && echo up; mount -t tmpfs x /tmp && echo mounted; umount /proc/kcore && echo UNMASKED; "
      "umount /sys/firmware && echo UNMASKED; mount -o remount,rw /proc/sys && echo WRITABLE; "
      "mknod /tmp/disk b 8 0 && echo MADE; mount -t proc p /tmp && echo NEWPROC; cat /proc/sys/net/core/somaxconn "
      "/proc/sys/kernel/shm_rmid_forced; cat /proc/1/ns/../environ > /dev/null && echo own; echo end",
      all, [](SandboxSpec& pod) {
        pod.sysctls = {{"net.core.somaxconn", "1234"},
                       {"kernel.shm_rmid_forced", "1"},
                       {"net.ipv4.ip_unprivileged_port_start", "0"}};
      });
  INFO(text);
  CHECK(Contains(text, "up\n"));
  CHECK(Contains(text, "mounted\n"));
  CHECK_FALSE(Contains(text, "UNMASKED"));
  CHECK_FALSE(Contains(text, "WRITABLE"));
  CHECK_FALSE(Contains(text, "MADE"));
  CHECK_FALSE(Contains(text, "NEWPROC"));
  CHECK(Contains(text, "1234\n1\n"));
  CHECK(Contains(text, "own\nend"));
}

TEST_CASE("a mapped pod stays within its limits (CVE-2025-47291)", "[root][userns]") {
  SKIP_UNLESS_MAPPED;
  Fixture fixture;
  Sandbox& sandbox = fixture.Create(MappedPod(fixture, "pod-a"));
  ContainerSpec spec = fixture.ShellSpec("c1", "");
  spec.args = {"/bin/dd", "if=/dev/zero", "of=/dev/null", "bs=100M", "count=1"};
  spec.resources.memory_limit_bytes = 24 << 20;
  const ContainerState state = fixture.Run(sandbox, spec);
  CHECK(state.exit_code == 137);
  CHECK(state.oom_killed);
  // A command run in it is held as well.
  ContainerSpec stays = fixture.ShellSpec("c2", "exec sleep 1000");
  stays.resources.memory_limit_bytes = 24 << 20;
  REQUIRE(sandbox.Start(stays).ok());
  CHECK_FALSE(
      Contains(Command(sandbox, "c2", "dd if=/dev/zero of=/dev/null bs=100M count=1; echo ended $?"), "ended 0"));
  CHECK(sandbox.Remove().ok());
}

TEST_CASE("limits of a user namespace are written within it, and nowhere else", "[root][userns]") {
  SKIP_UNLESS_MAPPED;
  Fixture fixture;
  const std::string path = "/proc/sys/user/max_inotify_watches";
  const std::string before = Slurp(path);
  const std::string text =
      MappedOutput(fixture, absl::StrCat("cat ", path, " /proc/sys/kernel/domainname"), {}, [](SandboxSpec& pod) {
        pod.sysctls = {{"user.max_inotify_watches", "1234"}, {"kernel.domainname", "pods.test"}};
      });
  CHECK(text == "1234\npods.test\n");
  CHECK(Slurp(path) == before);
  SandboxSpec wrong = MappedPod(fixture, "wrong");
  wrong.sysctls = {{"user.no_such_limit", "1"}};
  const absl::Status refused = fixture.driver->Create(wrong).status();
  CHECK(Contains(std::string(refused.message()), "sysctl"));
}

TEST_CASE("device nodes keep their owners: a mapped pod's root is not the host's", "[root][userns]") {
  SKIP_UNLESS_MAPPED;
  Fixture fixture;
  const std::string device = fixture.root + "/zero";
  REQUIRE(::mknod(device.c_str(), S_IFCHR | 0600, makedev(1, 5)) == 0);
  auto privileged = [&](ContainerSpec& spec) {
    spec.privileged = true;
    spec.masked_paths.clear();
    spec.read_only_paths.clear();
    spec.devices = {{device, "/dev/mine", "rwm"}};
  };
  const std::string script =
      "head -c 1 /dev/mine > /dev/null && echo READ; echo x > /dev/null && echo null; mount -t tmpfs x /tmp && echo "
      "mounted";
  CHECK(fixture.Output(script, privileged) == "READ\nnull\nmounted\n");
  const std::string text = MappedOutput(fixture, script, privileged);
  INFO(text);
  CHECK(Contains(text, "Permission denied"));
  CHECK_FALSE(Contains(text, "READ"));
  CHECK(Contains(text, "null\nmounted\n"));
}

TEST_CASE("with nothing masked a mapped pod mounts a procfs for containers of its own (procMount Unmasked)",
          "[root][userns]") {
  SKIP_UNLESS_MAPPED;
  Fixture fixture;
  const std::string text =
      MappedOutput(fixture, "unshare -p -f sh -c 'mount -t proc p /tmp && ls /tmp/self/fd && echo nested'; echo end",
                   [](ContainerSpec& spec) {
                     spec.capabilities = {"SYS_ADMIN"};
                     spec.seccomp.kind = SeccompSpec::Kind::kUnconfined;
                     spec.masked_paths.clear();
                     spec.read_only_paths.clear();
                   });
  INFO(text);
  CHECK(Contains(text, "nested\nend"));
}

TEST_CASE("a mount that can't map ids is refused and named", "[root][userns]") {
  SKIP_UNLESS_MAPPED;
  Fixture fixture;
  SandboxSpec pod = MappedPod(fixture, "pod-a");
  pod.volumes = {{"kernel", {VolumeSource::Kind::kHostPath, "/proc/sys/kernel", 0, 0, {}, {}}}};
  Sandbox& sandbox = fixture.Create(pod);
  ContainerSpec spec = fixture.ShellSpec("c1", "true");
  spec.mounts = {{"kernel", "", "", "/kernel", true, false, Propagation::kPrivate}};
  const auto started = sandbox.Start(spec);
  CHECK(ReasonOf(started.status()) == "CreateContainerError");
  CHECK(Contains(std::string(started.status().message()), "failed to set MOUNT_ATTR_IDMAP on \"/kernel\""));
  CHECK(sandbox.Remove().ok());
  pod.id = "pod-b";
  pod.host_pid = true;
  CHECK_FALSE(fixture.driver->Create(pod).ok());
}

}  // namespace burstlet::sandbox::test
