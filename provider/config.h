// BurstletConfiguration: the agent's configuration file, checked as a whole before anything starts.
//
// A field that means what a field of KubeletConfiguration means has its name and format. Flags override the file.
// Failure: kInvalidArgument, one line that names file, line and field. An unknown field is an error.
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "kube/api/node.h"

namespace burstlet::provider {

struct Config {
  // --- identity and where things are (mostly flags)
  std::string kubeconfig;                   // empty: in-cluster, or no API server (`burstlet run`)
  std::string bootstrap_kubeconfig;         // asks for a client certificate when kubeconfig has none that counts
  std::string cert_dir;                     // default: <root-dir>/pki
  std::optional<bool> rotate_certificates;  // default: with a bootstrap kubeconfig
  bool server_tls_bootstrap = false;        // the serving certificate comes by CSR too
  std::string node_name;
  std::vector<std::string> node_ips;
  std::string root_dir = "/var/lib/burstlet";
  std::string cgroup_root = "/burstlet";
  std::string pod_logs_dir;  // default: <root-dir>/logs/pods
  std::string warden_path;   // default: burstlet-warden beside the program

  // --- the kubelet port
  std::string address = "0.0.0.0";
  std::uint16_t port = 10250;
  std::string tls_cert_file;
  std::string tls_private_key_file;
  std::string tls_min_version = "VersionTLS12";  // crypto/tls names, as these
  std::vector<std::string> tls_cipher_suites;    // empty: the good ones; TLS 1.3's cannot be chosen
  std::string client_ca_file;
  bool webhook_authentication = true;
  bool anonymous_authentication = false;
  std::chrono::seconds token_cache_ttl{120};
  std::string authorization_mode = "Webhook";  // Webhook | AlwaysAllow
  std::chrono::seconds authorized_cache_ttl{300};
  std::chrono::seconds unauthorized_cache_ttl{30};

  bool enable_system_log_handler = true;  // /logs/
  bool enable_system_log_query = false;   // /logs/?query=...
  bool enable_debug_flags_handler = true;

  // --- the node object
  bool register_node = true;
  bool recreate_node = true;
  /// So that only pods that ask for this kind of node come here; an empty list in the file means none.
  std::vector<kube::Taint> register_with_taints{{"virtual-kubelet.io/provider", "burstlet", "NoSchedule", {}}};
  std::map<std::string, std::string> node_labels;
  std::int64_t max_pods = 500;
  std::string static_pod_path;  // empty: no static pods
  std::chrono::seconds file_check_frequency{20};
  std::string static_pod_url;                                               // empty: none
  std::vector<std::pair<std::string, std::string>> static_pod_url_headers;  // may be secret
  std::chrono::seconds http_check_frequency{20};
  std::int64_t pod_pids_limit = -1;
  bool cpu_cfs_quota = true;
  std::chrono::microseconds cpu_cfs_quota_period{100'000};
  double memory_throttling_factor = 0;             // 0: no memory.high
  std::string memory_reservation_policy = "None";  // None | TieredReservation
  std::map<std::string, std::string> system_reserved;
  std::map<std::string, std::string> kube_reserved;
  std::map<std::string, std::string> eviction_hard;
  std::chrono::seconds node_status_update_frequency{10};
  std::chrono::seconds node_status_report_frequency{300};
  std::int32_t node_lease_duration_seconds = 40;

  // --- pods
  std::vector<std::string> cluster_dns;
  std::string cluster_domain = "cluster.local";
  std::string resolv_conf = "/etc/resolv.conf";
  std::vector<std::string> pod_cidrs;  // podCIDR: "10.88.0.0/16" or "v4,v6"
  std::string network = "builtin";     // builtin | cni | none
  std::string cni_conf_dir = "/etc/cni/net.d";
  std::vector<std::string> cni_bin_dirs;  // cniBinDir; empty: /opt/cni/bin
  bool seccomp_default = true;
  /// What holds where a pod says nothing: false puts every pod that can have one into a user namespace, and lets no
  /// program gain privileges by exec.
  bool default_host_users = true;
  bool default_allow_privilege_escalation = true;
  std::int64_t user_namespace_ids_per_pod = 65536;
  std::set<std::string> allowed_unsafe_sysctls;
  std::chrono::seconds max_container_restart_period{300};
  std::int64_t container_log_max_bytes = 10 << 20;  // negative: no rotation
  int container_log_max_files = 5;
  std::chrono::seconds container_log_monitor_interval{10};
  unsigned sandbox_pool_size = 8;

  // --- images
  std::vector<std::string> plain_http_registries;
  std::string registry_ca_file;
  unsigned max_parallel_image_pulls = 4;
  int image_gc_high_threshold_percent = 85;
  int image_gc_low_threshold_percent = 80;
  std::chrono::seconds image_minimum_gc_age{120};
  std::chrono::seconds image_maximum_gc_age{0};  // 0: age alone removes nothing

  std::string image_layer_format = "directory";  // imageLayers.format: auto | erofs | erofs-loop | directory
  std::chrono::seconds image_scrub_interval{0};  // 0: never
  std::int64_t image_scrub_bytes_per_second = 20 << 20;

  /// The command line's flags and what holds for them, for /flagz.
  std::map<std::string, std::string> flags;

  // --- logging and traces
  std::string tracing_endpoint;  // empty: none
  std::int64_t tracing_sampling_rate_per_million = 1'000'000;
  std::string log_format = "text";  // text | json
  int verbosity = 0;
};

/// Parses the file's text into `config` (which holds the defaults). `file` names it in errors.
absl::Status ParseConfig(const std::string& file, const std::string& text, Config& config);
absl::Status LoadConfigFile(const std::string& file, Config& config);
/// What must hold whatever the source of a value: ranges, absolute paths, names. Fills in derived defaults.
absl::Status FinishConfig(Config& config);
/// The formats of addresses, ranges, quantities and labels: part of FinishConfig.
absl::Status CheckConfigValues(const Config& config);
/// What concerns the kubelet port and the node's certificates: part of FinishConfig.
absl::Status CheckServerConfig(const Config& config);
/// The effective configuration as JSON, for /configz: `kubeletconfig` is a KubeletConfiguration (v1beta1) with what
/// holds here, `burstletconfig` what only this agent has.
std::string ConfigJson(const Config& config);

}  // namespace burstlet::provider
