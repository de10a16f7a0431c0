// burstlet-warden: owns one pod's namespaces and processes, so that they outlive the agent.
//
// Usage: burstlet-warden FLAGS (protocol.h, SpawnFlags), with the agent's connection at descriptor 3. It is the init
// of the pod's pid namespace, so its end is the pod's end. See README.md in this folder.
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <csignal>
#include <cstdio>
#include <cstdlib>

#include "sandbox/warden/warden.h"

namespace burstlet::warden {
namespace {

char read_buffer[16384];  // touched only once a container writes

/// What a poll slot stands for.
struct Slot {
  enum Kind {
    kSignals,
    kListen,
    kEvents,
    kConnection,
    kStatus,
    kOutput,
    kErrorOutput,
    kAttachment,
    kCopy,
    kCommandStatus
  } kind;
  void* what;
};

struct PollSet {
  pollfd* fds = nullptr;
  Slot* slots = nullptr;
  std::size_t size = 0;
  std::size_t capacity = 0;

  void Add(int fd, short events, Slot::Kind kind, void* what) {
    if (fd < 0) return;
    if (size == capacity) {
      capacity = capacity == 0 ? 16 : capacity * 2;
      fds = static_cast<pollfd*>(realloc(fds, capacity * sizeof(pollfd)));
      slots = static_cast<Slot*>(realloc(slots, capacity * sizeof(Slot)));
      if (fds == nullptr || slots == nullptr) _exit(12);
    }
    fds[size] = pollfd{fd, events, 0};
    slots[size] = Slot{kind, what};
    ++size;
  }
};

/// Reads what a stream has, at most `rounds` buffers, so that one chatty container does not starve the others. Unless
/// `at_end` it stops when a reader of copies is behind.
void Pump(Container& container, OutputStream& stream, bool error_output, int rounds, bool at_end = false) {
  for (; rounds > 0 && stream.fd >= 0; --rounds) {
    if (!at_end && ReadersBehind(container, error_output)) return;
    ssize_t got = ::read(stream.fd, read_buffer, sizeof(read_buffer));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0 && errno == EAGAIN) return;
    if (got <= 0) {
      FlushLog(stream, container.log);
      for (Attachment* reader = container.attachments; reader != nullptr; reader = reader->next)
        EndCopy(error_output ? reader->error_output : reader->output);
      // The master stays open for input and window sizes as long as the container is there.
      if (stream.fd == container.master_fd) {
        stream.fd = -1;
      } else {
        CloseFd(stream.fd);
      }
      return;
    }
    WriteLog(stream, container.log, read_buffer, static_cast<std::size_t>(got));
    for (Attachment* reader = container.attachments; reader != nullptr; reader = reader->next)
      GiveCopy(error_output ? reader->error_output : reader->output, read_buffer, static_cast<std::size_t>(got));
  }
}

void Reap(Warden& warden) {
  for (;;) {
    int status = 0;
    pid_t pid = ::waitpid(-1, &status, WNOHANG);
    if (pid <= 0) return;
    for (Container* container = warden.containers; container != nullptr; container = container->next) {
      if (container->pid != pid) continue;
      if (container->status_fd >= 0) ContainerStatus(warden, *container);
      // Its pid namespace is empty now, so the pipes hold all it ever wrote.
      // Bounded: with a shared pid namespace others may still write; a pipe holds 1 MiB at most.
      Pump(*container, container->output, false, 72, true);
      Pump(*container, container->error_output, true, 72, true);
      ContainerEnded(warden, *container, status);
      break;
    }
    for (Command* command = warden.commands; command != nullptr; command = command->next) {
      if (command->pid == pid) CommandEnded(warden, *command, status);
    }
  }
}

void DrainSignals(Warden& warden) {
  signalfd_siginfo info;
  while (::read(warden.signal_fd, &info, sizeof(info)) == sizeof(info)) {
  }
  Reap(warden);
}

void DropConnection(Warden& warden, Connection* gone) {
  for (Connection** at = &warden.connections; *at != nullptr; at = &(*at)->next) {
    if (*at != gone) continue;
    *at = gone->next;
    break;
  }
  for (Container* container = warden.containers; container != nullptr; container = container->next) {
    if (container->starter == gone->fd) container->starter = -1;
  }
  for (Command* command = warden.commands; command != nullptr; command = command->next) {
    if (command->starter == gone->fd) command->starter = -1;
  }
  CloseFd(gone->fd);
  free(gone);
  // A pooled warden whose agent is gone has no pod and no reason to live.
  if (!warden.ready && warden.connections == nullptr) _exit(0);
}

void Fill(Warden& warden, PollSet& set) {
  set.size = 0;
  set.Add(warden.signal_fd, POLLIN, Slot::kSignals, nullptr);
  set.Add(warden.listen_fd, POLLIN, Slot::kListen, nullptr);
  bool owed = false;
  for (Container* container = warden.containers; container != nullptr; container = container->next) {
    owed = owed || (container->dirty && container->record.phase != Phase::kStarting);
    set.Add(container->status_fd, POLLIN, Slot::kStatus, container);
    if (!ReadersBehind(*container, false)) set.Add(container->output.fd, POLLIN, Slot::kOutput, container);
    if (!ReadersBehind(*container, true)) set.Add(container->error_output.fd, POLLIN, Slot::kErrorOutput, container);
    for (Attachment* reader = container->attachments; reader != nullptr; reader = reader->next) {
      // No events asked for: an error is what tells that the reader has gone.
      set.Add(reader->exit_fd, 0, Slot::kAttachment, reader);
      if (reader->output.size > 0) set.Add(reader->output.fd, POLLOUT, Slot::kCopy, &reader->output);
      if (reader->error_output.size > 0) set.Add(reader->error_output.fd, POLLOUT, Slot::kCopy, &reader->error_output);
    }
  }
  set.Add(warden.events_fd, owed ? POLLOUT : 0, Slot::kEvents, nullptr);
  for (Connection* connection = warden.connections; connection != nullptr; connection = connection->next)
    set.Add(connection->fd, POLLIN, Slot::kConnection, connection);
  for (Command* command = warden.commands; command != nullptr; command = command->next)
    set.Add(command->status_fd, POLLIN, Slot::kCommandStatus, command);
}

/// True when tables may have changed, so that the remaining slots can't be trusted.
bool Handle(Warden& warden, const Slot& slot, short revents) {
  switch (slot.kind) {
    case Slot::kSignals:
      DrainSignals(warden);
      return true;
    case Slot::kListen:
      AcceptConnection(warden);
      return true;
    case Slot::kEvents:
      if ((revents & (POLLERR | POLLHUP | POLLNVAL)) != 0) CloseFd(warden.events_fd);
      return false;
    case Slot::kConnection: {
      auto* connection = static_cast<Connection*>(slot.what);
      if (!ServeConnection(warden, *connection)) DropConnection(warden, connection);
      return true;
    }
    case Slot::kStatus:
      ContainerStatus(warden, *static_cast<Container*>(slot.what));
      return true;
    case Slot::kOutput: {
      auto* container = static_cast<Container*>(slot.what);
      Pump(*container, container->output, false, 4);
      return false;
    }
    case Slot::kErrorOutput: {
      auto* container = static_cast<Container*>(slot.what);
      Pump(*container, container->error_output, true, 4);
      return false;
    }
    case Slot::kAttachment:
      DetachReader(*static_cast<Attachment*>(slot.what));
      return true;
    case Slot::kCopy:
      GiveHeld(*static_cast<Copy*>(slot.what));
      return false;
    case Slot::kCommandStatus:
      CommandStatus(warden, *static_cast<Command*>(slot.what));
      return true;
  }
  return true;
}

[[noreturn]] void Loop(Warden& warden) {
  PollSet set;
  for (;;) {
    SendEvents(warden);
    SweepCommands(warden);
    SweepAttachments(warden);
    Fill(warden, set);
    int ready = ::poll(set.fds, set.size, -1);
    if (ready < 0 && errno != EINTR) _exit(1);
    for (std::size_t i = 0; i < set.size && ready > 0; ++i) {
      if (set.fds[i].revents != 0 && Handle(warden, set.slots[i], set.fds[i].revents)) break;
    }
  }
}

}  // namespace

