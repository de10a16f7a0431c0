// A pod's resolv.conf, and what is worth a warning about it.
//
// Pure. Source: pkg/kubelet/network/dns/dns.go (GetPodDNS, formDNSConfigFitsLimits). Threads: any.
#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "kube/api/pod.h"
#include "provider/node_info.h"

namespace burstlet::provider {

/// A Warning event of the pod: DNSConfigForming when something was left out, MissingClusterDNS.
struct DnsWarning {
  std::string reason;
  std::string message;
};

struct PodDns {
  std::string resolv_conf;
  std::vector<DnsWarning> warnings;
};

/// dnsPolicy and dnsConfig within the limits of resolvers. kInvalidArgument: the host's file cannot be read.
absl::StatusOr<PodDns> MakePodDns(const kube::Pod& pod, const NodeInfo& node, const std::string& host_resolv_conf_text);

}  // namespace burstlet::provider
