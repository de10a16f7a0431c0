#include "sandbox/os/subprocess.h"

#include <fcntl.h>
#include <linux/sched.h>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "metrics/status.h"

namespace burstlet::sandbox {
namespace {

constexpr std::size_t kStackSize = 64 << 10;

/// All a child needs, prepared before: it shares our memory and must not allocate.
struct ChildArguments {
  const SubprocessSpec* spec;
  char* const* argv;
  char* const* envp;
  int null_fd;
  int first_free;  // above every descriptor the child is to have
  sigset_t* mask;
  int error = 0;
};

bool PlaceDescriptors(ChildArguments& child) {
  // Twice: out of the way first, so that no target overwrites a source that is still to come.
  int moved[16];
  std::size_t count = child.spec->fds.size();
  if (count > 16) {
    errno = E2BIG;
    return false;
  }
  for (std::size_t i = 0; i < count; ++i) {
    moved[i] = ::fcntl(child.spec->fds[i].second, F_DUPFD_CLOEXEC, child.first_free);
    if (moved[i] < 0) return false;
  }
  int null_fd = ::fcntl(child.null_fd, F_DUPFD_CLOEXEC, child.first_free);
  int program = child.spec->program_fd < 0 ? -1 : ::fcntl(child.spec->program_fd, F_DUPFD_CLOEXEC, child.first_free);
  for (int standard = 0; standard < 3; ++standard) {
    if (::dup2(null_fd, standard) < 0) return false;
  }
  for (std::size_t i = 0; i < count; ++i) {
    if (::dup2(moved[i], child.spec->fds[i].first) < 0) return false;
  }
  if (::close_range(static_cast<unsigned>(child.first_free), ~0u, CLOSE_RANGE_CLOEXEC) != 0) return false;
  child.null_fd = program;  // from here on: the program to execute
  return true;
}

int RunChild(void* argument) {
  ChildArguments& child = *static_cast<ChildArguments*>(argument);
  for (int number = 1; number < NSIG; ++number) {
    // Handlers would run in the parent's memory.
    struct sigaction action{};
    action.sa_handler = SIG_DFL;
    ::sigaction(number, &action, nullptr);
  }
  if (child.spec->new_session) ::setsid();
  bool placed = PlaceDescriptors(child);
  if (placed) {
    sigset_t none;
    sigemptyset(&none);
    ::pthread_sigmask(SIG_SETMASK, &none, nullptr);
    if (child.spec->program_fd >= 0) {
      ::syscall(SYS_execveat, child.null_fd, "", child.argv, child.envp, AT_EMPTY_PATH);
    } else {
      ::execve(child.spec->path.c_str(), child.argv, child.envp);
    }
  }
  child.error = errno;
  ::_exit(127);
}

std::vector<char*> Pointers(const std::vector<std::string>& texts) {
  std::vector<char*> pointers;
  pointers.reserve(texts.size() + 1);
  for (const std::string& text : texts) pointers.push_back(const_cast<char*>(text.c_str()));
  pointers.push_back(nullptr);
  return pointers;
}

/// clone3 with a stack of its own, in assembler: the child must return onto that stack.
pid_t CloneOnStack(clone_args* args, ChildArguments* child) {
  long result;
  register void* function __asm__("r12") = reinterpret_cast<void*>(&RunChild);
  register void* argument __asm__("r13") = child;
  __asm__ volatile(
      "syscall\n\t"
      "test %%rax, %%rax\n\t"
      "jnz 1f\n\t"
      "xor %%ebp, %%ebp\n\t"
      "mov %%r13, %%rdi\n\t"
      "call *%%r12\n\t"
      "hlt\n\t"
      "1:"
      : "=a"(result)
      : "a"(static_cast<long>(SYS_clone3)), "D"(args), "S"(sizeof(*args)), "r"(function), "r"(argument)
      : "rcx", "r11", "memory");
  return static_cast<pid_t>(result);
}

}  // namespace

absl::StatusOr<Subprocess> Spawn(const SubprocessSpec& spec) {
  std::vector<char*> argv = Pointers(spec.args);
  std::vector<char*> envp = Pointers(spec.env);
  UniqueFd null_fd(::open("/dev/null", O_RDWR | O_CLOEXEC));
  if (!null_fd.valid()) return ErrnoError(errno, "open /dev/null");
  void* stack = ::mmap(nullptr, kStackSize, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK, -1, 0);
  if (stack == MAP_FAILED) return ErrnoError(errno, "stack of a new process");
  sigset_t all;
  sigset_t before;
  sigfillset(&all);
  ::pthread_sigmask(SIG_SETMASK, &all, &before);
  ChildArguments child{&spec, argv.data(), envp.data(), null_fd.get(), 3, &before};
  for (const auto& fd : spec.fds) child.first_free = std::max(child.first_free, fd.first + 1);
  int pidfd = -1;
  clone_args args{};
  args.flags = CLONE_VM | CLONE_VFORK | CLONE_PIDFD | spec.clone_flags;
  args.pidfd = reinterpret_cast<std::uintptr_t>(&pidfd);
  args.exit_signal = SIGCHLD;
  args.stack = reinterpret_cast<std::uintptr_t>(stack);
  args.stack_size = kStackSize;
  if (spec.cgroup_fd >= 0) {
    args.flags |= CLONE_INTO_CGROUP;
    args.cgroup = static_cast<std::uint64_t>(spec.cgroup_fd);
  }
  pid_t pid = CloneOnStack(&args, &child);
  ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
  ::munmap(stack, kStackSize);
  if (pid < 0) return ErrnoError(static_cast<int>(-pid), "clone3");
  Subprocess process{pid, UniqueFd(pidfd)};
  if (child.error != 0) {
    siginfo_t info{};
    ::waitid(static_cast<idtype_t>(3 /* P_PIDFD */), static_cast<id_t>(process.pidfd.get()), &info, WEXITED);
    return ErrnoError(child.error, "start " + (spec.program_fd >= 0 ? spec.args.at(0) : spec.path));
  }
  return process;
}

}  // namespace burstlet::sandbox
