// Connections of agents: who may speak, what they ask, and what is told unasked (events).
#include <fcntl.h>
#include <sys/wait.h>
#include <cstdio>
#include <cstdlib>
#include <ctime>

#include "sandbox/warden/warden.h"

namespace burstlet::warden {
namespace {

void ReopenLog(Warden& warden, const Request& request, FdList& fds, Reply& reply) {
  Container* container = FindContainer(warden, request.id);
  if (container == nullptr || fds.size() < 1) {
    reply.error = container == nullptr ? ENOENT : EINVAL;
    return;
  }
  CloseFd(container->log.fd);
  container->log.fd = fds.Take(0);
  container->log.torn = false;
}

void Describe(Warden& warden, const Request& request, Connection& connection, Reply& reply) {
  if (request.id[0] == 0 && warden.user_namespace_fd >= 0) {
    reply.fd_mask = kFdUserNamespace;
    return ReplyOn(warden, connection.fd, request.header.sequence, reply, &warden.user_namespace_fd, 1);
  }
  Container* container = FindContainer(warden, request.id);
  if (container == nullptr) {
    reply.error = ENOENT;
    return ReplyOn(warden, connection.fd, request.header.sequence, reply);
  }
  int fds[2];
  std::size_t count = 0;
  reply.record = container->record;
  reply.fd_mask = kFdPlan;
  if (container->pidfd >= 0) {
    reply.fd_mask |= kFdPid;
    fds[count++] = container->pidfd;
  }
  fds[count++] = container->plan_fd;
  ReplyOn(warden, connection.fd, request.header.sequence, reply, fds, count);
}

/// A connection over the path must come from root of the same boot and protocol; the path itself is 0700.
bool Greet(Warden& warden, Connection& connection, const Request& request, Reply& reply) {
  ucred peer{};
  socklen_t size = sizeof(peer);
  if (::getsockopt(connection.fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) != 0 || peer.uid != 0) return false;
  if (!Terminated(request.boot_id) || std::strcmp(request.boot_id, warden.boot_id) != 0) return false;
  connection.greeted = true;
  CopyText(reply.boot_id, warden.boot_id);
  return true;
}

/// True when the request's answer comes later (or was sent by its handler).
bool Serve(Warden& warden, Connection& connection, const Request& request, FdList& fds, Reply& reply) {
  switch (request.header.type) {
    case MessageType::kSetup:
      if (Terminated(request.boot_id)) CopyText(warden.boot_id, request.boot_id);
      SetUpSandbox(warden, fds, reply);
      return false;
    case MessageType::kStart:
      StartContainer(warden, request, fds, connection);
      return true;
    case MessageType::kExec:
      StartCommand(warden, request, fds, connection);
      return true;
    case MessageType::kAttach:
      AttachContainer(warden, request, connection);
      return true;
    case MessageType::kReopenLog:
      ReopenLog(warden, request, fds, reply);
      return false;
    case MessageType::kRemove:
      RemoveContainer(warden, request, reply);
      return false;
    case MessageType::kDescribe:
      Describe(warden, request, connection, reply);
      return true;
    default:
      reply.error = ENOSYS;
      return false;
  }
}

}  // namespace

void AcceptConnection(Warden& warden) {
  int fd = ::accept4(warden.listen_fd, nullptr, nullptr, SOCK_CLOEXEC);
  if (fd < 0) return;
  auto* connection = static_cast<Connection*>(calloc(1, sizeof(Connection)));
  if (connection == nullptr) {
    ::close(fd);
    return;
  }
  connection->fd = fd;
  connection->next = warden.connections;
  warden.connections = connection;
}

bool ServeConnection(Warden& warden, Connection& connection) {
  Request request;
  FdList fds;
  int got = ReceiveRecord(connection.fd, request, fds, MSG_DONTWAIT);
  if (got < 0 && (errno == EAGAIN || errno == EINTR)) return true;
  if (got <= 0) return false;
  if (!Terminated(request.id) || !Terminated(request.name)) return false;
  Reply reply;
  if (request.header.type == MessageType::kHello) {
    if (!Greet(warden, connection, request, reply)) return false;
    ReplyOn(warden, connection.fd, request.header.sequence, reply);
    if ((request.flags & kEventsConnection) == 0) return true;
    CloseFd(warden.events_fd);
    warden.events_fd = ::fcntl(connection.fd, F_DUPFD_CLOEXEC, 3);
    for (Container* container = warden.containers; container != nullptr; container = container->next)
      container->dirty = true;
    return false;  // from now on it only carries events
  }
  if (!connection.greeted) return false;
  if (!Serve(warden, connection, request, fds, reply)) ReplyOn(warden, connection.fd, request.header.sequence, reply);
  return true;
}

void ReplyOn(Warden& warden, int fd, std::uint32_t sequence, Reply& reply, const int* fds, std::size_t count) {
  (void)warden;
  if (fd < 0) return;
  reply.header.type = MessageType::kReply;
  reply.header.sequence = sequence;
  SendRecord(fd, reply, fds, count, MSG_DONTWAIT);
}

void SendEvents(Warden& warden) {
  if (warden.events_fd < 0) return;
  for (Container* container = warden.containers; container != nullptr; container = container->next) {
    if (!container->dirty || container->record.phase == Phase::kStarting) continue;
    Event event;
    event.header.type = MessageType::kEvent;
    event.record = container->record;
    if (SendRecord(warden.events_fd, event, nullptr, 0, MSG_DONTWAIT) < 0) {
      if (errno != EAGAIN) CloseFd(warden.events_fd);
      return;  // owed still: the loop waits until there is room, or a new agent connects
    }
    container->dirty = false;
  }
}

ExitReport ToExitReport(int wait_status) {
  ExitReport report;
  if (WIFSIGNALED(wait_status)) {
    report.signal = WTERMSIG(wait_status);
    report.exit_code = 128 + report.signal;
  } else {
    report.exit_code = WEXITSTATUS(wait_status);
  }
  return report;
}

std::int64_t NowNanos() {
  timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  return static_cast<std::int64_t>(now.tv_sec) * 1000000000 + now.tv_nsec;
}

void CloseFd(int& fd) {
  if (fd >= 0) ::close(fd);
  fd = -1;
}

}  // namespace burstlet::warden
