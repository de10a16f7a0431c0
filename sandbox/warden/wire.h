// Records and descriptors over a SOCK_SEQPACKET socket; used by both sides, libc only.
//
// Failure: -1 with errno; EBADMSG for a record that is cut, foreign, or of the wrong size. Descriptors that arrive are
// CLOEXEC and owned by the FdList they land in.
#pragma once

#include <sys/socket.h>
#include <unistd.h>
#include <cerrno>
#include <cstring>

#include "sandbox/warden/protocol.h"

namespace burstlet::warden {

/// Received descriptors; what nobody takes is closed.
class FdList {
 public:
  FdList() = default;
  FdList(const FdList&) = delete;
  FdList& operator=(const FdList&) = delete;
  ~FdList() { Clear(); }

  void Add(int fd) {
    if (size_ < kMaxFds) {
      fds_[size_++] = fd;
    } else {
      ::close(fd);
    }
  }
  void Clear() {
    for (std::size_t i = 0; i < size_; ++i) {
      if (fds_[i] >= 0) ::close(fds_[i]);
    }
    size_ = 0;
  }
  /// The descriptor at `index`, now the caller's; -1 when there is none.
  int Take(std::size_t index) {
    if (index >= size_) return -1;
    int fd = fds_[index];
    fds_[index] = -1;
    return fd;
  }
  int Get(std::size_t index) const { return index < size_ ? fds_[index] : -1; }
  std::size_t size() const { return size_; }
  const int* data() const { return fds_; }

 private:
  int fds_[kMaxFds];
  std::size_t size_ = 0;
};

inline ssize_t SendBytes(int socket, const void* data, std::size_t size, const int* fds = nullptr,
                         std::size_t count = 0, int flags = 0) {
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int) * kMaxFds)];
  iovec io{const_cast<void*>(data), size};
  msghdr message{};
  message.msg_iov = &io;
  message.msg_iovlen = 1;
  if (count > kMaxFds) {
    errno = EMSGSIZE;
    return -1;
  }
  if (count > 0) {
    message.msg_control = control;
    message.msg_controllen = CMSG_SPACE(sizeof(int) * count);
    cmsghdr* header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(sizeof(int) * count);
    std::memcpy(CMSG_DATA(header), fds, sizeof(int) * count);
  }
  ssize_t sent;
  do {
    sent = ::sendmsg(socket, &message, flags | MSG_NOSIGNAL);
  } while (sent < 0 && errno == EINTR);
  return sent;
}

/// Bytes received (0 = the peer is gone).
inline ssize_t ReceiveBytes(int socket, void* data, std::size_t capacity, FdList& fds, int flags = 0) {
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int) * kMaxFds)];
  iovec io{data, capacity};
  msghdr message{};
  message.msg_iov = &io;
  message.msg_iovlen = 1;
  message.msg_control = control;
  message.msg_controllen = sizeof(control);
  ssize_t got;
  do {
    got = ::recvmsg(socket, &message, flags | MSG_CMSG_CLOEXEC);
  } while (got < 0 && errno == EINTR);
  if (got < 0) return -1;
  for (cmsghdr* header = CMSG_FIRSTHDR(&message); header != nullptr; header = CMSG_NXTHDR(&message, header)) {
    if (header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS) continue;
    std::size_t count = (header->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    for (std::size_t i = 0; i < count; ++i) {
      int fd;
      std::memcpy(&fd, CMSG_DATA(header) + i * sizeof(int), sizeof(int));
      fds.Add(fd);
    }
  }
  if ((message.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) != 0) {
    errno = EBADMSG;
    return -1;
  }
  return got;
}

/// Sends one of the protocol's records. Its header's size is filled in.
template <typename T>
inline ssize_t SendRecord(int socket, T& record, const int* fds = nullptr, std::size_t count = 0, int flags = 0) {
  record.header.size = sizeof(T);
  return SendBytes(socket, &record, sizeof(T), fds, count, flags);
}

/// 1 = got one, 0 = end of file, -1 = errno.
template <typename T>
inline int ReceiveRecord(int socket, T& record, FdList& fds, int flags = 0) {
  ssize_t got = ReceiveBytes(socket, &record, sizeof(T), fds, flags);
  if (got <= 0) return static_cast<int>(got);
  if (static_cast<std::size_t>(got) != sizeof(T) || record.header.magic != kMagic ||
      record.header.version != kProtocolVersion || record.header.size != sizeof(T)) {
    errno = EBADMSG;
    return -1;
  }
  return 1;
}

/// Copies `text` into a fixed field, cut to fit, always terminated.
template <std::size_t N>
inline void CopyText(char (&field)[N], const char* text) {
  std::size_t length = ::strnlen(text, N - 1);
  std::memcpy(field, text, length);
  std::memset(field + length, 0, N - length);
}

/// A field that came from the other side is a C string only if it ends inside its bounds.
template <std::size_t N>
inline bool Terminated(const char (&field)[N]) {
  return ::memchr(field, 0, N) != nullptr;
}

}  // namespace burstlet::warden