int Main(int argc, char** argv) {
  Warden warden;
  warden.spawn_flags = argc > 1 ? static_cast<unsigned>(std::strtoul(argv[1], nullptr, 10)) : 0;
  if ((warden.spawn_flags & kNewUser) != 0) {
    warden.id_base = argc > 2 ? static_cast<std::uint32_t>(std::strtoul(argv[2], nullptr, 10)) : 0;
    warden.id_count = argc > 3 ? static_cast<std::uint32_t>(std::strtoul(argv[3], nullptr, 10)) : 0;
  }
  // Nothing in the pod may look into this process or reach its program file (CVE-2019-5736).
  ::prctl(PR_SET_DUMPABLE, 0);
  ::prctl(PR_SET_NAME, "burstlet-warden");      // older kernels name it after the descriptor it was executed from
  ::prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);  // orphans come here in every kind of pod
  ::setpriority(PRIO_PROCESS, 0, 0);            // the agent's pool thread is a nice one; containers are not
  ::signal(SIGPIPE, SIG_IGN);
  ::umask(0);
  sigset_t child;
  sigemptyset(&child);
  sigaddset(&child, SIGCHLD);
  sigprocmask(SIG_SETMASK, &child, nullptr);
  warden.signal_fd = ::signalfd(-1, &child, SFD_CLOEXEC | SFD_NONBLOCK);
  auto* first = static_cast<Connection*>(calloc(1, sizeof(Connection)));
  if (first == nullptr || warden.signal_fd < 0) return 1;
  first->fd = kControlFd;
  first->greeted = true;
  warden.connections = first;

  Reply ready;
  ready.header.type = MessageType::kReady;
  const char* failed = EnterNamespaces(warden);
  if (failed != nullptr) {
    ready.error = errno;
    std::snprintf(ready.text, sizeof(ready.text), "%s: %s", failed, strerror(errno));
  }
  if (warden.user_namespace_fd >= 0) ready.fd_mask = kFdUserNamespace;
  SendRecord(kControlFd, ready, &warden.user_namespace_fd, warden.user_namespace_fd >= 0 ? 1 : 0);
  if (failed != nullptr) return 1;
  Loop(warden);
}

}  // namespace burstlet::warden

int main(int argc, char** argv) { return burstlet::warden::Main(argc, argv); }
