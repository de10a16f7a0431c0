#include "provider/config.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmath>
#include <limits>

#include "absl/strings/str_cat.h"
#include "metrics/status.h"
#include "provider/config_fields.h"
#include "provider/yaml.h"

namespace burstlet::provider {
namespace {

using namespace fields;  // NOLINT: the tables below are made of nothing else

Fields NodeFields(Config& config) {
  return {
      {"registerNode", Boolean(config.register_node)},
      {"recreateNode", Boolean(config.recreate_node)},
      {"registerWithTaints", Taints(config.register_with_taints)},
      {"nodeLabels", TextMap(config.node_labels)},
      {"maxPods", Integer(config.max_pods, 1, 100'000)},
      {"staticPodPath", Text(config.static_pod_path)},
      {"fileCheckFrequency", Duration(config.file_check_frequency, 1, 3600)},
      {"staticPodURL", Text(config.static_pod_url)},
      {"staticPodURLHeader", TextLists(config.static_pod_url_headers)},
      {"httpCheckFrequency", Duration(config.http_check_frequency, 1, 3600)},
      {"podPidsLimit", Integer(config.pod_pids_limit, -1, std::numeric_limits<std::int32_t>::max())},
      {"cpuCFSQuota", Boolean(config.cpu_cfs_quota)},
      {"cpuCFSQuotaPeriod", QuotaPeriod(config.cpu_cfs_quota_period)},
      {"memoryThrottlingFactor", Fraction(config.memory_throttling_factor)},
      {"memoryReservationPolicy", Choice(config.memory_reservation_policy, {"None", "TieredReservation"})},
      {"systemReserved", Reservations(config.system_reserved)},
      {"kubeReserved", Reservations(config.kube_reserved)},
      {"evictionHard", TextMap(config.eviction_hard)},
      {"nodeStatusUpdateFrequency", Duration(config.node_status_update_frequency, 1, 3600)},
      {"nodeStatusReportFrequency", Duration(config.node_status_report_frequency, 1, 86400)},
      {"nodeLeaseDurationSeconds", Integer(config.node_lease_duration_seconds, 1, 3600)},
  };
}

Fields PodFields(Config& config) {
  return {
      {"cgroupRoot", Text(config.cgroup_root)},
      {"podLogsDir", Text(config.pod_logs_dir)},
      {"clusterDNS", TextList(config.cluster_dns)},
      {"clusterDomain", Text(config.cluster_domain)},
      {"resolvConf", Text(config.resolv_conf)},
      {"podCIDR", JoinedText(config.pod_cidrs, ",")},
      {"network", Choice(config.network, {"builtin", "cni", "none"})},
      {"cniConfDir", Text(config.cni_conf_dir)},
      {"cniBinDir", JoinedText(config.cni_bin_dirs, ",:")},
      {"seccompDefault", Boolean(config.seccomp_default)},
      {"podDefaults",
       Group("podDefaults", {{"hostUsers", Boolean(config.default_host_users)},
                             {"allowPrivilegeEscalation", Boolean(config.default_allow_privilege_escalation)}})},
      {"userNamespaces", Group("userNamespaces", {{"idsPerPod", Integer(config.user_namespace_ids_per_pod, 65536,
                                                                        std::int64_t{1} << 30)}})},
      {"allowedUnsafeSysctls", TextSet(config.allowed_unsafe_sysctls)},
      {"crashLoopBackOff", Group("crashLoopBackOff", {{"maxContainerRestartPeriod",
                                                       Duration(config.max_container_restart_period, 1, 300)}})},
      {"containerLogMaxSize", Size(config.container_log_max_bytes)},
      {"containerLogMaxFiles", Integer(config.container_log_max_files, 2, 1000)},
      {"containerLogMonitorInterval", Duration(config.container_log_monitor_interval, 3, 3600)},
      {"sandboxPoolSize", Integer(config.sandbox_pool_size, 0, 1000)},
      {"maxParallelImagePulls", Integer(config.max_parallel_image_pulls, 1, 64)},
      {"imageGCHighThresholdPercent", Integer(config.image_gc_high_threshold_percent, 0, 100)},
      {"imageGCLowThresholdPercent", Integer(config.image_gc_low_threshold_percent, 0, 100)},
      {"imageMinimumGCAge", Duration(config.image_minimum_gc_age, 0, 86400)},
      {"imageMaximumGCAge", Duration(config.image_maximum_gc_age, 0, 31'536'000)},
      {"imageLayers", Group("imageLayers", {{"format", Choice(config.image_layer_format,
                                                              {"auto", "erofs", "erofs-loop", "directory"})},
                                            {"scrubInterval", Duration(config.image_scrub_interval, 0, 365 * 86400)},
                                            {"scrubBytesPerSecond", Size(config.image_scrub_bytes_per_second)}})},
      {"registries", Group("registries", {{"plainHTTP", TextList(config.plain_http_registries)},
                                          {"caFile", Text(config.registry_ca_file)}})},
  };
}

absl::Status CheckReadable(const std::string& field, const std::string& file) {
  if (file.empty()) return absl::OkStatus();
  if (access(file.c_str(), R_OK) != 0)
    return absl::InvalidArgumentError(
        absl::StrCat(field, ": ", file, ": ", ErrnoError(errno, "cannot be read").message()));
  return absl::OkStatus();
}

bool IsDnsSubdomain(const std::string& name) {
  if (name.empty() || name.size() > 253) return false;
  for (std::size_t i = 0; i < name.size(); ++i) {
    const char c = name[i];
    const bool alnum = (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
    const bool edge = i == 0 || i + 1 == name.size() || name[i - 1] == '.' || name[i + 1] == '.';
    if (!alnum && (edge || (c != '-' && c != '.'))) return false;
  }
  return true;
}

}  // namespace

Fields fields::AllFields(Config& config) {
  Fields all = ServerFields(config);
  all.merge(NodeFields(config));
  all.merge(PodFields(config));
  return all;
}

absl::Status ParseConfig(const std::string& file, const std::string& text, Config& config) {
  auto documents = ParseYaml(text);
  if (!documents.ok()) return Annotate(documents.status(), file);
  if (documents->size() != 1) return absl::InvalidArgumentError(absl::StrCat(file, ": expected one YAML document"));
  std::string api_version;
  std::string kind;
  Fields all = AllFields(config);
  all["apiVersion"] = Text(api_version);
  all["kind"] = Text(kind);
  RETURN_IF_ERROR(Annotate(Apply(documents->front(), "", all), file));
  if (api_version != "burstlet.io/v1alpha1" || kind != "BurstletConfiguration") {
    return absl::InvalidArgumentError(
        absl::StrCat(file, ": expected apiVersion burstlet.io/v1alpha1 and kind BurstletConfiguration"));
  }
  return absl::OkStatus();
}

absl::Status LoadConfigFile(const std::string& file, Config& config) {
  const int fd = open(file.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return ErrnoError(errno, absl::StrCat("configuration file ", file));
  std::string text;
  char buffer[65536];
  ssize_t got = 0;
  while ((got = read(fd, buffer, sizeof(buffer))) > 0 && text.size() < (4u << 20))
    text.append(buffer, static_cast<std::size_t>(got));
  const int error = errno;
  close(fd);
  if (got < 0) return ErrnoError(error, absl::StrCat("configuration file ", file));
  return ParseConfig(file, text, config);
}

absl::Status FinishConfig(Config& config) {
  if (config.root_dir.empty() || config.root_dir[0] != '/') {
    return absl::InvalidArgumentError("--root-dir: an absolute path is needed");
  }
  if (config.cgroup_root.empty() || config.cgroup_root[0] != '/' ||
      config.cgroup_root.find("..") != std::string::npos) {
    return absl::InvalidArgumentError("cgroupRoot: an absolute path below the cgroup mount is needed");
  }
  if (config.cgroup_root.find("kubepods") != std::string::npos) {
    return absl::InvalidArgumentError("cgroupRoot: kubepods belongs to a kubelet, which kills what it finds there");
  }
  if (config.pod_logs_dir.empty()) config.pod_logs_dir = config.root_dir + "/logs/pods";
  if (!config.static_pod_path.empty() && config.static_pod_path[0] != '/')
    return absl::InvalidArgumentError("staticPodPath: an absolute path is needed");
  if (config.pod_logs_dir[0] != '/') return absl::InvalidArgumentError("podLogsDir: an absolute path is needed");
  if (!IsDnsSubdomain(config.node_name)) {
    return absl::InvalidArgumentError(absl::StrCat("--node-name: \"", config.node_name, "\" is not a DNS subdomain"));
  }
  if (config.cert_dir.empty()) config.cert_dir = config.root_dir + "/pki";
  RETURN_IF_ERROR(CheckServerConfig(config));
  RETURN_IF_ERROR(CheckReadable("tlsCertFile", config.tls_cert_file));
  RETURN_IF_ERROR(CheckReadable("tlsPrivateKeyFile", config.tls_private_key_file));
  RETURN_IF_ERROR(CheckReadable("authentication.x509.clientCAFile", config.client_ca_file));
  RETURN_IF_ERROR(CheckReadable("registries.caFile", config.registry_ca_file));
  if (config.network == "builtin" && config.pod_cidrs.empty()) config.pod_cidrs = {"10.88.0.0/16"};
  if (config.cni_bin_dirs.empty()) config.cni_bin_dirs = {"/opt/cni/bin"};
  return CheckConfigValues(config);
}

}  // namespace burstlet::provider
