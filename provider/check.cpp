#include "provider/check.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <linux/seccomp.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <cstdio>
#include <cstring>

#include "absl/strings/str_cat.h"
#include "cache/layer_mounts.h"
#include "metrics/status.h"
#include "sandbox/net/firewall.h"
#include "sandbox/os/cgroup.h"
#include "sandbox/os/mount.h"
#include "sandbox/os/safe_path.h"
#include "sandbox/os/unique_fd.h"

namespace burstlet::provider {
namespace {

using Level = CheckResult::Level;

CheckResult Ok(std::string what, std::string detail) { return {Level::kOk, std::move(what), std::move(detail), ""}; }
CheckResult Warn(std::string what, std::string detail, std::string remedy) {
  return {Level::kWarning, std::move(what), std::move(detail), std::move(remedy)};
}
CheckResult Bad(std::string what, std::string detail, std::string remedy) {
  return {Level::kError, std::move(what), std::move(detail), std::move(remedy)};
}

CheckResult CheckUser() {
  if (geteuid() == 0) return Ok("user", "root");
  return Bad("user", absl::StrCat("uid ", geteuid()), "run burstlet as root: namespaces, mounts and cgroups need it");
}

CheckResult CheckKernel() {
  utsname name{};
  uname(&name);
  int major = 0;
  int minor = 0;
  if (std::sscanf(name.release, "%d.%d", &major, &minor) != 2 || major < 6 || (major == 6 && minor < 1)) {
    return Bad("kernel", name.release, "Linux 6.1 or newer is needed");
  }
  return Ok("kernel", name.release);
}

CheckResult CheckCgroups() {
  // Tried with a root of its own, which goes again: what exists is left alone.
  auto tree = sandbox::CgroupTree::Open(absl::StrCat("/burstlet-check-", getpid()));
  if (!tree.ok()) {
    return Bad("cgroups", std::string(tree.status().message()),
               "mount cgroup2 at /sys/fs/cgroup with cpu, memory and pids delegated");
  }
  const std::string detail = (*tree)->Describe();
  const absl::Status removed = (*tree)->RemoveRoot();
  if (!removed.ok()) return Bad("cgroups", std::string(removed.message()), "remove that cgroup by hand");
  return Ok("cgroups", detail);
}

CheckResult CheckFilesystem(const std::string& type, const char* config_name) {
  const std::string known = sandbox::ReadFile("/proc/filesystems").value_or("");
  if (known.find(absl::StrCat("\t", type, "\n")) != std::string::npos) return Ok(type, "known to the kernel");
  return Warn(type, "not known to the kernel yet", absl::StrCat("modprobe ", type, " (", config_name, ")"));
}

CheckResult CheckMountApi() {
  const sandbox::UniqueFd context(static_cast<int>(syscall(SYS_fsopen, "tmpfs", 1 /* FSOPEN_CLOEXEC */)));
  if (context.valid()) return Ok("mount API", "fsopen works");
  return Bad("mount API", strerror(errno), "run outside a container, or give it CAP_SYS_ADMIN");
}

CheckResult CheckSeccomp() {
  const unsigned int action = SECCOMP_RET_KILL_PROCESS;
  if (syscall(SYS_seccomp, SECCOMP_GET_ACTION_AVAIL, 0, &action) == 0) return Ok("seccomp", "filters work");
  return Bad("seccomp", strerror(errno), "a kernel with CONFIG_SECCOMP_FILTER is needed");
}

CheckResult CheckUserNamespaces() {
  const auto limit = sandbox::ReadFile("/proc/sys/user/max_user_namespaces");
  if (!limit.ok()) return Warn("user namespaces", "not in this kernel", "pods with hostUsers: false will be refused");
  if (std::atoi(limit->c_str()) == 0)
    return Warn("user namespaces", "switched off", "sysctl user.max_user_namespaces=65536");
  if (!sandbox::KernelMapsIds())
    return Warn("user namespaces", "this kernel can't map the ids of a tmpfs",
                "Linux 6.3; pods with hostUsers: false fail");
  return Ok("user namespaces", "available");
}

CheckResult CheckForwardingFirewall(const Config& config) {
  if (config.network != "builtin") return Ok("forwarding", "the built-in network is off");
  const absl::Status status = sandbox::CheckForwarding();
  if (status.ok()) return Ok("forwarding", "no firewall drops it");
  return Warn("forwarding", std::string(status.message()),
              "accept forwarding from and to the pod CIDR in that firewall");
}

CheckResult CheckPort(const Config& config) {
  if (config.port == 0) return Ok("kubelet port", "any free one");
  const sandbox::UniqueFd fd(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(config.port);
  inet_pton(AF_INET, config.address.c_str(), &address.sin_addr);
  const int on = 1;
  setsockopt(fd.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
  if (bind(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof(address)) == 0) {
    return Ok("kubelet port", absl::StrCat(config.port, " is free"));
  }
  return Warn("kubelet port", absl::StrCat(config.port, ": ", strerror(errno)),
              "an agent or a kubelet runs here already; choose another with port: or --port");
}

CheckResult CheckKvm() {
  const sandbox::UniqueFd fd(open("/dev/kvm", O_RDWR | O_CLOEXEC));
  if (fd.valid()) return Ok("KVM", "/dev/kvm opens (whether guests run is probed when a VM class is configured)");
  return Warn("KVM", strerror(errno), "only needed for VM sandboxes: load kvm_intel or kvm_amd");
}

/// The nearest directory above the root directory that is there already: a check makes none.
std::string ExistingDirectory(std::string directory) {
  while (access(directory.c_str(), F_OK) != 0 && directory.size() > 1) {
    directory = directory.substr(0, directory.rfind('/'));
    if (directory.empty()) directory = "/";
  }
  return directory;
}

CheckResult CheckImageLayers(const Config& config) {
  const auto choice = cache::ChooseLayerFormat(ExistingDirectory(config.root_dir), config.image_layer_format);
  if (!choice.ok()) {
    return Bad("image layers", std::string(choice.status().message()), "set imageLayers.format to auto");
  }
  switch (choice->format) {
    case cache::LayerFormat::kErofsFile:
      return Ok("image layers", "EROFS images, mounted from files");
    case cache::LayerFormat::kErofsLoop:
      return Ok("image layers", absl::StrCat("EROFS images on loop devices",
                                             choice->why.empty() ? "" : absl::StrCat(" (", choice->why, ")")));
    case cache::LayerFormat::kDirectory:
      break;
  }
  if (choice->why.empty()) return Ok("image layers", "directories, as configured");
  return Warn("image layers", absl::StrCat("directories: ", choice->why),
              "slower pulls; Linux 6.12 with CONFIG_EROFS_FS_BACKED_BY_FILE, or erofs and loop modules");
}

CheckResult CheckDisk(const Config& config) {
  struct statvfs info{};
  statvfs(ExistingDirectory(config.root_dir).c_str(), &info);
  const double gib = static_cast<double>(info.f_bavail) * static_cast<double>(info.f_frsize) / (1ull << 30);
  const std::string detail = absl::StrCat(config.root_dir, ": ", static_cast<long>(gib), " GiB free");
  if (gib < 5) return Warn("disk", detail, "images need room: 5 GiB or more");
  return Ok("disk", detail);
}

CheckResult CheckResolver(const Config& config) {
  if (access(config.resolv_conf.c_str(), R_OK) == 0) return Ok("resolver", config.resolv_conf);
  return Warn("resolver", absl::StrCat(config.resolv_conf, ": ", strerror(errno)),
              "set resolvConf to the host's resolver file");
}

}  // namespace

std::vector<CheckResult> RunChecks(const Config& config) {
  return {CheckUser(),
          CheckKernel(),
          CheckCgroups(),
          CheckMountApi(),
          CheckFilesystem("overlay", "CONFIG_OVERLAY_FS"),
          CheckSeccomp(),
          CheckUserNamespaces(),
          CheckForwardingFirewall(config),
          CheckPort(config),
          CheckResolver(config),
          CheckDisk(config),
          CheckImageLayers(config),
          CheckKvm()};
}

bool CheckHost(const Config& config) {
  bool good = true;
  for (const CheckResult& result : RunChecks(config)) {
    const char* mark = result.level == Level::kOk ? "ok     " : result.level == Level::kWarning ? "warning" : "error  ";
    std::printf("%s  %-16s %s\n", mark, result.what.c_str(), result.detail.c_str());
    if (!result.remedy.empty()) std::printf("%*s-> %s\n", 27, "", result.remedy.c_str());
    good = good && result.level != Level::kError;
  }
  std::fflush(stdout);
  return good;
}

}  // namespace burstlet::provider
