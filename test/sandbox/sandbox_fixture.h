// A driver on the real kernel with a root directory, a cgroup root and a busybox image of its own; all of it is gone
// when the fixture is. Needs root: tests call SKIP_UNLESS_ROOT first.
#pragma once

#include <fcntl.h>
#include <poll.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

#include <chrono>
#include <fstream>
#include <functional>
#include <memory>
#include <sstream>
#include <string>
#include <vector>

#include <catch2/catch.hpp>

#include "absl/strings/str_cat.h"
#include "sandbox/native/native_driver.h"
#include "sandbox/os/cgroup.h"
#include "sandbox/os/safe_path.h"
#include "sandbox/os/unique_fd.h"
#include "sandbox/sandbox.h"

namespace burstlet::sandbox::test {

#define SKIP_UNLESS_ROOT           \
  do {                             \
    if (::geteuid() != 0) {        \
      WARN("skipped: needs root"); \
      return;                      \
    }                              \
  } while (false)

inline std::string Slurp(const std::string& path) {
  std::ifstream file(path);
  std::stringstream content;
  content << file.rdbuf();
  return content.str();
}

/// The messages of a CRI log, without stamps and tags; parts are joined.
inline std::string LogText(const std::string& path, const std::string& stream = "") {
  std::istringstream lines(Slurp(path));
  std::string line;
  std::string text;
  while (std::getline(lines, line)) {
    std::size_t first = line.find(' ');
    std::size_t second = line.find(' ', first + 1);
    std::size_t third = line.find(' ', second + 1);
    if (third == std::string::npos) continue;
    if (!stream.empty() && line.substr(first + 1, second - first - 1) != stream) continue;
    text += line.substr(third + 1);
    if (line.substr(second + 1, third - second - 1) == "F") text += "\n";
  }
  return text;
}

class Fixture {
 public:
  explicit Fixture(unsigned pool_size = 1, PodNetwork* network = nullptr) : pool_size_(pool_size), network_(network) {
    static int counter = 0;
    root = absl::StrCat("/tmp/burstlet-test-", ::getpid(), "-", ++counter);
    cgroup_root = absl::StrCat("/burstlet-test-", ::getpid(), "-", counter);
    REQUIRE(::mkdir(root.c_str(), 0755) == 0);
    image = root + "/image";
    MakeImage();
    REQUIRE(::mkdir((root + "/logs").c_str(), 0755) == 0);
    Open();
  }
  ~Fixture() {
    sandboxes.clear();
    Close();
    auto tree = CgroupTree::Open(cgroup_root);
    if (tree.ok()) {
      (*tree)->KillAll(cgroup_root).IgnoreError();
      (*tree)->RemoveRoot().IgnoreError();
    }
    UniqueFd tmp(::open("/tmp", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    RemoveTree(tmp.get(), root.substr(5)).IgnoreError();
  }

  void Open() {
    NativeDriverConfig config;
    config.root_dir = root + "/state";
    config.cgroup_root = cgroup_root;
    config.warden_path = BURSTLET_BINARY_DIR "/burstlet-warden";
    config.pool_size = pool_size_;
    config.network = network_;
    auto opened = OpenNativeDriver(config);
    INFO(opened.status().ToString());
    REQUIRE(opened.ok());
    driver = *std::move(opened);
    auto recover = driver->Recover();
    INFO(recover.status().ToString());
    REQUIRE(recover.ok());
    recovered = *std::move(recover);
  }
  /// The agent's end: objects go, pods stay.
  void Close() { driver.reset(); }

  SandboxSpec PodSpec(const std::string& id) const {
    SandboxSpec spec;
    spec.id = id;
    spec.log_name = "default/" + id;
    spec.hostname = id;
    return spec;
  }
  ContainerSpec ShellSpec(const std::string& id, const std::string& script) const {
    ContainerSpec spec = CommandSpec(id, {"/bin/sh", "-c", script});
    return spec;
  }
  ContainerSpec CommandSpec(const std::string& id, std::vector<std::string> args) const {
    ContainerSpec spec;
    spec.id = id;
    spec.name = "main";
    spec.rootfs.lower_dirs = {image};
    spec.args = std::move(args);
    spec.env = {"PATH=/bin"};
    spec.capabilities = {"CHOWN",   "DAC_OVERRIDE",     "FSETID",     "FOWNER",     "MKNOD",
                         "NET_RAW", "SETGID",           "SETUID",     "SETFCAP",    "SETPCAP",
                         "KILL",    "NET_BIND_SERVICE", "SYS_CHROOT", "AUDIT_WRITE"};
    spec.masked_paths = {"/proc/acpi",
                         "/proc/asound",
                         "/proc/kcore",
                         "/proc/keys",
                         "/proc/latency_stats",
                         "/proc/timer_list",
                         "/proc/timer_stats",
                         "/proc/sched_debug",
                         "/proc/scsi",
                         "/sys/firmware",
                         "/sys/devices/virtual/powercap"};
    spec.read_only_paths = {"/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"};
    spec.log_path = LogPath(id);
    return spec;
  }
  std::string LogPath(const std::string& id) const { return root + "/logs/" + id + ".log"; }

  Sandbox& Create(const SandboxSpec& spec) {
    auto created = driver->Create(spec);
    INFO(created.status().ToString());
    REQUIRE(created.ok());
    sandboxes.push_back(*std::move(created));
    return *sandboxes.back();
  }

  /// Starts, waits for the end, returns the final state.
  ContainerState Run(Sandbox& sandbox, const ContainerSpec& spec) {
    auto started = sandbox.Start(spec);
    INFO(started.status().ToString());
    REQUIRE(started.ok());
    return AwaitExit(sandbox, spec.id);
  }
  /// What a shell script prints in a fresh container of a fresh pod.
  std::string Output(const std::string& script, const std::function<void(ContainerSpec&)>& change = {}) {
    std::string id = absl::StrCat("p", ++pods_);
    Sandbox& sandbox = Create(PodSpec(id));
    ContainerSpec spec = ShellSpec(id + "-c", script);
    if (change) change(spec);
    Run(sandbox, spec);
    std::string text = LogText(spec.log_path);
    REQUIRE(sandbox.Remove().ok());
    return text;
  }

  static ContainerState AwaitExit(Sandbox& sandbox, const std::string& id) {
    auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(20);
    for (;;) {
      auto all = sandbox.Containers();
      INFO(all.status().ToString());
      REQUIRE(all.ok());
      for (const ContainerState& state : *all) {
        if (state.id == id && state.phase == ContainerPhase::kExited) return state;
      }
      REQUIRE(std::chrono::steady_clock::now() < deadline);
      pollfd poll_fd{sandbox.event_fd(), POLLIN, 0};
      ::poll(&poll_fd, 1, 1000);
    }
  }

  /// Waits (by inotify) until the container's log holds `text`.
  static void AwaitLog(const std::string& path, const std::string& text) {
    UniqueFd watch(::inotify_init1(IN_CLOEXEC | IN_NONBLOCK));
    REQUIRE(::inotify_add_watch(watch.get(), path.c_str(), IN_MODIFY) >= 0);
    while (LogText(path).find(text) == std::string::npos) {
      pollfd poll_fd{watch.get(), POLLIN, 0};
      REQUIRE(::poll(&poll_fd, 1, 20000) == 1);
      char events[4096];
      REQUIRE(::read(watch.get(), events, sizeof(events)) > 0);
    }
  }

  void WriteInImage(const std::string& path, const std::string& content) const {
    std::ofstream(image + path) << content;
  }

  std::string root;
  std::string cgroup_root;
  std::string image;
  std::unique_ptr<SandboxDriver> driver;
  std::vector<RecoveredSandbox> recovered;
  std::vector<std::unique_ptr<Sandbox>> sandboxes;

 private:
  void MakeImage() const {
    for (const char* dir : {"", "/bin", "/etc", "/tmp", "/proc", "/sys", "/dev", "/home", "/home/web"})
      REQUIRE(::mkdir((image + dir).c_str(), 0755) == 0);
    REQUIRE(::chmod((image + "/tmp").c_str(), 01777) == 0);
    std::ifstream from("/bin/busybox", std::ios::binary);
    std::ofstream to(image + "/bin/busybox", std::ios::binary);
    to << from.rdbuf();
    to.close();
    REQUIRE(::chmod((image + "/bin/busybox").c_str(), 0755) == 0);
    for (const char* name :
         {"sh",   "cat",  "echo",  "ls",    "id", "sleep", "mount",   "mknod",  "hostname", "pwd",      "ps",  "kill",
          "env",  "stat", "touch", "mkdir", "dd", "true",  "false",   "grep",   "head",     "readlink", "wc",  "tty",
          "stty", "seq",  "nc",    "ln",    "rm", "ip",    "unshare", "umount", "df",       "tr",       "test"})
      REQUIRE(::symlink("busybox", (image + "/bin/" + name).c_str()) == 0);
    WriteInImage("/etc/passwd", "root:x:0:0:root:/root:/bin/sh\nweb:x:1234:2345:web:/home/web:/bin/sh\n");
    WriteInImage("/etc/group", "root:x:0:\nwww:x:2345:\nextra:x:3456:web,root\n");
  }

  unsigned pool_size_;
  PodNetwork* network_;
  int pods_ = 0;
};

/// Reads a descriptor to its end (non-blocking ones too).
inline std::string ReadToEnd(int fd) {
  std::string text;
  char buffer[4096];
  for (;;) {
    pollfd poll_fd{fd, POLLIN, 0};
    if (::poll(&poll_fd, 1, 10000) <= 0) return text + "<timeout>";
    ssize_t got = ::read(fd, buffer, sizeof(buffer));
    if (got <= 0) return text;
    text.append(buffer, static_cast<std::size_t>(got));
  }
}

}  // namespace burstlet::sandbox::test
