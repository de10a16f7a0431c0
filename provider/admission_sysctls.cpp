#include "absl/strings/str_cat.h"
#include "provider/admission_checks.h"

namespace burstlet::provider {
namespace {

// Every kernel that burstlet runs on (6.1 and newer) has all of these per namespace.
constexpr const char* kSafeSysctls[] = {
    "kernel.shm_rmid_forced",
    "net.ipv4.ip_local_port_range",
    "net.ipv4.tcp_syncookies",
    "net.ipv4.ping_group_range",
    "net.ipv4.ip_unprivileged_port_start",
    "net.ipv4.ip_local_reserved_ports",
    "net.ipv4.tcp_keepalive_time",
    "net.ipv4.tcp_fin_timeout",
    "net.ipv4.tcp_keepalive_intvl",
    "net.ipv4.tcp_keepalive_probes",
    "net.ipv4.tcp_rmem",
    "net.ipv4.tcp_wmem",
    "net.ipv4.tcp_slow_start_after_idle",
    "net.ipv4.tcp_notsent_lowat",
};

/// A name whose first separator is a slash is in path form: there the dots belong to names (net/ipv4/conf/eth0.1/...).
std::string Normalize(const std::string& name) {
  const std::size_t first = name.find_first_of("./");
  if (first == std::string::npos || name[first] == '.') return name;
  std::string result = name;
  for (char& c : result) c = c == '/' ? '.' : c == '.' ? '/' : c;
  return result;
}

/// "IPC", "Net", "User", "UTS", or "" for one that the kernel does not keep per namespace.
const char* NamespaceOf(const std::string& name) {
  if (name == "kernel.domainname") return "UTS";
  if (name.rfind("net.", 0) == 0) return "Net";
  if (name.rfind("user.", 0) == 0) return "User";
  if (name.rfind("fs.mqueue.", 0) == 0) return "IPC";
  if (name.rfind("kernel.shm", 0) == 0 || name.rfind("kernel.msg", 0) == 0 || name == "kernel.sem") return "IPC";
  return "";
}

bool Listed(const std::string& name, const std::set<std::string>& allowed_unsafe) {
  for (const char* safe : kSafeSysctls) {
    if (name == safe) return true;
  }
  for (const std::string& entry : allowed_unsafe) {
    const std::string pattern = Normalize(entry);
    if (pattern.ends_with('*') ? name.compare(0, pattern.size() - 1, pattern, 0, pattern.size() - 1) == 0
                               : name == pattern) {
      return true;
    }
  }
  return false;
}

}  // namespace

std::optional<Refusal> CheckSysctls(const kube::PodSpec& spec, const std::set<std::string>& allowed_unsafe) {
  if (!spec.securityContext) return std::nullopt;
  const bool host_users = spec.hostUsers.value_or(true);
  for (const kube::Sysctl& sysctl : spec.securityContext->sysctls) {
    const std::string name = Normalize(sysctl.name);
    const std::string name_space = NamespaceOf(name);
    if (name_space.empty() || !Listed(name, allowed_unsafe)) {
      return Refusal{"SysctlForbidden", absl::StrCat("forbidden sysctl: \"", name, "\" not allowlisted")};
    }
    const bool shared = (name_space == "IPC" && spec.hostIPC) || (name_space == "Net" && spec.hostNetwork) ||
                        (name_space == "User" && host_users);
    if (shared) {
      return Refusal{"SysctlForbidden",
                     absl::StrCat("forbidden sysctl: \"", name, "\" not allowed with host ", name_space, " enabled")};
    }
  }
  return std::nullopt;
}

}  // namespace burstlet::provider
