// Containers from start to forgotten.
#include <fcntl.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <cstdio>
#include <cstdlib>

#include "sandbox/os/syscalls.h"
#include "sandbox/warden/child.h"
#include "sandbox/warden/warden.h"

namespace burstlet::warden {
namespace {

/// The child's ends of what is made for a start.
struct ChildEnds {
  int standard[3] = {-1, -1, -1};
  int status = -1;
};

void CloseAll(Container& container) {
  CloseFd(container.pidfd);
  CloseFd(container.plan_fd);
  CloseFd(container.log.fd);
  CloseFd(container.stdin_fd);
  if (container.output.fd == container.master_fd) container.output.fd = -1;
  CloseFd(container.master_fd);
  CloseFd(container.status_fd);
  CloseFd(container.output.fd);
  CloseFd(container.error_output.fd);
}

void Forget(Warden& warden, Container* gone) {
  for (Container** at = &warden.containers; *at != nullptr; at = &(*at)->next) {
    if (*at != gone) continue;
    *at = gone->next;
    break;
  }
  while (gone->attachments != nullptr) {
    Attachment* reader = gone->attachments;
    gone->attachments = reader->next;
    DetachReader(*reader);
    free(reader);
  }
  CloseAll(*gone);
  free(gone->output.pending);
  free(gone->error_output.pending);
  free(gone);
}

int MakeStreams(Container& container, ChildEnds& ends) {
  int pair[2];
  if (::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) != 0) return -1;
  container.status_fd = pair[0];
  ends.status = pair[1];
  if ((container.flags & kTty) != 0) return 0;
  if ((container.flags & kStdin) != 0 && MakePipe(container.stdin_fd, ends.standard[0], true) != 0) return -1;
  if (MakePipe(container.output.fd, ends.standard[1], false) != 0) return -1;
  return MakePipe(container.error_output.fd, ends.standard[2], false);
}

[[noreturn]] void RunChild(const Warden& warden, const Container& container, const ChildEnds& ends, const int* fds,
                           std::size_t count) {
  Child child;
  child.die_with_warden = (warden.spawn_flags & kPidOne) == 0;
  child.status_fd = ends.status;
  child.fds = fds;
  child.fd_count = count;
  child.tty = (container.flags & kTty) != 0;
  child.user_namespace_fd = warden.user_namespace_fd;
  child.id_base = warden.id_base;
  child.id_count = warden.id_count;
  child.own_mounts = true;
  for (int i = 0; i < 3; ++i) child.standard[i] = ends.standard[i];
  // Opened anew: a mount can be cloned only by way of the mount namespace it is seen in.
  child.null_fd = ::open("/null", O_RDWR | O_CLOEXEC);
  if (child.null_fd < 0) Fail(child, errno, "open /null");
  PlanReader plan = MapPlan(child, container.plan_fd);
  ProcessPlan process;
  CollectProcess(child, plan, process);
  child.step = StepKind::kCgroup;
  EnterCgroups(child, process);
  BecomeFileOwner(child, false);
  BuildRootfs(child, plan);
  SetOomScore(child, process);
  SetAppArmor(child, process);
  BecomeProgram(child, plan, process);
}

void FailStart(Warden& warden, Container* container, int error, const char* text, Connection& connection,
               std::uint32_t sequence) {
  Reply reply;
  reply.error = error != 0 ? error : EIO;
  std::snprintf(reply.text, sizeof(reply.text), "%s: %s", text, strerror(reply.error));
  if (container != nullptr) Forget(warden, container);
  ReplyOn(warden, connection.fd, sequence, reply);
}

/// The program runs, or could not: the one who asked is told.
void StartDecided(Warden& warden, Container& container) {
  Reply reply;
  int starter = container.starter;
  container.starter = -1;
  if (container.failure.error == 0) {
    container.record.phase = Phase::kRunning;
    container.record.started_at = NowNanos();
    reply.record = container.record;
    reply.fd_mask = kFdPid;
    ReplyOn(warden, starter, container.sequence, reply, &container.pidfd, 1);
    return;
  }
  reply = container.failure;
  // The child has ended or is about to; its remains are collected before anybody hears of the failure.
  ::waitpid(container.pid, nullptr, 0);
  std::uint32_t sequence = container.sequence;
  Forget(warden, &container);
  ReplyOn(warden, starter, sequence, reply);
}

}  // namespace

int MakePipe(int& parent_end, int& child_end, bool child_reads) {
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) return -1;
  parent_end = child_reads ? ends[1] : ends[0];
  child_end = child_reads ? ends[0] : ends[1];
  if (!child_reads) ::fcntl(parent_end, F_SETFL, O_NONBLOCK);
  return 0;
}

Container* FindContainer(Warden& warden, const char* id) {
  for (Container* container = warden.containers; container != nullptr; container = container->next) {
    if (std::strcmp(container->record.id, id) == 0) return container;
  }
  return nullptr;
}

