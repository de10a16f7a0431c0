// Commands run inside containers (exec).
#include <fcntl.h>
#include <sched.h>
#include <sys/wait.h>
#include <cstdio>
#include <cstdlib>

#include "sandbox/os/syscalls.h"
#include "sandbox/warden/child.h"
#include "sandbox/warden/warden.h"

namespace burstlet::warden {
namespace {

enum Slot { kIn = 0, kOut, kErr, kMasterSlot, kExit };

void CloseReplyFds(Command& command) {
  for (int& fd : command.reply_fds) CloseFd(fd);
}

[[noreturn]] void RunChild(const Request& request, const Container& container, const Warden& warden, int plan_fd,
                           int status_fd, const int* standard, const int* fds, std::size_t count) {
  Child child;
  child.die_with_warden = (warden.spawn_flags & kPidOne) == 0;
  child.status_fd = status_fd;
  child.fds = fds;
  child.fd_count = count;
  child.null_fd = warden.null_fd;
  child.tty = (request.flags & kTty) != 0;
  child.user_namespace_fd = warden.user_namespace_fd;
  child.id_base = warden.id_base;
  child.id_count = warden.id_count;
  child.columns = request.columns;
  child.rows = request.rows;
  for (int i = 0; i < 3; ++i) child.standard[i] = standard[i];
  ProcessPlan process;
  PlanReader own = MapPlan(child, container.plan_fd);
  CollectProcess(child, own, process);
  process.cgroups = 0;  // the container's descriptors were of another message
  process.cgroup_namespace = false;
  CollectProcess(child, MapPlan(child, plan_fd), process);
  child.step = StepKind::kCgroup;
  EnterCgroups(child, process);
  // Before the container's mounts are entered, whose masked /proc would keep a new one from being mounted.
  SetOomScore(child, process);
  SetAppArmor(child, process);
  if (::setns(container.pidfd, CLONE_NEWNS | CLONE_NEWCGROUP) != 0) Fail(child, errno, "enter the container");
  if (child.tty) {
    BecomeFileOwner(child, false);
    int root = ::open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
    OpenTerminal(child, root);
  }
  BecomeProgram(child, own, process);
}

/// The reply's descriptors and the child's ends.
int MakeStreams(const Request& request, Command& command, int* standard, int& exit_write) {
  const std::uint32_t wanted[3] = {kStdin, kStdout, kStderr};
  for (int i = 0; i < 3 && (request.flags & kTty) == 0; ++i) {
    if ((request.flags & wanted[i]) == 0) continue;
    int ends[2];
    if (::pipe2(ends, O_CLOEXEC) != 0) return -1;
    standard[i] = i == 0 ? ends[0] : ends[1];
    command.reply_fds[i] = i == 0 ? ends[1] : ends[0];
  }
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) return -1;
  command.reply_fds[kExit] = ends[0];
  exit_write = ends[1];
  return 0;
}

void Answer(Warden& warden, Command& command) {
  int fds[5];
  std::size_t count = 0;
  const std::uint32_t bits[5] = {kFdStdin, kFdStdout, kFdStderr, kFdMaster, kFdExit};
  if (command.reply.error == 0) {
    for (int i = 0; i < 5; ++i) {
      if (command.reply_fds[i] < 0) continue;
      command.reply.fd_mask |= bits[i];
      fds[count++] = command.reply_fds[i];
    }
    command.reply.fd_mask |= kFdPid;
    fds[count++] = command.pidfd;
  }
  int fds_with_pid[6];
  for (std::size_t i = 0; i < count; ++i) fds_with_pid[i] = fds[i];
  ReplyOn(warden, command.starter, command.sequence, command.reply, fds_with_pid, count);
  command.starter = -1;
  CloseReplyFds(command);
  CloseFd(command.pidfd);
}

void Finish(Command& command) {
  if (command.exit_fd >= 0) (void)!::write(command.exit_fd, &command.report, sizeof(command.report));
  CloseFd(command.exit_fd);
}

}  // namespace

