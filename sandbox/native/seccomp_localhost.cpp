// Seccomp profiles of type Localhost to filter programs, with the meaning that runc gives them.
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <seccomp.h>

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <map>
#include <memory>
#include <set>

#include "absl/strings/str_cat.h"
#include "metrics/status.h"
#include "sandbox/native/seccomp.h"

namespace burstlet::sandbox {
namespace {

using Context = std::unique_ptr<void, decltype(&seccomp_release)>;

absl::Status Wrong(const std::string& what) {
  return absl::InvalidArgumentError(absl::StrCat("seccomp profile: ", what));
}

absl::StatusOr<std::uint32_t> Action(const std::string& name, const std::optional<std::uint32_t>& errno_ret) {
  if (errno_ret && *errno_ret > 4095) return Wrong(absl::StrCat("errnoRet ", *errno_ret, " is no errno"));
  const std::uint32_t value = errno_ret.value_or(EPERM);
  if (name == "SCMP_ACT_ERRNO") return SCMP_ACT_ERRNO(value);
  if (name == "SCMP_ACT_TRACE") return SCMP_ACT_TRACE(value);
  static const std::map<std::string, std::uint32_t> kOthers = {{"SCMP_ACT_KILL", SCMP_ACT_KILL},
                                                               {"SCMP_ACT_KILL_THREAD", SCMP_ACT_KILL_THREAD},
                                                               {"SCMP_ACT_KILL_PROCESS", SCMP_ACT_KILL_PROCESS},
                                                               {"SCMP_ACT_TRAP", SCMP_ACT_TRAP},
                                                               {"SCMP_ACT_LOG", SCMP_ACT_LOG},
                                                               {"SCMP_ACT_ALLOW", SCMP_ACT_ALLOW}};
  const auto found = kOthers.find(name);
  if (found != kOthers.end()) return found->second;
  if (name == "SCMP_ACT_NOTIFY") return Wrong("action SCMP_ACT_NOTIFY needs a listener, which this node has not");
  return Wrong(absl::StrCat("unknown action \"", name, "\""));
}

absl::StatusOr<scmp_compare> Comparison(const std::string& op) {
  static const std::map<std::string, scmp_compare> kOps = {{"SCMP_CMP_NE", SCMP_CMP_NE},
                                                           {"SCMP_CMP_LT", SCMP_CMP_LT},
                                                           {"SCMP_CMP_LE", SCMP_CMP_LE},
                                                           {"SCMP_CMP_EQ", SCMP_CMP_EQ},
                                                           {"SCMP_CMP_GE", SCMP_CMP_GE},
                                                           {"SCMP_CMP_GT", SCMP_CMP_GT},
                                                           {"SCMP_CMP_MASKED_EQ", SCMP_CMP_MASKED_EQ}};
  const auto found = kOps.find(op);
  if (found == kOps.end()) return Wrong(absl::StrCat("unknown comparison \"", op, "\""));
  return found->second;
}

absl::StatusOr<std::uint64_t> Flags(const std::vector<std::string>& names) {
  std::uint64_t flags = 0;
  for (const std::string& name : names) {
    if (name == "SECCOMP_FILTER_FLAG_LOG") {
      flags |= SECCOMP_FILTER_FLAG_LOG;
    } else if (name == "SECCOMP_FILTER_FLAG_SPEC_ALLOW") {
      flags |= SECCOMP_FILTER_FLAG_SPEC_ALLOW;
    } else if (name != "SECCOMP_FILTER_FLAG_TSYNC") {  // one thread has nobody to synchronise with
      return Wrong(absl::StrCat("unknown flag \"", name, "\""));
    }
  }
  return flags;
}

/// "SCMP_ARCH_X86_64" as libseccomp knows it; unknown ones are an error, ones this kernel does not run do no harm.
absl::Status AddArchitectures(void* context, const std::vector<std::string>& names) {
  for (const std::string& name : names) {
    std::string plain = name.rfind("SCMP_ARCH_", 0) == 0 ? name.substr(10) : name;
    std::transform(plain.begin(), plain.end(), plain.begin(), [](unsigned char c) { return std::tolower(c); });
    const std::uint32_t token = seccomp_arch_resolve_name(plain.c_str());
    if (token == 0) return Wrong(absl::StrCat("unknown architecture \"", name, "\""));
    const int result = seccomp_arch_add(context, token);
    if (result != 0 && result != -EEXIST) return ErrnoError(-result, absl::StrCat("seccomp architecture ", name));
  }
  return absl::OkStatus();
}

absl::Status AddCall(void* context, std::uint32_t action, int number, const std::vector<scmp_arg_cmp>& conditions) {
  const int result =
      seccomp_rule_add_array(context, action, number, static_cast<unsigned>(conditions.size()), conditions.data());
  // A call that one of the architectures does not have, or a rule that is there already.
  if (result == 0 || result == -EEXIST || result == -EDOM) return absl::OkStatus();
  return ErrnoError(-result, "seccomp rule");
}

absl::Status AddRule(void* context, const SeccompProfile::Rule& rule, std::uint32_t default_action, int& newest) {
  ASSIGN_OR_RETURN(const std::uint32_t action, Action(rule.action, rule.errno_ret));
  std::vector<scmp_arg_cmp> conditions;
  std::set<unsigned> indexes;
  for (const SeccompProfile::Argument& argument : rule.args) {
    if (argument.index > 5) return Wrong(absl::StrCat("argument index ", argument.index, " is not 0 to 5"));
    ASSIGN_OR_RETURN(const scmp_compare how, Comparison(argument.op));
    conditions.push_back({argument.index, how, argument.value, argument.value_two});
    indexes.insert(argument.index);
  }
  for (const std::string& name : rule.names) {
    const int number = seccomp_syscall_resolve_name(name.c_str());
    if (number == __NR_SCMP_ERROR) continue;  // newer than this libseccomp, or of another kernel
    newest = std::max(newest, number);
    if (action == default_action) continue;  // libseccomp takes no rule that changes nothing
    if (indexes.size() == conditions.size()) {
      RETURN_IF_ERROR(Annotate(AddCall(context, action, number, conditions), name));
      continue;
    }
    // Several conditions on one argument are alternatives.
    for (const scmp_arg_cmp& condition : conditions)
      RETURN_IF_ERROR(Annotate(AddCall(context, action, number, {condition}), name));
  }
  return absl::OkStatus();
}

/// A profile knows nothing of calls younger than itself. Where they would be refused they do not exist (ENOSYS), so
/// that a libc falls back; runc does the same.
std::string WithUnknownCalls(const std::string& program, int newest) {
  constexpr std::uint32_t kX32 = 0x40000000;
  const sock_filter head[] = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, arch)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, AUDIT_ARCH_X86_64, 0, 4),
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
      BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, kX32, 2, 0),
      BPF_JUMP(BPF_JMP | BPF_JGT | BPF_K, static_cast<std::uint32_t>(newest), 0, 1),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ENOSYS),
  };
  return std::string(reinterpret_cast<const char*>(head), sizeof(head)) + program;
}

}  // namespace

