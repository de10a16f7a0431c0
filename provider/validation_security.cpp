// Security contexts of pods and containers.
#include <algorithm>
#include <set>
#include <type_traits>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "provider/validation.h"
#include "provider/validation_names.h"

namespace burstlet::provider::validation {
namespace {

constexpr std::int64_t kMostId = 2147483647;
constexpr std::size_t kLongestPath = 4095;

/// A struct as Go's json.Marshal prints the server's internal type, which has no JSON names: complaints show it.
class GoJson {
 public:
  template <typename T>
  static std::string Print(const T& value) {
    GoJson printer;
    printer.Write(value);
    return printer.out_;
  }

  template <typename T>
  void operator()(const char* field, const T& value, kube::Presence) {
    if (!out_.ends_with('{')) out_ += ',';
    std::string name = field;
    if (name.starts_with("seLinux")) {
      name.replace(0, 2, "SE");
    } else {
      name[0] = absl::ascii_toupper(static_cast<unsigned char>(name[0]));
    }
    out_ += Quote(name) + ":";
    Write(value);
  }

 private:
  void Write(const std::string& text) { out_ += Quote(text); }
  void Write(bool flag) { out_ += flag ? "true" : "false"; }
  void Write(std::int64_t number) { absl::StrAppend(&out_, number); }
  void Write(const kube::RawJson& raw) { out_ += raw.text; }
  void Write(const std::vector<std::string>& list) { out_ += list.empty() ? "null" : QuoteList(list); }
  template <typename T>
  void Write(const std::optional<T>& optional) {
    if (optional) {
      Write(*optional);
    } else {
      out_ += "null";
    }
  }
  template <typename T>
    requires requires(GoJson& visitor, const T& object) { VisitFields(visitor, object); }
  void Write(const T& object) {
    out_ += '{';
    VisitFields(*this, object);
    out_ += '}';
  }

