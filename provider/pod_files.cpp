#include "provider/pod_files.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "absl/strings/str_cat.h"
#include "metrics/status.h"
#include "provider/translate/names.h"
#include "sandbox/os/safe_path.h"
#include "sandbox/os/unique_fd.h"

namespace burstlet::provider {
namespace {

bool Mounts(const kube::Container& container, const std::string& path) {
  for (const kube::VolumeMount& mount : container.volumeMounts) {
    if (mount.mountPath == path) return true;
  }
  return false;
}

}  // namespace

absl::Status MakePodDirs(const AgentPaths& paths, const kube::Pod& pod) {
  // The log directory comes with the first container, after the pod's record: whatever exists has a record to it.
  return sandbox::MakeDirectory(paths.PodDir(pod.metadata.uid), 0700);
}

absl::StatusOr<std::vector<DnsWarning>> WritePodFiles(const AgentPaths& paths, const kube::Pod& pod,
                                                      const std::vector<std::string>& pod_ips, const HostNames& names,
                                                      const NodeInfo& node) {
  const std::string& uid = pod.metadata.uid;
  std::string host_hosts;
  if (pod.spec.hostNetwork) {
    ASSIGN_OR_RETURN(host_hosts, sandbox::ReadFile("/etc/hosts"));
  }
  // A node without resolver configuration is possible; the pod then has what its own policy says.
  const auto host_resolv = sandbox::ReadFile(node.host_resolv_conf);
  const auto& ips = pod.spec.hostNetwork ? node.addresses : pod_ips;
  ASSIGN_OR_RETURN(PodDns dns, MakePodDns(pod, node, host_resolv.value_or("")));
  // The kernel's name: all of it with setHostnameAsFQDN, the node's own with its network.
  ASSIGN_OR_RETURN(const std::string hostname, KernelHostname(pod, node));
  RETURN_IF_ERROR(
      sandbox::WriteFileAtomically(paths.PodFile(uid, "etc-hosts"), HostsFile(pod, ips, names, host_hosts), 0644));
  RETURN_IF_ERROR(sandbox::WriteFileAtomically(paths.PodFile(uid, "resolv.conf"), dns.resolv_conf, 0644));
  RETURN_IF_ERROR(sandbox::WriteFileAtomically(paths.PodFile(uid, "hostname"), hostname + "\n", 0644));
  return std::move(dns.warnings);
}

absl::Status PrepareContainerFiles(const AgentPaths& paths, const kube::Pod& pod, const std::string& container,
                                   unsigned attempt) {
  RETURN_IF_ERROR(sandbox::MakeDirectory(absl::StrCat(paths.PodLogDir(pod), "/", container), 0755));
  RETURN_IF_ERROR(
      sandbox::MakeDirectory(absl::StrCat(paths.PodDir(pod.metadata.uid), "/containers/", container), 0700));
  const std::string path = paths.TerminationMessage(pod.metadata.uid, container, attempt);
  const sandbox::UniqueFd fd(open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0666));
  if (fd.get() < 0) return ErrnoError(errno, absl::StrCat("creating ", path));
  // Any user of the container may write its last words; the umask must not decide that.
  if (fchmod(fd.get(), 0666) != 0) return ErrnoError(errno, absl::StrCat("chmod ", path));
  return absl::OkStatus();
}

std::vector<sandbox::MountSpec> PodFileMounts(const AgentPaths& paths, const kube::Pod& pod,
                                              const kube::Container& container, unsigned attempt) {
  const std::string& uid = pod.metadata.uid;
  std::vector<sandbox::MountSpec> mounts;
  const auto add = [&](const std::string& host_path, const std::string& destination) {
    if (Mounts(container, destination)) return;
    sandbox::MountSpec mount;
    mount.host_path = host_path;
    mount.destination = destination;
    mounts.push_back(std::move(mount));
  };
  add(paths.PodFile(uid, "etc-hosts"), "/etc/hosts");
  add(paths.PodFile(uid, "resolv.conf"), "/etc/resolv.conf");
  add(paths.PodFile(uid, "hostname"), "/etc/hostname");
  std::string message =
      container.terminationMessagePath.empty() ? "/dev/termination-log" : container.terminationMessagePath;
  if (message[0] != '/') message = "/" + message;
  add(paths.TerminationMessage(uid, container.name, attempt), message);
  return mounts;
}

}  // namespace burstlet::provider
