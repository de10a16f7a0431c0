#include "provider/cni/cni_bandwidth.h"

#include <net/if.h>

#include <algorithm>
#include <array>
#include <cerrno>

#include "absl/strings/str_cat.h"
#include "metrics/status.h"
#include "sandbox/net/links.h"
#include "sandbox/net/netns.h"

namespace burstlet::provider {
namespace {

constexpr const char* kCapability = "bandwidth";

/// The name here of the other end of a pod's wire.
absl::StatusOr<std::string> HostEnd(int netns_fd, const std::string& interface) {
  std::uint32_t peer = 0;
  RETURN_IF_ERROR(sandbox::RunInNetworkNamespace(netns_fd, [&] {
    ASSIGN_OR_RETURN(sandbox::Links links, sandbox::Links::Open());
    ASSIGN_OR_RETURN(const std::vector<sandbox::Link> found, links.List("veth", interface));
    for (const sandbox::Link& link : found) {
      if (link.name == interface) peer = link.peer;
    }
    return absl::OkStatus();
  }));
  if (peer == 0) {
    return absl::FailedPreconditionError(
        absl::StrCat("kubernetes.io/ingress-bandwidth: no plugin of the network limits it, and the pod's ", interface,
                     " is no veth, where the node could"));
  }
  std::array<char, IF_NAMESIZE> name;
  if (if_indextoname(peer, name.data()) == nullptr) {
    return ErrnoError(errno, absl::StrCat("the host's end of ", interface));
  }
  return std::string(name.data());
}

}  // namespace

CniLimits ShareLimits(const CniNetworkConfig& config, const sandbox::Bandwidth& asked,
                      const std::function<bool()>& has_ifb) {
  const bool able = std::any_of(config.plugins.begin(), config.plugins.end(), [](const CniPluginConfig& plugin) {
    return plugin.capabilities.contains(kCapability);
  });
  if (!able) return {.plugins = {}, .node = asked};
  CniLimits limits{.plugins = asked, .node = {}};
  if (asked.egress != 0 && !has_ifb()) std::swap(limits.plugins.egress, limits.node.egress);
  return limits;
}

absl::Status LimitByNode(int netns_fd, const std::string& interface, const sandbox::Bandwidth& limits) {
  if (limits.ingress != 0) {
    ASSIGN_OR_RETURN(const std::string host_end, HostEnd(netns_fd, interface));
    RETURN_IF_ERROR(sandbox::LimitSending(host_end, limits.ingress));
  }
  if (limits.egress == 0) return absl::OkStatus();
  return sandbox::RunInNetworkNamespace(
      netns_fd, [&interface, &limits] { return sandbox::LimitSending(interface, limits.egress); });
}

bool HasIfb(int netns_fd) {
  bool has = false;
  LogIfError(sandbox::RunInNetworkNamespace(netns_fd,
                                            [&has] {
                                              ASSIGN_OR_RETURN(sandbox::Links links, sandbox::Links::Open());
                                              ASSIGN_OR_RETURN(has, links.Makes("ifb"));
                                              return absl::OkStatus();
                                            }),
             "Interfaces of the kind ifb not tried");
  return has;
}

}  // namespace burstlet::provider
