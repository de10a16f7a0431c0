#include "provider/translate/security_context.h"

#include <algorithm>
#include <cctype>
#include <charconv>
#include <limits>
#include <set>

#include "absl/strings/str_cat.h"
#include "metrics/status.h"
#include "provider/translate/resources.h"
#include "provider/translate/seccomp_profile.h"
#include "sandbox/native/capabilities.h"

namespace burstlet::provider {
namespace {

// containerd pkg/oci/spec.go, defaultUnixCaps.
constexpr const char* kDefaultCapabilities[] = {
    "CHOWN",  "DAC_OVERRIDE", "FSETID",  "FOWNER",           "MKNOD",      "NET_RAW", "SETGID",
    "SETUID", "SETFCAP",      "SETPCAP", "NET_BIND_SERVICE", "SYS_CHROOT", "KILL",    "AUDIT_WRITE"};

constexpr const char* kMaskedPaths[] = {"/proc/asound",     "/proc/acpi",        "/proc/interrupts",
                                        "/proc/kcore",      "/proc/keys",        "/proc/latency_stats",
                                        "/proc/timer_list", "/proc/timer_stats", "/proc/sched_debug",
                                        "/proc/scsi",       "/sys/firmware",     "/sys/devices/virtual/powercap"};

constexpr const char* kReadOnlyPaths[] = {"/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"};

std::string CapabilityName(const std::string& text) {
  std::string name;
  for (unsigned char c : text) name.push_back(static_cast<char>(std::toupper(c)));
  return name.rfind("CAP_", 0) == 0 ? name.substr(4) : name;
}

absl::Status ConfigError(const std::string& message) {
  return ReasonError(absl::StatusCode::kFailedPrecondition, "CreateContainerConfigError", message);
}

/// pkg/kubelet/util/format, as %q prints it.
std::string QuotedPod(const kube::Pod& pod) {
  return absl::StrCat("\"", pod.metadata.name, "_", pod.metadata.namespace_, "(", pod.metadata.uid, ")\"");
}

struct ImageUser {
  std::optional<std::int64_t> uid;  // absent: `name` holds a name
  std::string name;
};

/// The user part of "user[:group]". Numbers that no kernel id can hold stay numbers, so that they can't wrap to root.
ImageUser ParseImageUser(const std::string& text) {
  std::string user = text.substr(0, text.find(':'));
  if (user.empty()) return {0, ""};
  std::int64_t uid = 0;
  auto [end, error] = std::from_chars(user.data(), user.data() + user.size(), uid);
  if (error == std::errc() && end == user.data() + user.size()) return {uid, ""};
  const bool digits = std::all_of(user.begin(), user.end(), [](unsigned char c) { return std::isdigit(c) != 0; });
  if (digits) return {std::numeric_limits<std::int64_t>::max(), ""};
  return {std::nullopt, user};
}

bool ValidId(std::int64_t id) { return id >= 0 && id <= std::numeric_limits<std::int32_t>::max(); }

absl::Status VerifyNonRoot(const kube::Pod& pod, const kube::Container& container, const kube::SecurityContext& context,
                           const ImageUser& image) {
  if (!context.runAsNonRoot.value_or(false)) return absl::OkStatus();
  const std::string where = absl::StrCat("(pod: ", QuotedPod(pod), ", container: ", container.name, ")");
  if (context.runAsUser) {
    if (*context.runAsUser != 0) return absl::OkStatus();
    return ConfigError(absl::StrCat("container's runAsUser breaks non-root policy ", where));
  }
  if (!image.uid) {
    return ConfigError(absl::StrCat("container has runAsNonRoot and image has non-numeric user (", image.name,
                                    "), cannot verify user is non-root ", where));
  }
  if (*image.uid == 0) {
    return ConfigError(absl::StrCat("container has runAsNonRoot and image will run as root ", where));
  }
  if (!ValidId(*image.uid)) {
    return ConfigError(absl::StrCat("container has runAsNonRoot and image has an invalid user id (", *image.uid,
                                    "). (Must be 1-(2147483647)) ", where));
  }
  return absl::OkStatus();
}

absl::StatusOr<sandbox::SeccompSpec> TranslateSeccomp(const std::optional<kube::SeccompProfile>& profile,
                                                      const std::vector<std::string>& capabilities,
                                                      const TranslateOptions& options) {
  using Kind = sandbox::SeccompSpec::Kind;
  sandbox::SeccompSpec result;
  if (!profile) {
    result.kind = options.seccomp_default ? Kind::kRuntimeDefault : Kind::kUnconfined;
  } else if (profile->type == "RuntimeDefault") {
    result.kind = Kind::kRuntimeDefault;
  } else if (profile->type == "Unconfined") {
    result.kind = Kind::kUnconfined;
  } else if (profile->type == "Localhost") {
    // An empty name once meant "unconfined" (CVE-2023-2431): it is an error.
    const std::string name = profile->localhostProfile.value_or("");
    if (name.empty()) return ConfigError("localhostProfile must be set if seccompProfile type is Localhost.");
    result.kind = Kind::kLocalhost;
    const std::string file = absl::StrCat(options.seccomp_profile_root, "/", name);
    const auto found = options.localhost_profiles.find(name);
    if (found == options.localhost_profiles.end()) {
      return ReasonError(absl::StatusCode::kNotFound, "CreateContainerError",
                         absl::StrCat("cannot load seccomp profile \"", file, "\": no such file"));
    }
    RETURN_IF_ERROR(found->second);
    ASSIGN_OR_RETURN(result.profile, ParseSeccompProfile(file, *found->second, capabilities));
  } else {
    return ConfigError(absl::StrCat("seccompProfile.type: unknown type \"", profile->type, "\""));
  }
  return result;
}

/// containerd's rule: a privileged container is confined only where a profile is named; all others have the default one
/// where the node has it.
std::string AppArmorProfileName(const std::optional<kube::AppArmorProfile>& profile, bool privileged,
                                const TranslateOptions& options) {
  if (!profile) return privileged ? "" : options.app_armor_default;
  if (profile->type == "Localhost") return profile->localhostProfile.value_or("");
  if (profile->type == "RuntimeDefault") return kAppArmorDefault;
  return "";
}

/// pkg/security/apparmor/helpers.go: the annotation of static pods and of those older than the field.
std::optional<kube::AppArmorProfile> AnnotatedAppArmor(const kube::Pod& pod, const std::string& container) {
  const auto found = pod.metadata.annotations.find("container.apparmor.security.beta.kubernetes.io/" + container);
  if (found == pod.metadata.annotations.end()) return std::nullopt;
  const std::string& value = found->second;
  if (value == "runtime/default") return kube::AppArmorProfile{"RuntimeDefault", std::nullopt};
  if (value == "unconfined") return kube::AppArmorProfile{"Unconfined", std::nullopt};
  if (value.rfind("localhost/", 0) == 0) return kube::AppArmorProfile{"Localhost", value.substr(10)};
  return std::nullopt;
}

}  // namespace

kube::SecurityContext EffectiveSecurityContext(const kube::Pod& pod, const kube::Container& container) {
  kube::SecurityContext result = container.securityContext.value_or(kube::SecurityContext{});
  if (!result.appArmorProfile) result.appArmorProfile = AnnotatedAppArmor(pod, container.name);
  if (!pod.spec.securityContext) return result;
  const kube::PodSecurityContext& base = *pod.spec.securityContext;
  if (!result.runAsUser) result.runAsUser = base.runAsUser;
  if (!result.runAsGroup) result.runAsGroup = base.runAsGroup;
  if (!result.runAsNonRoot) result.runAsNonRoot = base.runAsNonRoot;
  if (!result.seLinuxOptions) result.seLinuxOptions = base.seLinuxOptions;
  if (!result.seccompProfile) result.seccompProfile = base.seccompProfile;
  if (!result.appArmorProfile) result.appArmorProfile = base.appArmorProfile;
  return result;
}

absl::StatusOr<sandbox::UserSpec> TranslateUser(const kube::Pod& pod, const kube::Container& container,
                                                const std::string& image_user) {
  const kube::SecurityContext context = EffectiveSecurityContext(pod, container);
  const ImageUser image = ParseImageUser(image_user);
  RETURN_IF_ERROR(VerifyNonRoot(pod, container, context, image));
  if (!context.runAsUser && image.uid && !ValidId(*image.uid)) {
    return ReasonError(
        absl::StatusCode::kInvalidArgument, "CreateContainerError",
        absl::StrCat("image user \"", image_user.substr(0, 64), "\": uids and gids must be in range 0-2147483647"));
  }
  sandbox::UserSpec user;
  user.uid = context.runAsUser;
  user.gid = context.runAsGroup;
  // The image's group belongs to the image's user: with another user the group comes from /etc/passwd.
  if (!context.runAsUser) user.image_user = image_user;
  if (pod.spec.securityContext) {
    const kube::PodSecurityContext& base = *pod.spec.securityContext;
    if (base.fsGroup) user.supplemental_groups.push_back(*base.fsGroup);
    for (std::int64_t group : base.supplementalGroups) user.supplemental_groups.push_back(group);
    const std::string policy = base.supplementalGroupsPolicy.value_or("Merge");
    if (policy != "Merge" && policy != "Strict") {
      return ConfigError(absl::StrCat("unsupported supplementalGroupsPolicy: ", policy));
    }
    user.merge_image_groups = policy == "Merge";
  }
  return user;
}

std::vector<std::string> CapabilitySet(const std::optional<kube::Capabilities>& change, bool privileged) {
  std::set<std::string> names;
  auto take_all = [&] { names.insert(std::begin(sandbox::kCapabilityNames), std::end(sandbox::kCapabilityNames)); };
  names.insert(std::begin(kDefaultCapabilities), std::end(kDefaultCapabilities));
  if (privileged) take_all();
  if (change) {
    // "ALL" first, whichever list has it, then the single names: drop ALL and add one is the common use.
    for (const auto& name : change->add) {
      if (CapabilityName(name) == "ALL") take_all();
    }
    for (const auto& name : change->drop) {
      if (CapabilityName(name) == "ALL") names.clear();
    }
    for (const auto& name : change->add) names.insert(CapabilityName(name));
    for (const auto& name : change->drop) names.erase(CapabilityName(name));
  }
  std::vector<std::string> result;
  for (const char* name : sandbox::kCapabilityNames) {
    if (names.count(name) != 0) result.emplace_back(name);
  }
  return result;
}

absl::Status TranslateSecurity(const kube::Pod& pod, const kube::Container& container, const NodeInfo& node,
                               const TranslateOptions& options, sandbox::ContainerSpec& spec) {
  const kube::SecurityContext context = EffectiveSecurityContext(pod, container);
  spec.privileged = context.privileged.value_or(false);
  // An explicit false, or the node's default: otherwise the field's absence keeps setuid programs working.
  spec.no_new_privileges =
      !context.allowPrivilegeEscalation.value_or(options.allow_privilege_escalation_default || spec.privileged);
  spec.app_armor_profile = AppArmorProfileName(context.appArmorProfile, spec.privileged, options);
  if (context.capabilities) {
    for (const auto& name : context.capabilities->add) {
      const std::string plain = CapabilityName(name);
      const bool known =
          plain == "ALL" || std::any_of(std::begin(sandbox::kCapabilityNames), std::end(sandbox::kCapabilityNames),
                                        [&](const char* one) { return plain == one; });
      if (!known) {
        return ReasonError(absl::StatusCode::kInvalidArgument, "CreateContainerError",
                           absl::StrCat("unknown capability \"CAP_", plain, "\" to add"));
      }
    }
  }
  spec.capabilities = CapabilitySet(context.capabilities, spec.privileged);
  spec.rootfs.read_only = context.readOnlyRootFilesystem.value_or(false);
  if (spec.privileged) {
    spec.seccomp.kind = sandbox::SeccompSpec::Kind::kUnconfined;
    return absl::OkStatus();  // nothing is masked either
  }
  ASSIGN_OR_RETURN(spec.seccomp, TranslateSeccomp(context.seccompProfile, spec.capabilities, options));
  if (context.procMount.value_or("Default") == "Unmasked") return absl::OkStatus();
  spec.masked_paths.assign(std::begin(kMaskedPaths), std::end(kMaskedPaths));
  // Thermal counters tell neighbours apart (as /proc/interrupts does); a path that is not there is no error.
  for (std::int64_t cpu = 0; cpu < ValueOf(node.capacity, "cpu"); ++cpu) {
    spec.masked_paths.push_back(absl::StrCat("/sys/devices/system/cpu/cpu", cpu, "/thermal_throttle"));
  }
  spec.read_only_paths.assign(std::begin(kReadOnlyPaths), std::end(kReadOnlyPaths));
  return absl::OkStatus();
}

}  // namespace burstlet::provider
