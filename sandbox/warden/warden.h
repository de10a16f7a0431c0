// The warden's own state: one pod's containers, commands and connections, driven by a single poll loop.
//
// One thread, no locks, no C++ runtime. Tables are linked lists of what exists, allocated when it comes to exist: an
// idle pod costs a few hundred bytes here. Failure: a request is answered with an errno and a text; the warden itself
// goes on. It ends when it was never set up and its agent is gone.
#pragma once

#include <poll.h>
#include <sys/types.h>

#include <cstdint>

#include "sandbox/warden/log_writer.h"
#include "sandbox/warden/protocol.h"
#include "sandbox/warden/wire.h"

namespace burstlet::warden {

/// One stream's copies for one reader: the pipe, and what it had no room for (bytes `at` to `size` of `held`).
struct Copy {
  int fd = -1;
  char* held = nullptr;
  std::size_t size = 0;
  std::size_t at = 0;
  bool ending = false;  // nothing comes any more: closed once the rest is given
};

/// A reader of copies of a container's output (Attach), and the one who hears of its end.
struct Attachment {
  Attachment* next = nullptr;
  Copy output;
  Copy error_output;
  int exit_fd = -1;
};

struct Container {
  Container* next = nullptr;
  Record record;
  std::uint32_t flags = 0;  // RequestFlags
  pid_t pid = 0;
  int pidfd = -1;
  int plan_fd = -1;
  LogTarget log;
  int stdin_fd = -1;       // write end kept for the container's life (stdin_open)
  int master_fd = -1;      // tty
  int status_fd = -1;      // while starting
  bool executing = false;  // the child said that only exec is left
  bool dirty = true;       // the events connection has not had this state yet
  Reply failure;           // what the child reported
  std::uint32_t sequence = 0;
  int starter = -1;  // connection that waits for the answer
  OutputStream output;
  OutputStream error_output;
  Attachment* attachments = nullptr;
};

/// A command run inside a container.
struct Command {
  Command* next = nullptr;
  pid_t pid = 0;
  int pidfd = -1;
  int status_fd = -1;
  int exit_fd = -1;
  bool executing = false;
  bool ended = false;
  ExitReport report;
  Reply reply;
  int reply_fds[6] = {-1, -1, -1, -1, -1, -1};
  std::uint32_t sequence = 0;
  int starter = -1;
};

struct Connection {
  Connection* next = nullptr;
  int fd = -1;
  bool greeted = false;
};

struct Warden {
  bool ready = false;  // kSetup was done
  unsigned spawn_flags = 0;
  int listen_fd = -1;
  int events_fd = -1;
  int signal_fd = -1;
  int null_fd = -1;  // its own /dev/null
  int self_pidns_fd = -1;
  int user_namespace_fd = -1;  // the pod's own; -1 = the host's
  std::uint32_t id_base = 0;   // the host's ids behind 0..id_count-1 of the pod
  std::uint32_t id_count = 0;
  unsigned volumes = 0;
  char boot_id[kBootIdSize] = {};
  Container* containers = nullptr;
  Command* commands = nullptr;
  Connection* connections = nullptr;
};

/// What a child sends over its status socket: one of these, and end-of-file once its program runs.
struct StatusReport {
  enum Kind : std::uint32_t { kMaster = 1, kExecuting = 2, kFailed = 3 };
  Kind kind = kFailed;
  std::int32_t error = 0;
  std::uint32_t step = 0;
  char text[kTextSize] = {};
};

// namespaces.cpp
/// Unshares, makes the private root and pivots into it. A text tells what failed, null means done.
const char* EnterNamespaces(Warden& warden);
/// Carries out a sandbox plan (kSetup).
void SetUpSandbox(Warden& warden, FdList& fds, Reply& reply);

// control.cpp
void AcceptConnection(Warden& warden);
/// False when the connection is over.
bool ServeConnection(Warden& warden, Connection& connection);
void SendEvents(Warden& warden);
void ReplyOn(Warden& warden, int fd, std::uint32_t sequence, Reply& reply, const int* fds = nullptr,
             std::size_t count = 0);

// container.cpp
Container* FindContainer(Warden& warden, const char* id);
void StartContainer(Warden& warden, const Request& request, FdList& fds, Connection& connection);
void ContainerStatus(Warden& warden, Container& container);
void ContainerEnded(Warden& warden, Container& container, int wait_status);
void RemoveContainer(Warden& warden, const Request& request, Reply& reply);
/// A pipe for a child; the parent's end does not block when it is the reading one. 0, or -1 with errno.
int MakePipe(int& parent_end, int& child_end, bool child_reads);

// attachment.cpp
void AttachContainer(Warden& warden, const Request& request, Connection& connection);
/// The next bytes for a reader; what his pipe has no room for is held.
void GiveCopy(Copy& copy, const char* data, std::size_t size);
/// His pipe has room again.
void GiveHeld(Copy& copy);
/// Nothing more comes: what is held still goes out, then the pipe closes.
void EndCopy(Copy& copy);
void CloseCopy(Copy& copy);
/// Whether some reader has not taken what the stream said before.
bool ReadersBehind(const Container& container, bool error_output);
/// Lets a reader go; its place is freed by the next SweepAttachments.
void DetachReader(Attachment& reader);
void SweepAttachments(Warden& warden);

// command.cpp
void StartCommand(Warden& warden, const Request& request, FdList& fds, Connection& connection);
void CommandStatus(Warden& warden, Command& command);
void CommandEnded(Warden& warden, Command& command, int wait_status);
/// Frees commands whose end has been reported.
void SweepCommands(Warden& warden);

/// Exit code and signal of a wait status, as the kubelet counts them (128 + signal).
ExitReport ToExitReport(int wait_status);
std::int64_t NowNanos();
void CloseFd(int& fd);

}  // namespace burstlet::warden