absl::StatusOr<SeccompFilter> CompileProfile(const SeccompProfile& profile) {
  ASSIGN_OR_RETURN(const std::uint32_t default_action, Action(profile.default_action, profile.default_errno_ret));
  SeccompFilter filter;
  ASSIGN_OR_RETURN(filter.flags, Flags(profile.flags));
  Context context(seccomp_init(default_action), &seccomp_release);
  if (context == nullptr) return absl::InternalError("seccomp: out of memory");
  seccomp_attr_set(context.get(), SCMP_FLTATR_CTL_NNP, 0);
  seccomp_attr_set(context.get(), SCMP_FLTATR_CTL_OPTIMIZE, 2);
  RETURN_IF_ERROR(AddArchitectures(context.get(), profile.architectures));
  int newest = -1;
  for (const SeccompProfile::Rule& rule : profile.rules)
    RETURN_IF_ERROR(AddRule(context.get(), rule, default_action, newest));
  ASSIGN_OR_RETURN(filter.program, ExportSeccomp(context.get()));
  if (profile.default_action == "SCMP_ACT_ERRNO" && default_action != SCMP_ACT_ERRNO(ENOSYS) && newest >= 0)
    filter.program = WithUnknownCalls(filter.program, newest);
  if (filter.program.size() / sizeof(sock_filter) > BPF_MAXINSNS)
    return Wrong("its program is too long for the kernel");
  return filter;
}

}  // namespace burstlet::sandbox
