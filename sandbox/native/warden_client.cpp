#include "sandbox/native/warden_client.h"

#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <cerrno>
#include <chrono>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "metrics/status.h"
#include "sandbox/os/safe_path.h"
#include "sandbox/paths.h"

namespace burstlet::sandbox {
namespace {

// Long beside the milliseconds it takes; short enough that a stopped warden does not stop its pod's worker for good.
constexpr std::chrono::milliseconds kDeadline{30000};

/// A socket path is at most 108 bytes, a root directory may be longer: the directory's descriptor stands for it.
sockaddr_un SocketAddress(int directory_fd) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::string path = absl::StrCat("/proc/self/fd/", directory_fd, "/", kWardenSocketName);
  path.copy(address.sun_path, sizeof(address.sun_path) - 1);
  return address;
}

}  // namespace

int WardenAnswer::Take(std::uint32_t bit) {
  if ((reply.fd_mask & bit) == 0) return -1;
  std::size_t index = static_cast<std::size_t>(__builtin_popcount(reply.fd_mask & (bit - 1)));
  return fds.Take(index);
}

absl::StatusOr<std::string> BootId() {
  ASSIGN_OR_RETURN(std::string text, ReadFile("/proc/sys/kernel/random/boot_id"));
  absl::StripAsciiWhitespace(&text);
  return text;
}

absl::StatusOr<UniqueFd> BindWardenSocket(int directory_fd) {
  UniqueFd socket(::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!socket.valid()) return ErrnoError(errno, "socket");
  sockaddr_un address = SocketAddress(directory_fd);
  if (::bind(socket.get(), reinterpret_cast<sockaddr*>(&address), sizeof(address)) != 0)
    return ErrnoError(errno, "bind the warden's socket");
  return socket;
}

absl::StatusOr<WardenClient::Adopted> WardenClient::Reach(int directory_fd) {
  UniqueFd socket(::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0));
  if (!socket.valid()) return ErrnoError(errno, "socket");
  sockaddr_un address = SocketAddress(directory_fd);
  if (::connect(socket.get(), reinterpret_cast<sockaddr*>(&address), sizeof(address)) != 0)
    return ErrnoError(errno, "connect to the warden");
  ucred peer{};
  socklen_t size = sizeof(peer);
  if (::getsockopt(socket.get(), SOL_SOCKET, SO_PEERCRED, &peer, &size) != 0 || peer.uid != 0)
    return absl::PermissionDeniedError("the warden's socket belongs to somebody else");
  return Adopted{std::move(socket), peer.pid};
}

absl::StatusOr<WardenClient::Adopted> WardenClient::Connect(int directory_fd, const std::string& boot_id, bool events) {
  ASSIGN_OR_RETURN(Adopted reached, Reach(directory_fd));
  WardenClient client(std::move(reached.socket));
  warden::Request request;
  request.header.type = warden::MessageType::kHello;
  request.flags = events ? static_cast<std::uint32_t>(warden::kEventsConnection) : 0;
  warden::CopyText(request.boot_id, boot_id.c_str());
  WardenAnswer answer;
  RETURN_IF_ERROR(client.Call(request, {}, answer));
  if (!warden::Terminated(answer.reply.boot_id) || boot_id != answer.reply.boot_id)
    return absl::FailedPreconditionError("the warden is of another boot");
  return Adopted{std::move(client.socket_), reached.pid};
}

absl::Status WardenClient::WaitReadable() {
  auto deadline = std::chrono::steady_clock::now() + kDeadline;
  for (;;) {
    auto left = std::chrono::duration_cast<std::chrono::milliseconds>(deadline - std::chrono::steady_clock::now());
    pollfd poll_fd{socket_.get(), POLLIN, 0};
    int ready = ::poll(&poll_fd, 1, static_cast<int>(std::max<std::int64_t>(left.count(), 0)));
    if (ready > 0) return absl::OkStatus();
    if (ready == 0) return absl::DeadlineExceededError("the warden does not answer");
    if (errno != EINTR) return ErrnoError(errno, "poll");
  }
}

absl::Status WardenClient::AwaitReady(UniqueFd* user_namespace) {
  std::lock_guard<std::mutex> lock(mutex_);
  RETURN_IF_ERROR(WaitReadable());
  WardenAnswer answer;
  if (warden::ReceiveRecord(socket_.get(), answer.reply, answer.fds) != 1)
    return absl::UnavailableError("the warden ended while it started");
  if (answer.reply.error != 0)
    return absl::InternalError(absl::StrCat("the warden can't start: ", std::string(answer.reply.text)));
  if (user_namespace != nullptr) *user_namespace = UniqueFd(answer.Take(warden::kFdUserNamespace));
  return absl::OkStatus();
}

absl::Status WardenClient::Call(warden::Request& request, const std::vector<int>& fds, WardenAnswer& answer) {
  std::lock_guard<std::mutex> lock(mutex_);
  if (!socket_.valid()) return absl::UnavailableError("the warden is gone");
  request.header.sequence = ++sequence_;
  absl::Status status;
  if (warden::SendRecord(socket_.get(), request, fds.data(), fds.size()) < 0) {
    if (errno == EMSGSIZE || errno == ETOOMANYREFS || errno == EBADF) return ErrnoError(errno, "send to the warden");
    status = absl::UnavailableError("the warden is gone");
  }
  while (status.ok()) {
    status = WaitReadable();
    if (!status.ok()) break;
    int got = warden::ReceiveRecord(socket_.get(), answer.reply, answer.fds);
    if (got != 1) {
      status = absl::UnavailableError(got == 0 ? "the warden is gone" : "the warden sent a record that is not one");
    } else if (answer.reply.header.sequence == request.header.sequence) {
      if (warden::Terminated(answer.reply.text)) return absl::OkStatus();
      status = absl::UnavailableError("the warden sent a record that is not one");
    } else {
      answer.fds.Clear();  // late answer to an earlier question
    }
  }
  socket_.Reset();
  return status;
}

}  // namespace burstlet::sandbox
