// What a pod asks of its sandbox: frozen, plain data with no Kubernetes types, safe to hand to any driver.
//
// Nothing here assumes that driver and container share a file system beyond the named sources, so that the same data
// can drive a microVM. Host paths come from the agent alone, never from an image, a registry or a container.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace burstlet::sandbox {

/// cgroup limits of a pod or a container; an absent value leaves the kernel's default.
struct Resources {
  /// cgroup v1 scale (2..262144; 1024 = one CPU asked for); drivers convert for v2 (KEP-2254's formula).
  std::optional<std::uint64_t> cpu_shares;
  /// Microseconds of CPU per period; period is 100000 unless set.
  std::optional<std::int64_t> cpu_quota_us;
  std::optional<std::uint64_t> cpu_period_us;
  std::optional<std::int64_t> memory_limit_bytes;
  std::optional<std::int64_t> memory_min_bytes;   // v2 memory.min
  std::optional<std::int64_t> memory_low_bytes;   // v2 memory.low
  std::optional<std::int64_t> memory_high_bytes;  // v2 memory.high; negative: none
  std::optional<std::int64_t> memory_swap_bytes;  // v2 memory.swap.max; v1 memsw = limit + this
  std::optional<std::int64_t> pids_limit;
  std::optional<std::string> cpuset_cpus;
  std::map<std::string, std::int64_t> hugepage_limits;  // "2MB" -> bytes
};

enum class QosClass { kGuaranteed, kBurstable, kBestEffort };

/// Something that can be mounted, made ready once per pod (volumes) under a name.
struct VolumeSource {
  enum class Kind {
    kHostPath,   // `path` on the host: directory, file, socket or device; bound as it is
    kTmpfs,      // a new tmpfs of this pod, `size_bytes` (0 = kernel's default), mode 01777 unless set
    kHugePages,  // a new hugetlbfs of this pod with pages of `page_size_bytes`
    kMqueue,     // POSIX message queues of the pod's ipc namespace
    kImage,      // read-only view of an image: `lower_dirs`, top first
  };
  Kind kind = Kind::kHostPath;
  std::string path;
  std::uint64_t size_bytes = 0;
  std::uint32_t mode = 01777;
  std::optional<std::uint32_t> gid;
  std::vector<std::string> lower_dirs;
  std::uint64_t page_size_bytes = 0;
};

struct VolumeSpec {
  std::string name;  // unique in the sandbox, [a-zA-Z0-9._-]+
  VolumeSource source;
};

enum class Propagation { kPrivate, kHostToContainer, kBidirectional };

/// One mount of a container: a pod volume, a host file of the pod's own (/etc/hosts, a log, a token), or an image.
struct MountSpec {
  std::string volume;     // name of a VolumeSpec, or empty when one of the next two is used
  std::string host_path;  // file or directory of the agent's own making
  /// Path inside the volume, relative; resolved beneath the volume's root, never through a link that leaves it.
  std::string sub_path;
  std::string destination;  // absolute, inside the container
  bool read_only = false;
  bool recursive_read_only = false;
  Propagation propagation = Propagation::kPrivate;
  /// Layers of an image, topmost first: mounted read-only, merged as a root file system is. A sub_path of it must be a
  /// directory that exists.
  std::vector<std::string> image_layers = {};
};

struct DeviceSpec {
  std::string host_path;
  std::string container_path;
  std::string access = "rwm";
};

struct RlimitSpec {
  int resource = 0;  // RLIMIT_*
  std::uint64_t soft = 0;
  std::uint64_t hard = 0;
};

/// A seccomp profile as the OCI has it, with what depends on capabilities or kernel already decided.
struct SeccompProfile {
  struct Argument {
    unsigned index = 0;  // 0..5
    std::uint64_t value = 0;
    std::uint64_t value_two = 0;  // of SCMP_CMP_MASKED_EQ: `value` is the mask then
    std::string op;               // "SCMP_CMP_EQ", ...
  };
  struct Rule {
    std::vector<std::string> names;
    std::string action;  // "SCMP_ACT_ALLOW", ...
    std::optional<std::uint32_t> errno_ret;
    std::vector<Argument> args;
  };
  std::string default_action;
  std::optional<std::uint32_t> default_errno_ret;
  std::vector<std::string> architectures;  // "SCMP_ARCH_X86_64", ...; empty = this machine's
  std::vector<std::string> flags;          // "SECCOMP_FILTER_FLAG_LOG", ...
  std::vector<Rule> rules;
};

