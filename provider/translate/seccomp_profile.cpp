#include "provider/translate/seccomp_profile.h"

#include <fcntl.h>

#include <algorithm>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "kube/json_codec.h"
#include "metrics/status.h"
#include "provider/translate/security_context.h"
#include "sandbox/os/safe_path.h"
#include "sandbox/os/unique_fd.h"

namespace burstlet::provider {

// The file's own shape.
struct ProfileArgument {
  std::int64_t index = 0;
  kube::RawJson value;  // any 64 bits without a sign
  kube::RawJson valueTwo;
  std::string op;
};
BURSTLET_API_FIELDS(ProfileArgument, (index, value, op), valueTwo);

/// docker: a rule counts only with, or only without, these.
struct ProfileFilter {
  std::vector<std::string> caps;
  std::vector<std::string> arches;
  std::string minKernel;
};
BURSTLET_API_FIELDS(ProfileFilter, (), caps, arches, minKernel);

struct ProfileRule {
  std::string name;  // docker's older files
  std::vector<std::string> names;
  std::string action;
  std::optional<std::int64_t> errnoRet;
  std::vector<ProfileArgument> args;
  std::optional<ProfileFilter> includes;
  std::optional<ProfileFilter> excludes;
};
BURSTLET_API_FIELDS(ProfileRule, (action), name, names, errnoRet, args, includes, excludes);

struct ProfileArchitecture {
  std::string architecture;
  std::vector<std::string> subArchitectures;
};
BURSTLET_API_FIELDS(ProfileArchitecture, (architecture), subArchitectures);

struct ProfileFile {
  std::string defaultAction;
  std::optional<std::int64_t> defaultErrnoRet;
  std::vector<std::string> architectures;
  std::vector<ProfileArchitecture> archMap;
  std::vector<std::string> flags;
  std::string listenerPath;
  std::vector<ProfileRule> syscalls;
};
BURSTLET_API_FIELDS(ProfileFile, (defaultAction), defaultErrnoRet, architectures, archMap, flags, listenerPath,
                    syscalls);

}  // namespace burstlet::provider

namespace burstlet::kube {

template absl::StatusOr<provider::ProfileFile> Decode<provider::ProfileFile>(const std::string&,
                                                                             std::vector<std::string>*);

}  // namespace burstlet::kube

