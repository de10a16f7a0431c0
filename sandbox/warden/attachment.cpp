// Readers of copies of a container's output (Attach).
//
// Nothing of the output is lost to a reader who stays: while one has not taken what there was, the container's stream
// is not read, so that in the end the container waits in its write, as under containerd (internal/cri/io). What is
// held for a reader is bounded: one buffer while the container runs, and at its end what its pipe had.
#include <fcntl.h>
#include <cstdlib>

#include "sandbox/warden/warden.h"

namespace burstlet::warden {
namespace {

constexpr int kLastPipeSize = 1 << 20;  // what the kernel gives to anybody (fs.pipe-max-size)

void Hold(Copy& copy, const char* data, std::size_t size) {
  auto* grown = static_cast<char*>(realloc(copy.held, copy.size + size));
  if (grown == nullptr) return CloseCopy(copy);
  std::memcpy(grown + copy.size, data, size);
  copy.held = grown;
  copy.size += size;
}

/// How much the reader's pipe took; below zero when it is broken.
ssize_t Offer(Copy& copy, const char* data, std::size_t size) {
  std::size_t taken = 0;
  while (taken < size) {
    ssize_t written = ::write(copy.fd, data + taken, size - taken);
    if (written < 0 && errno == EINTR) continue;
    if (written < 0 && errno == EAGAIN) break;
    if (written <= 0) return -1;
    taken += static_cast<std::size_t>(written);
  }
  return static_cast<ssize_t>(taken);
}

}  // namespace

void CloseCopy(Copy& copy) {
  CloseFd(copy.fd);
  free(copy.held);
  copy.held = nullptr;
  copy.size = copy.at = 0;
}

void GiveCopy(Copy& copy, const char* data, std::size_t size) {
  if (copy.fd < 0 || copy.ending) return;
  ssize_t taken = copy.size > 0 ? 0 : Offer(copy, data, size);
  if (taken < 0) return CloseCopy(copy);
  if (static_cast<std::size_t>(taken) < size) Hold(copy, data + taken, size - static_cast<std::size_t>(taken));
}

void GiveHeld(Copy& copy) {
  if (copy.fd < 0 || copy.size == 0) return;
  ssize_t taken = Offer(copy, copy.held + copy.at, copy.size - copy.at);
  if (taken < 0) return CloseCopy(copy);
  copy.at += static_cast<std::size_t>(taken);
  if (copy.at < copy.size) return;
  free(copy.held);
  copy.held = nullptr;
  copy.size = copy.at = 0;
  if (copy.ending) CloseFd(copy.fd);
}

void EndCopy(Copy& copy) {
  copy.ending = true;
  // The kernel keeps the rest for the reader, whatever becomes of the pod and of this process.
  if (copy.size > 0) ::fcntl(copy.fd, F_SETPIPE_SZ, kLastPipeSize);
  GiveHeld(copy);
  if (copy.size == 0) CloseCopy(copy);
}

bool ReadersBehind(const Container& container, bool error_output) {
  for (const Attachment* reader = container.attachments; reader != nullptr; reader = reader->next) {
    if ((error_output ? reader->error_output : reader->output).size > 0) return true;
  }
  return false;
}

void DetachReader(Attachment& reader) {
  CloseCopy(reader.output);
  CloseCopy(reader.error_output);
  CloseFd(reader.exit_fd);
}

void SweepAttachments(Warden& warden) {
  for (Container* container = warden.containers; container != nullptr; container = container->next) {
    for (Attachment** at = &container->attachments; *at != nullptr;) {
      Attachment* reader = *at;
      if (reader->exit_fd >= 0 || reader->output.fd >= 0 || reader->error_output.fd >= 0) {
        at = &reader->next;
        continue;
      }
      *at = reader->next;
      free(reader);
    }
  }
}

void AttachContainer(Warden& warden, const Request& request, Connection& connection) {
  Reply reply;
  Container* container = FindContainer(warden, request.id);
  auto* reader = static_cast<Attachment*>(calloc(1, sizeof(Attachment)));
  int ends[4] = {-1, -1, -1, -1};
  std::size_t count = 0;
  auto refuse = [&](int error) {
    reply.error = error;
    ReplyOn(warden, connection.fd, request.header.sequence, reply);
    free(reader);
  };
  if (container == nullptr || container->record.phase != Phase::kRunning) return refuse(ENOENT);
  if (reader == nullptr) return refuse(ENOMEM);
  *reader = Attachment();
  bool tty = (container->flags & kTty) != 0;
  bool wants_stdin = (request.flags & kStdin) != 0 && container->stdin_fd >= 0;
  if (wants_stdin) {
    reply.fd_mask |= kFdStdin;
    ends[count++] = container->stdin_fd;
  }
  std::size_t owned = count;  // what follows is made here and closed after it was sent
  bool made = MakePipe(ends[count], reader->output.fd, false) == 0;
  count += made ? 1 : 0;
  reply.fd_mask |= kFdStdout;
  if (made && !tty) {
    made = MakePipe(ends[count], reader->error_output.fd, false) == 0;
    count += made ? 1 : 0;
    reply.fd_mask |= kFdStderr;
  }
  if (made && tty && container->master_fd >= 0) {
    ends[count++] = ::fcntl(container->master_fd, F_DUPFD_CLOEXEC, 3);
    reply.fd_mask |= kFdMaster;
  }
  made = made && MakePipe(ends[count], reader->exit_fd, false) == 0;
  if (!made) {
    int error = errno;
    for (std::size_t i = owned; i < count; ++i) CloseFd(ends[i]);
    CloseFd(reader->output.fd);
    CloseFd(reader->error_output.fd);
    return refuse(error);
  }
  reply.fd_mask |= kFdExit;
  int all[5];
  for (std::size_t i = 0; i < count; ++i) all[i] = ends[i];
  all[count] = ends[count];
  ::fcntl(reader->output.fd, F_SETFL, O_NONBLOCK);
  if (reader->error_output.fd >= 0) ::fcntl(reader->error_output.fd, F_SETFL, O_NONBLOCK);
  reader->next = container->attachments;
  container->attachments = reader;
  ReplyOn(warden, connection.fd, request.header.sequence, reply, all, count + 1);
  for (std::size_t i = owned; i <= count; ++i) CloseFd(all[i]);
  // The first stdin is the only one: with our copy closed its end is the container's end-of-file.
  if (wants_stdin && (container->flags & kStdinOnce) != 0) CloseFd(container->stdin_fd);
}

}  // namespace burstlet::warden
