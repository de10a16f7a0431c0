#include "test/provider/translate/spec_text.h"

#include <cstdio>
#include <type_traits>

#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "kube/api/meta.h"

namespace burstlet::sandbox {

BURSTLET_API_FIELDS(Resources, (), cpu_shares, cpu_quota_us, cpu_period_us, memory_limit_bytes, memory_min_bytes,
                    memory_low_bytes, memory_high_bytes, memory_swap_bytes, pids_limit, cpuset_cpus, hugepage_limits);
BURSTLET_API_FIELDS(VolumeSource, (kind), path, size_bytes, page_size_bytes, mode, gid, lower_dirs);
BURSTLET_API_FIELDS(VolumeSpec, (name), source);
BURSTLET_API_FIELDS(MountSpec, (destination), volume, host_path, sub_path, read_only, recursive_read_only, propagation);
BURSTLET_API_FIELDS(DeviceSpec, (host_path), container_path, access);
BURSTLET_API_FIELDS(RlimitSpec, (resource, soft, hard));
BURSTLET_API_FIELDS(SeccompProfile::Argument, (index, op), value, value_two);
BURSTLET_API_FIELDS(SeccompProfile::Rule, (names, action), errno_ret, args);
BURSTLET_API_FIELDS(SeccompProfile, (), default_action, default_errno_ret, architectures, flags, rules);
BURSTLET_API_FIELDS(SeccompSpec, (kind), profile);
BURSTLET_API_FIELDS(IdMap, (container_id, host_id, count));
BURSTLET_API_FIELDS(UserSpec, (merge_image_groups), uid, gid, image_user, supplemental_groups);
BURSTLET_API_FIELDS(RootfsSpec, (read_only), lower_dirs);
BURSTLET_API_FIELDS(ContainerSpec, (name, id, attempt), rootfs, args, env, working_dir, user, mounts, devices,
                    resources, oom_score_adj, rlimits, privileged, no_new_privileges, capabilities,
                    ambient_capabilities, seccomp, app_armor_profile, masked_paths, read_only_paths, tty, stdin_open,
                    stdin_once, log_path, stop_signal, swap_allowed);
BURSTLET_API_FIELDS(SandboxSpec::HostPort, (protocol, host_port, container_port), host_ip);
BURSTLET_API_FIELDS(SandboxSpec, (id, log_name, hostname), domainname, host_network, host_pid, host_ipc,
                    share_process_namespace, user_namespace, sysctls, shm_size_bytes, qos, resources, volumes,
                    host_ports, labels);

}  // namespace burstlet::sandbox

namespace burstlet::provider::test {
namespace {

const char* Name(sandbox::QosClass qos) {
  constexpr const char* kNames[] = {"Guaranteed", "Burstable", "BestEffort"};
  return kNames[static_cast<int>(qos)];
}
const char* Name(sandbox::VolumeSource::Kind kind) {
  constexpr const char* kNames[] = {"hostPath", "tmpfs", "hugePages", "mqueue", "image"};
  return kNames[static_cast<int>(kind)];
}
const char* Name(sandbox::Propagation propagation) {
  constexpr const char* kNames[] = {"private", "hostToContainer", "bidirectional"};
  return kNames[static_cast<int>(propagation)];
}
const char* Name(sandbox::SeccompSpec::Kind kind) {
  constexpr const char* kNames[] = {"runtimeDefault", "unconfined", "localhost"};
  return kNames[static_cast<int>(kind)];
}

/// One overload per shape; a struct is written by its field list.
struct Printer {
  static std::string Text(const std::string& value) { return Quoted(value); }
  static std::string Text(bool value) { return value ? "true" : "false"; }
  template <typename T>
  static std::string Text(const std::optional<T>& value) {
    return value ? Text(*value) : "null";
  }
  template <typename A, typename B>
  static std::string Text(const std::pair<A, B>& value) {
    return "[" + Text(value.first) + ", " + Text(value.second) + "]";
  }
  template <typename T>
  static std::string Text(const std::vector<T>& list) {
    constexpr bool kFlat = std::is_arithmetic_v<T>;
    std::vector<std::string> items;
    for (const T& item : list) items.push_back(kFlat ? Text(item) : Indented(Text(item), 2));
    if (kFlat) return "[" + absl::StrJoin(items, ", ") + "]";
    return "[\n  " + absl::StrJoin(items, ",\n  ") + "\n]";
  }
  template <typename T>
  static std::string Text(const std::map<std::string, T>& map) {
    std::vector<std::string> items;
    for (const auto& [key, value] : map) items.push_back(Quoted(key) + ": " + Text(value));
    return "{" + absl::StrJoin(items, ", ") + "}";
  }
  template <typename T>
  static std::string Text(const T& value) {
    if constexpr (std::is_enum_v<T>) {
      return Quoted(Name(value));
    } else if constexpr (std::is_arithmetic_v<T>) {
      return std::to_string(value);
    } else {
      Printer printer;
      VisitFields(printer, value);
      if (printer.members.empty()) return "{}";
      return "{\n  " + absl::StrJoin(printer.members, ",\n  ") + "\n}";
    }
  }

  template <typename T>
  void operator()(const char* name, const T& value, kube::Presence presence) {
    const std::string text = Text(value);
    const bool empty = text == "null" || text == "\"\"" || text == "0" || text == "false" || text == "{}" ||
                       text == "[]" || text == "[\n  \n]" || text == "\"private\"";
    if (presence == kube::Presence::kOmitEmpty && empty) return;
    members.push_back(Quoted(name) + ": " + Indented(text, 2));
  }

  std::vector<std::string> members;
};

}  // namespace

std::string Quoted(const std::string& text) {
  std::string result = "\"";
  for (char c : text) {
    char buffer[8];
    if (c == '"' || c == '\\') {
      result += {'\\', c};
    } else if (c == '\n') {
      result += "\\n";
    } else if (c == '\t') {
      result += "\\t";
    } else if (static_cast<unsigned char>(c) < 0x20) {
      std::snprintf(buffer, sizeof(buffer), "\\u%04x", c);
      result += buffer;
    } else {
      result += c;
    }
  }
  return result + "\"";
}

std::string Lines(const std::string& text) {
  std::vector<std::string> lines = absl::StrSplit(text, '\n');
  if (!lines.empty() && lines.back().empty()) lines.pop_back();
  return Printer::Text(lines);
}

std::string Indented(const std::string& block, std::size_t spaces) {
  std::string result;
  for (char c : block) {
    result += c;
    if (c == '\n') result.append(spaces, ' ');
  }
  return result;
}

std::string SpecText(const sandbox::SandboxSpec& spec) { return Printer::Text(spec); }
std::string SpecText(const sandbox::ContainerSpec& spec) { return Printer::Text(spec); }

}  // namespace burstlet::provider::test