namespace burstlet::provider {
namespace {

constexpr std::size_t kMaxFile = 1u << 20;
constexpr std::size_t kMaxCalls = 20000;  // names over all rules; a kernel has some 400

absl::Status Error(absl::StatusCode code, const std::string& message) {
  return ReasonError(code, "CreateContainerError", message);
}

absl::Status Broken(const std::string& file, const std::string& why) {
  return Error(absl::StatusCode::kInvalidArgument,
               absl::StrCat("decoding seccomp profile failed \"", file, "\": ", why));
}

bool Has(const std::vector<std::string>& capabilities, const std::string& name) {
  const std::string plain = name.rfind("CAP_", 0) == 0 ? name.substr(4) : name;
  return std::find(capabilities.begin(), capabilities.end(), plain) != capabilities.end();
}

bool ThisMachine(const std::string& architecture) { return architecture == "amd64"; }

/// All that is named must be there for a rule to be included; any of it excludes one. Kernels older than any minKernel
/// that files name (4.8) are not supported, so that condition always holds.
bool Counts(const ProfileRule& rule, const std::vector<std::string>& capabilities) {
  if (rule.includes) {
    const ProfileFilter& filter = *rule.includes;
    if (!filter.arches.empty() && std::none_of(filter.arches.begin(), filter.arches.end(), ThisMachine)) return false;
    for (const std::string& name : filter.caps) {
      if (!Has(capabilities, name)) return false;
    }
  }
  if (rule.excludes) {
    const ProfileFilter& filter = *rule.excludes;
    if (std::any_of(filter.arches.begin(), filter.arches.end(), ThisMachine)) return false;
    for (const std::string& name : filter.caps) {
      if (Has(capabilities, name)) return false;
    }
    if (!filter.minKernel.empty()) return false;
  }
  return true;
}

absl::StatusOr<std::optional<std::uint32_t>> Errno(const std::string& where, const std::optional<std::int64_t>& value) {
  if (!value) return std::optional<std::uint32_t>();
  if (*value < 0 || *value > 4095) return absl::InvalidArgumentError(absl::StrCat(where, ": ", *value, " is no errno"));
  return std::optional<std::uint32_t>(static_cast<std::uint32_t>(*value));
}

absl::StatusOr<std::uint64_t> Number(const std::string& where, const kube::RawJson& raw) {
  std::uint64_t value = 0;
  if (raw.text.empty() || raw.text == "null" || absl::SimpleAtoi(raw.text, &value)) return value;
  return absl::InvalidArgumentError(absl::StrCat(where, ": ", raw.text.substr(0, 40), " is no 64-bit number"));
}

absl::StatusOr<sandbox::SeccompProfile::Rule> ParseRule(const std::string& where, const ProfileRule& rule) {
  sandbox::SeccompProfile::Rule result;
  result.names = rule.names;
  if (!rule.name.empty()) result.names.push_back(rule.name);
  result.action = rule.action;
  ASSIGN_OR_RETURN(result.errno_ret, Errno(where + ".errnoRet", rule.errnoRet));
  if (rule.args.size() > 32) return absl::InvalidArgumentError(absl::StrCat(where, ".args: more than 32"));
  for (std::size_t i = 0; i < rule.args.size(); ++i) {
    const ProfileArgument& argument = rule.args[i];
    const std::string at = absl::StrCat(where, ".args[", i, "]");
    if (argument.index < 0 || argument.index > 5)
      return absl::InvalidArgumentError(absl::StrCat(at, ".index: ", argument.index, " is not 0 to 5"));
    ASSIGN_OR_RETURN(const std::uint64_t value, Number(at + ".value", argument.value));
    ASSIGN_OR_RETURN(const std::uint64_t value_two, Number(at + ".valueTwo", argument.valueTwo));
    result.args.push_back({static_cast<unsigned>(argument.index), value, value_two, argument.op});
  }
  return result;
}

absl::StatusOr<sandbox::SeccompProfile> Convert(const ProfileFile& file, const std::vector<std::string>& capabilities) {
  sandbox::SeccompProfile profile;
  profile.default_action = file.defaultAction;
  ASSIGN_OR_RETURN(profile.default_errno_ret, Errno("defaultErrnoRet", file.defaultErrnoRet));
  if (!file.architectures.empty() && !file.archMap.empty())
    return absl::InvalidArgumentError("use either architectures or archMap");
  profile.architectures = file.architectures;
  for (const ProfileArchitecture& entry : file.archMap) {
    if (entry.architecture != "SCMP_ARCH_X86_64") continue;
    profile.architectures = entry.subArchitectures;
    profile.architectures.push_back(entry.architecture);
  }
  if (!file.listenerPath.empty()) return absl::InvalidArgumentError("listenerPath: this node has no listeners");
  profile.flags = file.flags;
  std::size_t calls = 0;
  for (std::size_t i = 0; i < file.syscalls.size(); ++i) {
    if (!Counts(file.syscalls[i], capabilities)) continue;
    ASSIGN_OR_RETURN(sandbox::SeccompProfile::Rule rule,
                     ParseRule(absl::StrCat("syscalls[", i, "]"), file.syscalls[i]));
    calls += rule.names.size() * std::max<std::size_t>(1, rule.args.size());
    if (calls > kMaxCalls) return absl::InvalidArgumentError("it names too many system calls");
    profile.rules.push_back(std::move(rule));
  }
  return profile;
}

}  // namespace

std::string LocalhostSeccompProfile(const kube::Pod& pod, const kube::Container& container) {
  const kube::SecurityContext context = EffectiveSecurityContext(pod, container);
  if (context.privileged.value_or(false)) return "";
  if (!context.seccompProfile || context.seccompProfile->type != "Localhost") return "";
  return context.seccompProfile->localhostProfile.value_or("");
}

absl::StatusOr<std::string> ReadSeccompProfile(const std::string& root, const std::string& name) {
  const std::string file = absl::StrCat(root, "/", name);
  sandbox::UniqueFd base(::open(root.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  if (!base.valid())
    return Error(absl::StatusCode::kNotFound, absl::StrCat("cannot load seccomp profile \"", file, "\": open ", root,
                                                           ": ", ErrnoError(errno, "").message()));
  absl::StatusOr<std::string> text = sandbox::ReadFileInRoot(base.get(), name, kMaxFile);
  if (text.ok()) return text;
  return Error(text.status().code(),
               absl::StrCat("cannot load seccomp profile \"", file, "\": ", std::string(text.status().message())));
}

absl::StatusOr<sandbox::SeccompProfile> ParseSeccompProfile(const std::string& file, const std::string& text,
                                                            const std::vector<std::string>& capabilities) {
  const auto decoded = kube::Decode<ProfileFile>(text);
  if (!decoded.ok()) return Broken(file, std::string(decoded.status().message()));
  if (decoded->defaultAction.empty()) return Broken(file, "defaultAction is missing");
  auto profile = Convert(*decoded, capabilities);
  if (!profile.ok()) return Broken(file, std::string(profile.status().message()));
  return profile;
}

}  // namespace burstlet::provider
