#include "sandbox/native/warden_pool.h"

#include <fcntl.h>
#include <linux/sched.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include <cerrno>

#include "absl/strings/str_cat.h"
#include "metrics/log.h"
#include "metrics/status.h"
#include "sandbox/os/safe_path.h"
#include "sandbox/os/subprocess.h"
#include "sandbox/os/syscalls.h"

namespace burstlet::sandbox {
namespace {

constexpr unsigned kUsualFlags = warden::kNewNet | warden::kNewIpc | warden::kNewUts | warden::kPidOne;
constexpr int kEndTimeoutMs = 10000;

absl::StatusOr<UniqueFd> LoadProgram(const std::string& path) {
  UniqueFd file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!file.valid()) return ErrnoError(errno, absl::StrCat("open ", path));
  struct stat status;
  if (::fstat(file.get(), &status) != 0) return ErrnoError(errno, path);
  UniqueFd program(::memfd_create("burstlet-warden", MFD_CLOEXEC | MFD_ALLOW_SEALING));
  if (!program.valid()) return ErrnoError(errno, "memfd");
  off_t offset = 0;
  while (offset < status.st_size) {
    ssize_t sent = ::sendfile(program.get(), file.get(), &offset, static_cast<std::size_t>(status.st_size - offset));
    if (sent <= 0) return ErrnoError(sent < 0 ? errno : EIO, absl::StrCat("read ", path));
  }
  if (::fcntl(program.get(), F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_SEAL) != 0)
    return ErrnoError(errno, "seal memfd");
  // A program can't be executed by way of a descriptor that may write it.
  UniqueFd read_only(::open(absl::StrCat("/proc/self/fd/", program.get()).c_str(), O_RDONLY | O_CLOEXEC));
  if (!read_only.valid()) return ErrnoError(errno, "memfd");
  return read_only;
}

}  // namespace

absl::Status KillAndWait(int pidfd) {
  if (PidfdSignal(pidfd, SIGKILL) != 0 && errno != ESRCH) return ErrnoError(errno, "kill warden");
  pollfd poll_fd{pidfd, POLLIN, 0};
  int ready;
  do {
    ready = ::poll(&poll_fd, 1, kEndTimeoutMs);
  } while (ready < 0 && errno == EINTR);
  if (ready == 0) return absl::DeadlineExceededError("the warden does not end");
  siginfo_t info{};
  // After a restart of the agent it is somebody else's child: then there is nothing to reap.
  ::waitid(static_cast<idtype_t>(P_PIDFD), static_cast<id_t>(pidfd), &info, WEXITED | WNOHANG);
  return absl::OkStatus();
}

absl::StatusOr<std::unique_ptr<WardenPool>> WardenPool::Open(const Config& config, CgroupTree& cgroups,
                                                             PodNetwork* network) {
  std::unique_ptr<WardenPool> pool(new WardenPool(config, cgroups, network));
  ASSIGN_OR_RETURN(pool->program_, LoadProgram(config.warden_path));
  return pool;
}

WardenPool::~WardenPool() {
  {
    std::lock_guard<std::mutex> lock(mutex_);
    stopping_ = true;
  }
  changed_.notify_all();
  if (thread_.joinable()) thread_.join();
  for (WardenProcess& process : ready_) Discard(std::move(process));
}

void WardenPool::Start() {
  if (config_.size > 0 && !thread_.joinable()) thread_ = std::thread([this] { Refill(); });
}

void WardenPool::Discard(WardenProcess process) {
  process.client.reset();
  LogIfError(KillAndWait(process.pidfd.get()), "Failed to end a pooled warden");
  if (network_ != nullptr && !process.network_owner.empty())
    LogIfError(network_->Detach(process.network_owner), "Failed to free a pooled address");
}

absl::StatusOr<WardenProcess> WardenPool::Spawn(unsigned flags, const IdMap& ids) {
  int pair[2];
  if (::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) != 0) return ErrnoError(errno, "socketpair");
  UniqueFd ours(pair[0]);
  UniqueFd theirs(pair[1]);
  SubprocessSpec spec;
  spec.program_fd = program_.get();
  spec.args = {"burstlet-warden", absl::StrCat(flags)};
  if ((flags & warden::kNewUser) != 0) {
    spec.args.push_back(absl::StrCat(ids.host_id));
    spec.args.push_back(absl::StrCat(ids.count));
  }
  spec.fds = {{warden::kControlFd, theirs.get()}};
  if ((flags & warden::kPidOne) != 0) spec.clone_flags |= CLONE_NEWPID;
  absl::StatusOr<Subprocess> started = sandbox::Spawn(spec);
  if (!started.ok()) return Annotate(started.status(), "start a warden");
  theirs.Reset();
  WardenProcess process;
  process.pid = started->pid;
  process.pidfd = std::move(started->pidfd);
  process.client = std::make_unique<WardenClient>(std::move(ours));
  absl::Status status = cgroups_.Join(cgroups_.WardensPath(), process.pid);
  if (status.ok()) status = process.client->AwaitReady(&process.user_namespace);
  // Last in line when memory is short: with it the pod would go (no harm where the kernel refuses).
  WriteFile(absl::StrCat("/proc/", process.pid, "/oom_score_adj"), "-998").IgnoreError();
  if (status.ok() && network_ != nullptr && network_->made_ahead() && (flags & warden::kNewNet) != 0) {
    UniqueFd netns(::open(absl::StrCat("/proc/", process.pid, "/ns/net").c_str(), O_RDONLY | O_CLOEXEC));
    std::string owner;
    {
      std::lock_guard<std::mutex> lock(mutex_);
      owner = absl::StrCat("pool-", ::getpid(), "-", ++counter_);
    }
    absl::StatusOr<PodAddresses> attached = network_->Attach(netns.get(), owner);
    status = attached.status();
    if (attached.ok()) {
      process.network_owner = owner;
      process.addresses = *std::move(attached);
    }
  }
  if (!status.ok()) {
    Discard(std::move(process));
    return status;
  }
  return process;
}

absl::StatusOr<WardenProcess> WardenPool::Take(unsigned flags, const IdMap& ids) {
  if (flags == kUsualFlags) {
    std::unique_lock<std::mutex> lock(mutex_);
    paused_ = false;
    while (!ready_.empty()) {
      WardenProcess process = std::move(ready_.front());
      ready_.pop_front();
      changed_.notify_all();
      pollfd ended{process.pidfd.get(), POLLIN, 0};
      if (::poll(&ended, 1, 0) == 0) return process;
      lock.unlock();
      Discard(std::move(process));
      lock.lock();
    }
    changed_.notify_all();
  }
  return Spawn(flags, ids);
}

void WardenPool::Refill() {
  // Nice: a burst of pods comes before the preparation of the next one.
  ::setpriority(PRIO_PROCESS, static_cast<id_t>(::syscall(SYS_gettid)), 10);
  std::unique_lock<std::mutex> lock(mutex_);
  while (!stopping_) {
    if (paused_ || ready_.size() >= config_.size) {
      changed_.wait(lock);
      continue;
    }
    lock.unlock();
    absl::StatusOr<WardenProcess> process = Spawn(kUsualFlags, IdMap());
    lock.lock();
    if (process.ok()) {
      ready_.push_back(*std::move(process));
    } else {
      paused_ = true;
      LogIfError(process.status(), "Failed to prepare a sandbox ahead");
    }
  }
}

}  // namespace burstlet::sandbox
