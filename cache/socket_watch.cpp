#include "cache/socket_watch.h"

#include <fcntl.h>
#include <linux/sockios.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

namespace burstlet::cache {

void SocketWatch::Set(int fd) { fd_ = Fd(fcntl(fd, F_DUPFD_CLOEXEC, 3)); }

bool SocketWatch::Connected() const {
  sockaddr_storage peer;
  socklen_t length = sizeof(peer);
  return fd_.valid() && getpeername(fd_.get(), reinterpret_cast<sockaddr*>(&peer), &length) == 0;
}

std::optional<std::uint64_t> SocketWatch::Received() const {
  tcp_info info = {};
  socklen_t length = sizeof(info);
  if (!fd_.valid() || getsockopt(fd_.get(), IPPROTO_TCP, TCP_INFO, &info, &length) != 0) return std::nullopt;
  return info.tcpi_bytes_received;
}

std::optional<std::uint64_t> SocketWatch::Consumed() const {
  const std::optional<std::uint64_t> received = Received();
  int unread = 0;
  if (!received || ioctl(fd_.get(), SIOCINQ, &unread) != 0) return std::nullopt;
  const auto waiting = static_cast<std::uint64_t>(unread);
  return *received > waiting ? *received - waiting : 0;
}

void SocketWatch::Cut() const {
  if (fd_.valid()) shutdown(fd_.get(), SHUT_RDWR);
}

}  // namespace burstlet::cache