  std::string out_;
};

void CheckId(Complaints& complaints, const std::string& path, const std::optional<std::int64_t>& id) {
  if (id) complaints.InRange(path, *id, 0, kMostId);
}

void CheckSeccomp(Complaints& complaints, const std::string& path, const std::optional<kube::SeccompProfile>& profile) {
  if (!profile) return;
  if (profile->type.empty()) {
    complaints.Required(path + ".type", "type is required when seccompProfile is set");
  } else {
    complaints.OneOf(path + ".type", profile->type, {"Localhost", "RuntimeDefault", "Unconfined"});
  }
  const std::string at = path + ".localhostProfile";
  if (profile->type != "Localhost") {
    if (profile->localhostProfile) {
      complaints.InvalidLiteral(at, GoJson::Print(*profile), "can only be set when seccomp type is Localhost");
    }
  } else if (!profile->localhostProfile) {
    complaints.Required(at, "must be set when seccomp type is Localhost");
  } else {
    complaints.InvalidEach(at, *profile->localhostProfile, DescendingPath(*profile->localhostProfile));
  }
}

void CheckAppArmorLocalhost(Complaints& complaints, const std::string& path,
                            const std::optional<std::string>& profile) {
  if (!profile || profile->empty()) {
    complaints.Required(path, "must be set when AppArmor type is Localhost");
    return;
  }
  const std::string stripped(absl::StripAsciiWhitespace(*profile));
  if (stripped != *profile) complaints.Invalid(path, *profile, "must not be padded with whitespace");
  if (profile->size() > kLongestPath) complaints.TooLong(path, kLongestPath);
}

void CheckAppArmor(Complaints& complaints, const std::string& path,
                   const std::optional<kube::AppArmorProfile>& profile) {
  if (!profile) return;
  if (profile->type.empty()) {
    complaints.Required(path + ".type", "type is required when appArmorProfile is set");
  } else if (profile->type == "Localhost") {
    CheckAppArmorLocalhost(complaints, path + ".localhostProfile", profile->localhostProfile);
  } else if (profile->type != "RuntimeDefault" && profile->type != "Unconfined") {
    complaints.NotSupported(path + ".type", profile->type, {"Localhost", "RuntimeDefault", "Unconfined"});
  } else if (profile->localhostProfile) {
    complaints.Invalid(path + ".localhostProfile", *profile->localhostProfile,
                       "can only be set when AppArmor type is Localhost");
  }
}

/// Sysctls of a namespace that the pod shares with the host (component-helpers node/util/sysctl/namespace.go).
void CheckHostSysctl(Complaints& complaints, const std::string& path, const std::string& name,
                     const kube::PodSpec& spec) {
  std::string dotted = name;
  // The first separator decides: with a slash first, dots and slashes trade places.
  const std::size_t separator = name.find_first_of("./");
  if (separator != std::string::npos && name[separator] == '/') {
    for (char& c : dotted) c = c == '/' ? '.' : (c == '.' ? '/' : c);
  }
  const bool is_net = dotted.starts_with("net.");
  const bool is_ipc = dotted.starts_with("kernel.shm") || dotted.starts_with("kernel.msg") || dotted == "kernel.sem" ||
                      dotted.starts_with("fs.mqueue.");
  if (spec.hostNetwork && is_net) complaints.Invalid(path, name, "may not be specified when 'hostNetwork' is true");
  if (spec.hostIPC && is_ipc) complaints.Invalid(path, name, "may not be specified when 'hostIPC' is true");
}

void CheckSysctls(Complaints& complaints, const std::vector<kube::Sysctl>& sysctls, const kube::PodSpec& spec) {
  std::set<std::string> names;
  for (std::size_t i = 0; i < sysctls.size(); ++i) {
    const std::string& name = sysctls[i].name;
    const std::string path = absl::StrCat("spec.securityContext.sysctls[", i, "].name");
    if (name.empty()) {
      complaints.Required(path);
    } else if (!IsSysctlName(name)) {
      complaints.Invalid(path, name,
                         "must have at most 253 characters and match regex "
                         "^([a-z0-9]([-_a-z0-9]*[a-z0-9])?[\\./])*[a-z0-9]([-_a-z0-9]*[a-z0-9])?$");
    } else if (!names.insert(name).second) {
      complaints.Duplicate(path, name);
    }
    CheckHostSysctl(complaints, path, name, spec);
  }
}

}  // namespace

void CheckSecurityContext(Complaints& complaints, const std::string& path, const kube::SecurityContext& context,
                          const kube::PodSpec& spec) {
  CheckId(complaints, path + ".runAsUser", context.runAsUser);
  CheckId(complaints, path + ".runAsGroup", context.runAsGroup);
  if (context.procMount) {
    complaints.OneOf(path + ".procMount", *context.procMount, {"Default", "Unmasked"});
    if (*context.procMount == "Unmasked" && spec.hostUsers.value_or(true)) {
      complaints.Invalid(path + ".procMount", *context.procMount, "`hostUsers` must be false to use `Unmasked`");
    }
  }
  CheckSeccomp(complaints, path + ".seccompProfile", context.seccompProfile);
  if (!context.allowPrivilegeEscalation.value_or(true)) {
    if (context.privileged.value_or(false)) {
      complaints.InvalidLiteral(path, GoJson::Print(context),
                                "cannot set `allowPrivilegeEscalation` to false and `privileged` to true");
    }
    const std::vector<std::string> none;
    const std::vector<std::string>& add = context.capabilities ? context.capabilities->add : none;
    if (std::find(add.begin(), add.end(), "CAP_SYS_ADMIN") != add.end()) {
      complaints.InvalidLiteral(path, GoJson::Print(context),
                                "cannot set `allowPrivilegeEscalation` to false and `capabilities.Add` CAP_SYS_ADMIN");
    }
  }
  CheckAppArmor(complaints, path + ".appArmorProfile", context.appArmorProfile);
  if (context.windowsOptions && spec.os && spec.os->name == "linux") {
    complaints.Forbidden(path + ".windowsOptions", "windows options cannot be set for a linux pod");
  }
}

void CheckAppArmorAnnotations(Complaints& complaints, const kube::Pod& pod) {
  static const std::string kPrefix = "container.apparmor.security.beta.kubernetes.io/";
  const auto is_there = [&](const std::string& name) {
    const auto has_name = [&name](const auto& container) { return container.name == name; };
    const kube::PodSpec& spec = pod.spec;
    return std::any_of(spec.containers.begin(), spec.containers.end(), has_name) ||
           std::any_of(spec.initContainers.begin(), spec.initContainers.end(), has_name) ||
           std::any_of(spec.ephemeralContainers.begin(), spec.ephemeralContainers.end(), has_name);
  };
  for (const auto& [key, value] : pod.metadata.annotations) {
    if (!key.starts_with(kPrefix)) continue;
    const std::string path = Key("metadata.annotations", key);
    const std::string name = key.substr(kPrefix.size());
    if (!is_there(name)) complaints.Invalid(path, name, "container not found");
    if (value.empty() || value == "runtime/default" || value == "unconfined" || value.starts_with("localhost/"))
      continue;
    complaints.Invalid(path, value, absl::StrCat("invalid AppArmor profile name: ", Quote(value)));
  }
}

void CheckPodSecurityContext(Complaints& complaints, const kube::PodSpec& spec) {
  if (!spec.securityContext) return;
  const kube::PodSecurityContext& context = *spec.securityContext;
  const std::string path = "spec.securityContext";
  CheckId(complaints, path + ".fsGroup", context.fsGroup);
  CheckId(complaints, path + ".runAsUser", context.runAsUser);
  CheckId(complaints, path + ".runAsGroup", context.runAsGroup);
  for (std::size_t i = 0; i < context.supplementalGroups.size(); ++i) {
    complaints.InRange(Index(path + ".supplementalGroups", i), context.supplementalGroups[i], 0, kMostId);
  }
  CheckSysctls(complaints, context.sysctls, spec);
  if (context.fsGroupChangePolicy) {
    complaints.OneOf(path + ".fsGroupChangePolicy", *context.fsGroupChangePolicy, {"Always", "OnRootMismatch"});
  }
  CheckSeccomp(complaints, path + ".seccompProfile", context.seccompProfile);
  CheckAppArmor(complaints, path + ".appArmorProfile", context.appArmorProfile);
  if (context.supplementalGroupsPolicy) {
    complaints.OneOf(path + ".supplementalGroupsPolicy", *context.supplementalGroupsPolicy, {"Merge", "Strict"});
  }
  if (context.seLinuxChangePolicy) {
    complaints.OneOf(path + ".seLinuxChangePolicy", *context.seLinuxChangePolicy, {"MountOption", "Recursive"});
  }
  if (context.windowsOptions && spec.os && spec.os->name == "linux") {
    complaints.Forbidden(path + ".windowsOptions", "windows options cannot be set for a linux pod");
  }
}

}  // namespace burstlet::provider::validation
