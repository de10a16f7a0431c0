#include "provider/node_config.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include "metrics/version.h"
#include "sandbox/os/unique_fd.h"

namespace burstlet::provider {
namespace {

/// The source address that a packet to the outside would have: connect(2) of a datagram socket asks the routing table
/// and sends nothing.
std::string DefaultAddress() {
  const sandbox::UniqueFd fd(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(9);
  inet_pton(AF_INET, "192.0.2.1", &address.sin_addr);  // TEST-NET-1: any address outside will do
  socklen_t length = sizeof(address);
  const bool routed = connect(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof(address)) == 0 &&
                      getsockname(fd.get(), reinterpret_cast<sockaddr*>(&address), &length) == 0;
  char text[INET_ADDRSTRLEN] = {};
  if (!routed || inet_ntop(AF_INET, &address.sin_addr, text, sizeof(text)) == nullptr) return "127.0.0.1";
  return text;
}

}  // namespace

NodeStatusConfig MakeNodeStatusConfig(const Config& config) {
  NodeStatusConfig out;
  out.name = config.node_name;
  out.hostname = config.node_name;  // as a kubelet with --hostname-override reports it
  out.addresses = config.node_ips;
  if (out.addresses.empty()) out.addresses.push_back(DefaultAddress());
  out.kubelet_port = config.port;
  out.root_dir = config.root_dir;
  out.max_pods = config.max_pods;
  out.pids_limit = config.pod_pids_limit;
  out.cpu_cfs_quota = config.cpu_cfs_quota;
  out.cpu_cfs_quota_period_us = static_cast<std::uint64_t>(config.cpu_cfs_quota_period.count());
  if (config.memory_throttling_factor > 0) out.memory_throttling_factor = config.memory_throttling_factor;
  out.tiered_memory_reservation = config.memory_reservation_policy == "TieredReservation";
  out.system_reserved = config.system_reserved;
  out.kube_reserved = config.kube_reserved;
  out.eviction_hard = config.eviction_hard;
  out.labels = config.node_labels;
  out.taints = config.register_with_taints;
  out.cluster_dns = config.cluster_dns;
  out.cluster_domain = config.cluster_domain;
  out.resolv_conf = config.resolv_conf;
  out.version = kVersion;
  return out;
}

NodeControllerConfig MakeNodeControllerConfig(const Config& config) {
  NodeControllerConfig out;
  out.register_node = config.register_node;
  out.recreate_node = config.recreate_node;
  out.update_frequency = config.node_status_update_frequency;
  out.report_frequency = config.node_status_report_frequency;
  out.lease_duration_seconds = config.node_lease_duration_seconds;
  out.lease_renew_interval = std::chrono::milliseconds(config.node_lease_duration_seconds * 250);
  return out;
}

}  // namespace burstlet::provider
