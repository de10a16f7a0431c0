// The host's facts: MeasureNode and MeasurePressure.
#include <sched.h>
#include <sys/statvfs.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <algorithm>
#include <cctype>
#include <charconv>
#include <filesystem>
#include <fstream>
#include <optional>
#include <sstream>

#include "absl/strings/str_cat.h"
#include "kube/api/quantity.h"
#include "metrics/status.h"
#include "provider/node_status.h"

namespace burstlet::provider {
namespace {

namespace fs = std::filesystem;

/// The Kubernetes release whose node protocol this is; build metadata keeps it equal to that release in comparisons.
constexpr char kKubernetesVersion[] = "v1.37.2";

constexpr std::pair<const char*, const char*> kDefaultEvictionHard[] = {{"memory.available", "100Mi"},
                                                                        {"nodefs.available", "10%"},
                                                                        {"nodefs.inodesFree", "5%"},
                                                                        {"imagefs.available", "15%"},
                                                                        {"imagefs.inodesFree", "5%"}};

std::string ReadText(const std::string& path) {
  std::ifstream in(path);
  std::ostringstream out;
  out << in.rdbuf();
  std::string text = out.str();
  while (!text.empty() && (std::isspace(static_cast<unsigned char>(text.back())) != 0 || text.back() == '\0')) {
    text.pop_back();
  }
  return text;
}

std::int64_t ReadNumber(const std::string& path) {
  const std::string text = ReadText(path);
  std::int64_t value = 0;
  std::from_chars(text.data(), text.data() + text.size(), value);
  return value;
}

/// A line "Name:  123 kB" of /proc/meminfo, in bytes.
std::int64_t MemInfo(const NodeStatusConfig& config, const std::string& name) {
  std::ifstream in(config.host_root + "/proc/meminfo");
  for (std::string line; std::getline(in, line);) {
    if (line.rfind(name + ":", 0) != 0) continue;
    std::istringstream rest(line.substr(name.size() + 1));
    std::int64_t kibibytes = 0;
    rest >> kibibytes;
    return kibibytes * 1024;
  }
  return 0;
}

std::int64_t CpuCount() {
  // Machines with more CPUs than cpu_set_t holds need a bigger set; the online count is right there.
  cpu_set_t set;
  CPU_ZERO(&set);
  if (sched_getaffinity(0, sizeof(set), &set) == 0) return CPU_COUNT(&set);
  return std::max(1L, sysconf(_SC_NPROCESSORS_ONLN));
}

struct DiskSpace {
  std::int64_t size = 0;
  std::int64_t available = 0;
  std::int64_t inodes = 0;
  std::int64_t inodes_free = 0;
};

absl::StatusOr<DiskSpace> MeasureDisk(const std::string& root_dir) {
  // The directory may be made later: what counts is the file system that it will lie on.
  fs::path path = root_dir;
  struct statvfs stats{};
  while (statvfs(path.c_str(), &stats) != 0) {
    const int error = errno;
    if (error != ENOENT || !path.has_relative_path()) return ErrnoError(error, "measuring " + root_dir);
    path = path.parent_path();
  }
  const auto block = static_cast<std::int64_t>(stats.f_frsize);
  return DiskSpace{static_cast<std::int64_t>(stats.f_blocks) * block, static_cast<std::int64_t>(stats.f_bavail) * block,
                   static_cast<std::int64_t>(stats.f_files), static_cast<std::int64_t>(stats.f_ffree)};
}

/// An eviction threshold: a quantity, or a percentage of `whole`.
absl::StatusOr<std::int64_t> Threshold(const std::string& signal, const std::string& text, std::int64_t whole) {
  if (text.ends_with('%')) {
    double percent = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size() - 1, percent);
    if (error != std::errc() || end != text.data() + text.size() - 1 || percent < 0 || percent > 100) {
      return absl::InvalidArgumentError(absl::StrCat("evictionHard[", signal, "]: not a percentage: ", text));
    }
    return static_cast<std::int64_t>(static_cast<double>(whole) * percent / 100);
  }
  const absl::StatusOr<kube::Quantity> quantity = kube::ParseQuantity(text);
  if (!quantity.ok()) return Annotate(quantity.status(), absl::StrCat("evictionHard[", signal, "]"));
  return kube::QuantityValue(*quantity);
}

std::map<std::string, std::string> EvictionHard(const NodeStatusConfig& config) {
  // As in the kubelet, a configured map replaces the defaults as a whole.
  if (!config.eviction_hard.empty()) return config.eviction_hard;
  return {std::begin(kDefaultEvictionHard), std::end(kDefaultEvictionHard)};
}

absl::StatusOr<std::int64_t> ThresholdOf(const NodeStatusConfig& config, const std::string& signal,
                                         std::int64_t whole) {
  const std::map<std::string, std::string> thresholds = EvictionHard(config);
  const auto it = thresholds.find(signal);
  if (it == thresholds.end()) return 0;
  return Threshold(signal, it->second, whole);
}

void MeasureHugePages(const NodeStatusConfig& config, kube::ResourceList& capacity) {
  std::error_code error;
  constexpr char kPrefix[] = "hugepages-";
  for (const auto& entry : fs::directory_iterator(config.host_root + "/sys/kernel/mm/hugepages", error)) {
    const std::string name = entry.path().filename();  // hugepages-2048kB
    if (name.rfind(kPrefix, 0) != 0) continue;
    std::int64_t kibibytes = 0;
    std::from_chars(name.data() + sizeof(kPrefix) - 1, name.data() + name.size(), kibibytes);
    if (kibibytes <= 0) continue;
    const std::int64_t pages = ReadNumber(entry.path() / "nr_hugepages");
    capacity[kPrefix + kube::QuantityFromBytes(kibibytes * 1024).text] =
        kube::QuantityFromBytes(pages * kibibytes * 1024);
  }
}

absl::StatusOr<kube::Quantity> Reserve(const std::string& field, const std::map<std::string, std::string>& reserved,
                                       const std::string& name, kube::Quantity left) {
  const auto it = reserved.find(name);
  if (it == reserved.end()) return left;
  const absl::StatusOr<kube::Quantity> amount = kube::ParseQuantity(it->second);
  if (!amount.ok()) return Annotate(amount.status(), absl::StrCat(field, "[", name, "]"));
  return kube::SubtractQuantity(left, *amount);
}

kube::Quantity AtLeastZero(kube::Quantity quantity) {
  return kube::CompareQuantity(quantity, kube::Quantity{"0"}) < 0 ? kube::Quantity{"0"} : quantity;
}

absl::StatusOr<kube::ResourceList> Allocatable(const NodeStatusConfig& config, const kube::ResourceList& capacity) {
  kube::ResourceList allocatable;
  for (const auto& [name, whole] : capacity) {
    kube::Quantity left = whole;
    if (name != "pods") {
      ASSIGN_OR_RETURN(left, Reserve("systemReserved", config.system_reserved, name, left));
      ASSIGN_OR_RETURN(left, Reserve("kubeReserved", config.kube_reserved, name, left));
    }
    const char* signal = name == "memory" ? "memory.available" : name == "ephemeral-storage" ? "nodefs.available" : "";
    if (*signal != '\0') {
      ASSIGN_OR_RETURN(const std::int64_t kept, ThresholdOf(config, signal, kube::QuantityValue(whole)));
      left = kube::SubtractQuantity(left, kube::QuantityFromBytes(kept));
    }
    allocatable[name] = AtLeastZero(left);
  }
  // Memory set aside as huge pages is not there for anything else.
  for (const auto& [name, pages] : capacity) {
    if (name.rfind("hugepages-", 0) != 0) continue;
    allocatable["memory"] = AtLeastZero(kube::SubtractQuantity(allocatable["memory"], pages));
  }
  return allocatable;
}

std::string OsImage(const NodeStatusConfig& config) {
  for (const char* path : {"/etc/os-release", "/usr/lib/os-release"}) {
    std::ifstream in(config.host_root + path);
    for (std::string line; std::getline(in, line);) {
      constexpr char kKey[] = "PRETTY_NAME=";
      if (line.rfind(kKey, 0) != 0) continue;
      std::string value = line.substr(sizeof(kKey) - 1);
      if (value.size() >= 2 && (value.front() == '"' || value.front() == '\'') && value.back() == value.front()) {
        value = value.substr(1, value.size() - 2);
      }
      return value;
    }
  }
  return "Unknown";
}

std::string Architecture(const std::string& machine) {
  if (machine == "x86_64") return "amd64";
  if (machine == "aarch64") return "arm64";
  return machine;
}

kube::NodeSystemInfo SystemInfo(const NodeStatusConfig& config) {
  const std::string& root = config.host_root;
  kube::NodeSystemInfo info;
  struct utsname names{};
  uname(&names);
  info.machineID = ReadText(root + "/etc/machine-id");
  if (info.machineID.empty()) info.machineID = ReadText(root + "/var/lib/dbus/machine-id");
  info.systemUUID = ReadText(root + "/sys/class/dmi/id/product_uuid");
  if (info.systemUUID.empty()) info.systemUUID = info.machineID;
  info.bootID = ReadText(root + "/proc/sys/kernel/random/boot_id");
  info.kernelVersion = names.release;
  info.osImage = OsImage(config);
  info.containerRuntimeVersion = "burstlet://" + config.version;
  info.kubeletVersion = absl::StrCat(kKubernetesVersion, "+burstlet-", config.version);
  info.operatingSystem = "linux";
  info.architecture = Architecture(names.machine);
  if (const std::int64_t swap = MemInfo(config, "SwapTotal"); swap > 0) info.swap = kube::NodeSwapStatus{swap};
  return info;
}

std::string HostName() {
  struct utsname names{};
  uname(&names);
  std::string name = names.nodename;
  std::transform(name.begin(), name.end(), name.begin(), [](unsigned char c) { return std::tolower(c); });
  return name;
}

}  // namespace

