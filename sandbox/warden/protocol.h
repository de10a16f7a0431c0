// What the agent and a warden say to each other: fixed-size records over SOCK_SEQPACKET, descriptors beside them.
//
// Two connections: control (one request, one reply, in order) and events (every container's record on connect, then
// each change; only the newest state of a container is ever owed). Anything of variable size travels as a plan
// (plan.h) in a memfd, so that neither side keeps buffers. A record of another size, magic or version ends the
// connection. libc only: the warden has no C++ runtime.
#pragma once

#include <cstddef>
#include <cstdint>

namespace burstlet::warden {

inline constexpr std::uint32_t kMagic = 0x54534c42;  // "BLST"
/// Raised with every change of the structures below; an agent adopts only wardens of its own version or older ones
/// it still knows.
inline constexpr std::uint16_t kProtocolVersion = 1;
/// The descriptor a new warden finds its first control connection at.
inline constexpr int kControlFd = 3;
inline constexpr std::size_t kMaxFds = 240;  // SCM_MAX_FD is 253
inline constexpr std::size_t kIdSize = 96;
inline constexpr std::size_t kNameSize = 72;
inline constexpr std::size_t kTextSize = 320;
inline constexpr std::size_t kBootIdSize = 40;
/// A plan larger than this is refused (ARG_MAX is 2 MiB, seccomp and paths are small beside it).
inline constexpr std::size_t kMaxPlanBytes = 8u << 20;

enum class MessageType : std::uint16_t {
  kReady = 1,      // warden -> agent, once its namespaces exist
  kHello = 2,      // first request of a connection made over the listening socket
  kSetup = 3,      // fds: plan, bound socket, events connection, volumes...
  kStart = 4,      // fds: plan, log (or none), further ones named by the plan
  kExec = 5,       // fds: plan, cgroup files named by the plan
  kAttach = 6,     // reply fds: see Reply::fd_mask
  kReopenLog = 7,  // fds: the new log
  kRemove = 8,     // forgets an exited container
  kDescribe = 9,   // reply fds: plan, pidfd while it runs
  kReply = 100,
  kEvent = 101,
};

enum class Phase : std::uint32_t { kStarting = 0, kRunning = 1, kExited = 2 };

struct Header {
  std::uint32_t magic = kMagic;
  std::uint16_t version = kProtocolVersion;
  MessageType type = MessageType::kReply;
  std::uint32_t sequence = 0;
  std::uint32_t size = 0;  // of the whole record
};

/// One container as the warden knows it. Exit records are kept until kRemove.
struct Record {
  char id[kIdSize] = {};
  char name[kNameSize] = {};
  std::uint32_t attempt = 0;
  Phase phase = Phase::kStarting;
  std::int64_t started_at = 0;
  std::int64_t finished_at = 0;
  std::int32_t exit_code = 0;
  std::int32_t signal = 0;
  std::uint64_t lost_log_bytes = 0;
};

enum RequestFlags : std::uint32_t {
  kTty = 1,
  kStdin = 2,      // start: keep a pipe; exec and attach: hand one out
  kStdinOnce = 4,  // the first attached stdin is the only one
  kStdout = 8,
  kStderr = 16,
  kOwnPidNamespace = 32,
  kEventsConnection = 64,   // kHello: this connection carries events
  kHasLog = 128,            // kStart: fds[1] is the log
  kJoinPidNamespace = 256,  // kStart: the last fd is a pidfd of the process whose pid namespace is joined
};

struct Request {
  Header header;
  char id[kIdSize] = {};
  char name[kNameSize] = {};
  char boot_id[kBootIdSize] = {};
  std::uint32_t attempt = 0;
  std::uint32_t flags = 0;
  std::uint16_t columns = 0;
  std::uint16_t rows = 0;
  std::uint32_t reserved = 0;
};

/// Which descriptors came with a reply, in this order.
enum FdMask : std::uint32_t {
  kFdStdin = 1,
  kFdStdout = 2,
  kFdStderr = 4,
  kFdMaster = 8,
  kFdExit = 16,
  kFdPid = 32,
  kFdPlan = 64,
  kFdUserNamespace = 128,  // kReady, and kDescribe without an id
};

struct Reply {
  Header header;
  std::int32_t error = 0;  // errno; 0 = done
  std::uint32_t step = 0;  // StepKind of the plan where it failed, 0 = none
  std::uint32_t fd_mask = 0;
  std::uint32_t reserved = 0;
  char text[kTextSize] = {};  // what failed, for a user's eyes
  char boot_id[kBootIdSize] = {};
  Record record;
};

struct Event {
  Header header;
  Record record;
};

/// What `exit_fd` of an exec yields.
struct ExitReport {
  std::int32_t exit_code = 0;
  std::int32_t signal = 0;
};

/// The warden's first argument, decimal: what it unshares at start. With kNewUser two more follow: the first id of
/// the host that the pod's user namespace has, and how many.
enum SpawnFlags : unsigned {
  kNewNet = 1,
  kNewIpc = 2,
  kNewUts = 4,
  kPidOne = 8,    // it is the init of the pod's pid namespace
  kNewUser = 16,  // the pod's namespaces belong to a user namespace of its own
};

}  // namespace burstlet::warden