void StartContainer(Warden& warden, const Request& request, FdList& fds, Connection& connection) {
  std::uint32_t sequence = request.header.sequence;
  if (!warden.ready || request.id[0] == 0) return FailStart(warden, nullptr, EINVAL, "start", connection, sequence);
  if (FindContainer(warden, request.id) != nullptr)
    return FailStart(warden, nullptr, EEXIST, "container", connection, sequence);
  auto* container = static_cast<Container*>(calloc(1, sizeof(Container)));
  if (container == nullptr) return FailStart(warden, nullptr, ENOMEM, "start", connection, sequence);
  *container = Container();
  container->next = warden.containers;
  warden.containers = container;
  CopyText(container->record.id, request.id);
  CopyText(container->record.name, request.name);
  container->record.attempt = request.attempt;
  container->flags = request.flags;
  container->sequence = sequence;
  container->starter = connection.fd;
  container->log.lost_bytes = &container->record.lost_log_bytes;
  container->error_output.name = "stderr";
  container->plan_fd = fds.Take(0);
  bool has_log = (request.flags & kHasLog) != 0;
  if (has_log) container->log.fd = fds.Take(1);
  std::size_t skip = has_log ? 2 : 1;
  ChildEnds ends;
  int made = container->plan_fd < 0 ? -1 : MakeStreams(*container, ends);
  int error = errno;
  if (made == 0) {
    std::uint64_t flags = CLONE_NEWNS;
    if ((request.flags & kOwnPidNamespace) != 0) flags |= CLONE_NEWPID;
    // The child is born into the target's pid namespace; our own children again after it.
    bool join = (request.flags & kJoinPidNamespace) != 0;
    if (join && (fds.size() <= skip || ::setns(fds.Get(fds.size() - 1), CLONE_NEWPID) != 0)) made = -1;
    if (made == 0) {
      container->pid = sandbox::CloneFork(flags, &container->pidfd);
      if (container->pid == 0)
        RunChild(warden, *container, ends, fds.data() + skip, fds.size() > skip ? fds.size() - skip : 0);
      made = container->pid < 0 ? -1 : 0;
    }
    error = errno;
    if (join && ::setns(warden.self_pidns_fd, CLONE_NEWPID) != 0) _exit(1);
  }
  for (int& end : ends.standard) CloseFd(end);
  CloseFd(ends.status);
  if (made != 0) FailStart(warden, container, error, "start", connection, sequence);
}

void ContainerStatus(Warden& warden, Container& container) {
  for (;;) {
    StatusReport report;
    FdList fds;
    ssize_t got = ReceiveBytes(container.status_fd, &report, sizeof(report), fds, MSG_DONTWAIT);
    if (got < 0 && (errno == EAGAIN || errno == EINTR)) return;
    if (got == static_cast<ssize_t>(sizeof(report))) {
      if (report.kind == StatusReport::kMaster && container.master_fd < 0) {
        container.master_fd = fds.Take(0);
        ::fcntl(container.master_fd, F_SETFL, O_NONBLOCK);
        container.output.fd = container.master_fd;
      } else if (report.kind == StatusReport::kExecuting) {
        container.executing = true;
      } else if (report.kind == StatusReport::kFailed) {
        container.failure.error = report.error;
        container.failure.step = report.step;
        report.text[kTextSize - 1] = 0;
        CopyText(container.failure.text, report.text);
      }
      continue;
    }
    CloseFd(container.status_fd);
    if (!container.executing && container.failure.error == 0) {
      container.failure.error = EIO;
      CopyText(container.failure.text, "the container's process died while it was set up (out of memory?)");
    }
    return StartDecided(warden, container);
  }
}

void ContainerEnded(Warden& warden, Container& container, int wait_status) {
  (void)warden;
  ExitReport report = ToExitReport(wait_status);
  container.record.phase = Phase::kExited;
  container.record.finished_at = NowNanos();
  container.record.exit_code = report.exit_code;
  container.record.signal = report.signal;
  container.pid = 0;
  container.dirty = true;
  CloseFd(container.pidfd);
  CloseFd(container.stdin_fd);
  for (Attachment* reader = container.attachments; reader != nullptr; reader = reader->next) {
    if (reader->exit_fd >= 0) (void)!::write(reader->exit_fd, &report, sizeof(report));
    CloseFd(reader->exit_fd);
    EndCopy(reader->output);
    EndCopy(reader->error_output);
  }
}

void RemoveContainer(Warden& warden, const Request& request, Reply& reply) {
  Container* container = FindContainer(warden, request.id);
  if (container == nullptr) {
    reply.error = ENOENT;
  } else if (container->record.phase != Phase::kExited) {
    reply.error = EBUSY;
  } else {
    Forget(warden, container);
  }
}

}  // namespace burstlet::warden