absl::StatusOr<NodeInfo> MeasureNode(const NodeStatusConfig& config) {
  NodeInfo info;
  info.name = config.name;
  info.addresses = config.addresses;
  info.hostname = config.hostname.empty() ? HostName() : config.hostname;
  info.kubelet_port = config.kubelet_port;
  info.taints = config.taints;
  info.cluster_dns = config.cluster_dns;
  info.cluster_domain = config.cluster_domain;
  info.host_resolv_conf = config.resolv_conf;
  info.pids_limit = config.pids_limit;
  info.cpu_cfs_quota = config.cpu_cfs_quota;
  info.cpu_cfs_quota_period_us = config.cpu_cfs_quota_period_us;
  info.memory_throttling_factor = config.memory_throttling_factor;
  info.tiered_memory_reservation = config.tiered_memory_reservation;
  info.system = SystemInfo(config);

  const std::int64_t memory = MemInfo(config, "MemTotal");
  if (memory <= 0) return absl::InternalError(config.host_root + "/proc/meminfo: no MemTotal");
  ASSIGN_OR_RETURN(const DiskSpace disk, MeasureDisk(config.root_dir));
  info.capacity["cpu"] = kube::QuantityFromCount(CpuCount());
  info.capacity["memory"] = kube::QuantityFromBytes(memory);
  info.capacity["ephemeral-storage"] = kube::QuantityFromBytes(disk.size);
  info.capacity["pods"] = kube::QuantityFromCount(config.max_pods);
  MeasureHugePages(config, info.capacity);
  ASSIGN_OR_RETURN(info.allocatable, Allocatable(config, info.capacity));

  info.labels = {{"kubernetes.io/hostname", info.hostname},
                 {"kubernetes.io/os", "linux"},
                 {"kubernetes.io/arch", info.system.architecture},
                 {"beta.kubernetes.io/os", "linux"},
                 {"beta.kubernetes.io/arch", info.system.architecture},
                 {"type", "virtual-kubelet"}};
  for (const auto& [key, value] : config.labels) info.labels[key] = value;
  return info;
}