void StartCommand(Warden& warden, const Request& request, FdList& fds, Connection& connection) {
  Reply reply;
  auto refuse = [&](int error, const char* text) {
    reply.error = error;
    CopyText(reply.text, text);
    ReplyOn(warden, connection.fd, request.header.sequence, reply);
  };
  Container* container = FindContainer(warden, request.id);
  if (container == nullptr || container->record.phase != Phase::kRunning || container->pidfd < 0)
    return refuse(ENOENT, "container not running");
  if (fds.size() < 1) return refuse(EINVAL, "no plan");
  auto* command = static_cast<Command*>(calloc(1, sizeof(Command)));
  if (command == nullptr) return refuse(ENOMEM, "exec");
  *command = Command();
  command->sequence = request.header.sequence;
  command->starter = connection.fd;
  int standard[3] = {-1, -1, -1};
  int pair[2] = {-1, -1};
  bool made = MakeStreams(request, *command, standard, command->exit_fd) == 0 &&
              ::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) == 0;
  // The next child is born into the container's pid namespace; our own children again after it.
  bool own = (container->flags & (kOwnPidNamespace | kJoinPidNamespace)) != 0;
  if (made && own && ::setns(container->pidfd, CLONE_NEWPID) != 0) made = false;
  if (made) {
    command->pid = sandbox::CloneFork(0, &command->pidfd);
    if (command->pid == 0)
      RunChild(request, *container, warden, fds.Get(0), pair[1], standard, fds.data() + 1, fds.size() - 1);
    made = command->pid > 0;
  }
  int error = errno;
  if (own && ::setns(warden.self_pidns_fd, CLONE_NEWPID) != 0) _exit(1);
  for (int& end : standard) CloseFd(end);
  CloseFd(pair[1]);
  command->status_fd = pair[0];
  if (!made) {
    CloseFd(command->status_fd);
    CloseFd(command->exit_fd);
    CloseReplyFds(*command);
    free(command);
    return refuse(error == ESRCH ? ENOENT : error, "exec");
  }
  command->next = warden.commands;
  warden.commands = command;
}

void CommandStatus(Warden& warden, Command& command) {
  for (;;) {
    StatusReport report;
    FdList fds;
    ssize_t got = ReceiveBytes(command.status_fd, &report, sizeof(report), fds, MSG_DONTWAIT);
    if (got < 0 && (errno == EAGAIN || errno == EINTR)) return;
    if (got == static_cast<ssize_t>(sizeof(report))) {
      if (report.kind == StatusReport::kMaster && command.reply_fds[kMasterSlot] < 0) {
        command.reply_fds[kMasterSlot] = fds.Take(0);
      } else if (report.kind == StatusReport::kExecuting) {
        command.executing = true;
      } else if (report.kind == StatusReport::kFailed) {
        command.reply.error = report.error;
        command.reply.step = report.step;
        report.text[kTextSize - 1] = 0;
        CopyText(command.reply.text, report.text);
      }
      continue;
    }
    CloseFd(command.status_fd);
    if (!command.executing && command.reply.error == 0) {
      command.reply.error = EIO;
      CopyText(command.reply.text, "the command's process died while it was set up");
    }
    if (command.reply.error != 0 && !command.ended) {
      // It is on its way out; nobody hears of the failure before it is gone.
      ::waitpid(command.pid, nullptr, 0);
      command.pid = 0;
      command.ended = true;
      CloseFd(command.exit_fd);
    }
    return Answer(warden, command);
  }
}

void CommandEnded(Warden& warden, Command& command, int wait_status) {
  command.pid = 0;
  command.report = ToExitReport(wait_status);
  command.ended = true;
  if (command.status_fd >= 0) CommandStatus(warden, command);
  Finish(command);
}

void SweepCommands(Warden& warden) {
  for (Command** at = &warden.commands; *at != nullptr;) {
    Command* command = *at;
    if (!command->ended || command->status_fd >= 0) {
      at = &command->next;
      continue;
    }
    *at = command->next;
    CloseReplyFds(*command);
    CloseFd(command->pidfd);
    free(command);
  }
}

}  // namespace burstlet::warden