struct SeccompSpec {
  enum class Kind { kRuntimeDefault, kUnconfined, kLocalhost };
  Kind kind = Kind::kRuntimeDefault;
  /// kLocalhost.
  SeccompProfile profile;
};

/// A uid/gid range of a user namespace.
struct IdMap {
  std::uint32_t container_id = 0;
  std::uint32_t host_id = 0;
  std::uint32_t count = 0;
};

/// Who the program runs as. A name is looked up in the container's own /etc/passwd and /etc/group, read with bounds.
struct UserSpec {
  std::optional<std::int64_t> uid;
  std::optional<std::int64_t> gid;
  /// The image's USER ("1000", "web", "1000:www"), used for what uid and gid leave open.
  std::string image_user;
  std::vector<std::int64_t> supplemental_groups;
  /// Groups of the user in the image's /etc/group are added too (SupplementalGroupsPolicy Merge).
  bool merge_image_groups = true;
};

/// An image's layers plus this container's own writable layer.
struct RootfsSpec {
  std::vector<std::string> lower_dirs;  // host directories, topmost first
  bool read_only = false;
};

struct ContainerSpec {
  std::string name;      // the container's name in its pod
  std::string id;        // unique over all containers ever: 64 hex digits, chosen by the caller
  unsigned attempt = 0;  // restart count
  RootfsSpec rootfs;
  std::vector<std::string> args;  // argv, not empty; args[0] is looked up in PATH of `env` inside the container
  std::vector<std::string> env;   // "NAME=value"; the driver adds HOME (from /etc/passwd) when it is missing
  std::string working_dir = "/";  // made when missing, as the kubelet's runtimes do
  UserSpec user;
  std::vector<MountSpec> mounts;
  std::vector<DeviceSpec> devices;
  Resources resources;
  int oom_score_adj = 0;
  std::vector<RlimitSpec> rlimits;

  /// Id of a running container of the same sandbox whose pid namespace this one joins; empty: as the sandbox says.
  std::string pid_target;
  bool privileged = false;
  bool no_new_privileges = false;
  std::vector<std::string> capabilities;          // the whole bounding, effective and permitted set: "CHOWN", ...
  std::vector<std::string> ambient_capabilities;  // normally empty
  SeccompSpec seccomp;
  std::string app_armor_profile;          // a profile that the kernel has loaded; empty: none
  std::vector<std::string> masked_paths;  // empty = none (procMount Unmasked, privileged)
  std::vector<std::string> read_only_paths;

  bool tty = false;
  bool stdin_open = false;
  bool stdin_once = false;
  std::string log_path;  // absolute host path of the CRI log file; its directory exists
  int stop_signal = 15;
  /// Host file bound to the container's terminationMessagePath is an ordinary MountSpec.
  bool swap_allowed = false;
};

/// A whole pod's place. `id` names directories and cgroups: the pod's UID, [a-z0-9-]+.
struct SandboxSpec {
  std::string id;
  std::string log_name;  // "namespace/name", for log lines only
  std::string hostname;
  std::string domainname;
  bool host_network = false;
  bool host_pid = false;
  bool host_ipc = false;
  bool share_process_namespace = false;
  std::vector<IdMap> user_namespace;                         // empty = the host's; same ranges for uid and gid
  std::vector<std::pair<std::string, std::string>> sysctls;  // "net.core.somaxconn" -> "1024", vetted by the caller
  std::uint64_t shm_size_bytes = 64ull << 20;
  QosClass qos = QosClass::kBestEffort;
  Resources resources;  // of the pod's cgroup
  std::vector<VolumeSpec> volumes;
  struct HostPort {
    std::string protocol = "tcp";  // tcp, udp, sctp
    std::string host_ip;           // empty = all
    std::uint16_t host_port = 0;
    std::uint16_t container_port = 0;
  };
  std::vector<HostPort> host_ports;
  /// Kept with the sandbox, returned by Recover, meaningless to the driver.
  std::map<std::string, std::string> labels;
};

}  // namespace burstlet::sandbox
