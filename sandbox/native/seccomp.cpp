#include "sandbox/native/seccomp.h"

#include <linux/capability.h>
#include <linux/filter.h>
#include <sched.h>
#include <seccomp.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include <cerrno>
#include <map>
#include <memory>
#include <mutex>

#include "absl/strings/str_cat.h"
#include "metrics/status.h"
#include "sandbox/native/seccomp_profile.h"
#include "sandbox/os/unique_fd.h"

namespace burstlet::sandbox {
namespace {

using Context = std::unique_ptr<void, decltype(&seccomp_release)>;

constexpr std::uint64_t kNamespaceFlags =
    CLONE_NEWNS | CLONE_NEWCGROUP | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWUSER | CLONE_NEWPID | CLONE_NEWNET;
// personality(2): Linux, Linux + SHORT_INODE... as the runtimes allow: PER_LINUX, UNAME26, PER_LINUX32, both, query.
constexpr std::uint64_t kPersonalities[] = {0x0, 0x0008, 0x20000, 0x20008, 0xffffffff};

bool Has(std::uint64_t capabilities, int capability) { return (capabilities >> capability & 1) != 0; }

/// A rule for a call that this libseccomp may not know yet; unknown ones are left to the default.
absl::Status Rule(void* context, std::uint32_t action, const char* name) {
  int number = seccomp_syscall_resolve_name(name);
  if (number == __NR_SCMP_ERROR) return absl::OkStatus();
  int result = seccomp_rule_add(context, action, number, 0);
  if (result != 0 && result != -EEXIST && result != -EDOM) return ErrnoError(-result, absl::StrCat("seccomp ", name));
  return absl::OkStatus();
}

absl::Status Rule(void* context, std::uint32_t action, const char* name, scmp_arg_cmp compare) {
  int number = seccomp_syscall_resolve_name(name);
  int result = seccomp_rule_add_array(context, action, number, 1, &compare);
  if (result != 0 && result != -EEXIST && result != -EDOM) return ErrnoError(-result, absl::StrCat("seccomp ", name));
  return absl::OkStatus();
}

scmp_arg_cmp FirstArgument(scmp_compare how, std::uint64_t value) { return scmp_arg_cmp{0, how, value, 0}; }

absl::Status AddConditions(void* context, std::uint64_t capabilities) {
  const std::uint32_t allow = SCMP_ACT_ALLOW;
  if (Has(capabilities, CAP_SYS_ADMIN)) {
    RETURN_IF_ERROR(Rule(context, allow, "clone"));
    RETURN_IF_ERROR(Rule(context, allow, "clone3"));
  } else {
    // clone3's flags lie in memory, out of a filter's sight: libc falls back to clone on ENOSYS (the default).
    RETURN_IF_ERROR(Rule(context, allow, "clone", FirstArgument(SCMP_CMP_MASKED_EQ, kNamespaceFlags)));
  }
  for (std::uint64_t personality : kPersonalities)
    RETURN_IF_ERROR(Rule(context, allow, "personality", FirstArgument(SCMP_CMP_EQ, personality)));
  // AF_ALG is kernel attack surface, AF_VSOCK reaches the hypervisor: three single-condition ranges, because
  // conditions on one argument in one rule are joined by OR when repeated.
  static_assert(AF_ALG == 38 && AF_VSOCK == 40);
  RETURN_IF_ERROR(Rule(context, allow, "socket", FirstArgument(SCMP_CMP_LT, AF_ALG)));
  RETURN_IF_ERROR(Rule(context, allow, "socket", FirstArgument(SCMP_CMP_EQ, AF_ALG + 1)));
  return Rule(context, allow, "socket", FirstArgument(SCMP_CMP_GT, AF_VSOCK));
}

absl::Status FillDefault(void* context, std::uint64_t capabilities) {
  seccomp_attr_set(context, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_ERRNO(ENOSYS));
  seccomp_attr_set(context, SCMP_FLTATR_CTL_NNP, 0);
  seccomp_attr_set(context, SCMP_FLTATR_CTL_OPTIMIZE, 2);
  int result = seccomp_arch_add(context, SCMP_ARCH_X86);
  if (result != 0 && result != -EEXIST) return ErrnoError(-result, "seccomp architecture");
  for (const char* name : SeccompAllowed()) RETURN_IF_ERROR(Rule(context, SCMP_ACT_ALLOW, name));
  for (const CapabilityCall& call : SeccompWithCapability()) {
    if (Has(capabilities, call.capability)) RETURN_IF_ERROR(Rule(context, SCMP_ACT_ALLOW, call.name));
  }
  for (const CapabilityCall& call : SeccompWithCapability()) {
    bool allowed = false;
    for (const CapabilityCall& other : SeccompWithCapability())
      allowed = allowed || (std::string(other.name) == call.name && Has(capabilities, other.capability));
    if (!allowed) RETURN_IF_ERROR(Rule(context, SCMP_ACT_ERRNO(EPERM), call.name));
  }
  for (const char* name : SeccompDenied()) RETURN_IF_ERROR(Rule(context, SCMP_ACT_ERRNO(EPERM), name));
  return AddConditions(context, capabilities);
}

absl::StatusOr<std::string> CompileDefault(std::uint64_t capabilities) {
  static std::mutex mutex;
  static std::map<std::uint64_t, std::string>* const cache = new std::map<std::uint64_t, std::string>;
  std::lock_guard<std::mutex> lock(mutex);
  auto found = cache->find(capabilities);
  if (found != cache->end()) return found->second;
  Context context(seccomp_init(SCMP_ACT_ERRNO(ENOSYS)), &seccomp_release);
  if (context == nullptr) return absl::InternalError("seccomp: out of memory");
  RETURN_IF_ERROR(FillDefault(context.get(), capabilities));
  ASSIGN_OR_RETURN(std::string program, ExportSeccomp(context.get()));
  if (cache->size() < 64) cache->emplace(capabilities, program);
  return program;
}

}  // namespace

absl::StatusOr<std::string> ExportSeccomp(void* context) {
  UniqueFd file(::memfd_create("seccomp", MFD_CLOEXEC));
  if (!file.valid()) return ErrnoError(errno, "memfd");
  int result = seccomp_export_bpf(context, file.get());
  if (result != 0) return ErrnoError(-result, "seccomp program");
  struct stat status;
  if (::fstat(file.get(), &status) != 0) return ErrnoError(errno, "seccomp program");
  std::string program(static_cast<std::size_t>(status.st_size), '\0');
  if (::pread(file.get(), program.data(), program.size(), 0) != status.st_size)
    return ErrnoError(errno, "seccomp program");
  if (program.size() / sizeof(sock_filter) > BPF_MAXINSNS)
    return absl::InvalidArgumentError("seccomp program is too long for the kernel");
  return program;
}

absl::StatusOr<SeccompFilter> CompileSeccomp(const SeccompSpec& spec, std::uint64_t capabilities) {
  SeccompFilter filter;
  if (spec.kind == SeccompSpec::Kind::kUnconfined) return filter;
  if (spec.kind == SeccompSpec::Kind::kLocalhost) {
    absl::StatusOr<SeccompFilter> compiled = CompileProfile(spec.profile);
    if (!compiled.ok()) return WithReason(compiled.status(), "CreateContainerError");
    return compiled;
  }
  absl::StatusOr<std::string> program = CompileDefault(capabilities);
  if (!program.ok()) return WithReason(program.status(), "CreateContainerError");
  filter.program = *std::move(program);
  return filter;
}

}  // namespace burstlet::sandbox