absl::StatusOr<NodePressure> MeasurePressure(const NodeStatusConfig& config) {
  NodePressure pressure;
  ASSIGN_OR_RETURN(const std::int64_t memory, ThresholdOf(config, "memory.available", MemInfo(config, "MemTotal")));
  pressure.memory = MemInfo(config, "MemAvailable") < memory;

  // Images and pods share the root directory's file system, so that both kinds of thresholds hold for it.
  ASSIGN_OR_RETURN(const DiskSpace disk, MeasureDisk(config.root_dir));
  for (const char* name : {"nodefs", "imagefs"}) {
    ASSIGN_OR_RETURN(const std::int64_t space, ThresholdOf(config, absl::StrCat(name, ".available"), disk.size));
    ASSIGN_OR_RETURN(const std::int64_t inodes, ThresholdOf(config, absl::StrCat(name, ".inodesFree"), disk.inodes));
    pressure.disk = pressure.disk || disk.available < space;
    // File systems that make inodes as they need them report none at all.
    pressure.disk = pressure.disk || (disk.inodes > 0 && disk.inodes_free < inodes);
  }

  const std::int64_t most_pids = std::min(ReadNumber(config.host_root + "/proc/sys/kernel/pid_max"),
                                          ReadNumber(config.host_root + "/proc/sys/kernel/threads-max"));
  ASSIGN_OR_RETURN(const std::int64_t pids, ThresholdOf(config, "pid.available", most_pids));
  // /proc/loadavg: "0.1 0.2 0.3 running/total last-pid".
  const std::string load = ReadText(config.host_root + "/proc/loadavg");
  std::int64_t used = 0;
  if (const std::size_t slash = load.find('/'); slash != std::string::npos) {
    std::from_chars(load.data() + slash + 1, load.data() + load.size(), used);
  }
  pressure.pid = most_pids > 0 && most_pids - used < pids;
  return pressure;
}

}  // namespace burstlet::provider
