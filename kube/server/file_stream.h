// A response whose body is what a descriptor holds: a file up to a size, or a pipe or socket to its end.
//
// Never further ahead of the client than Wire::kHighWater. Threads: the connection's strand. Failure after the first
// byte: the connection closes before the body's end, so that the client knows.
#pragma once

#include <unistd.h>

#include <cstdint>
#include <string>
#include <utility>

#include "kube/server/wire.h"

namespace burstlet::kube {

/// A descriptor with one owner.
class OwnedFd {
 public:
  explicit OwnedFd(int fd = -1) : fd_(fd) {}
  OwnedFd(OwnedFd&& other) noexcept : fd_(other.Release()) {}
  OwnedFd& operator=(OwnedFd&& other) noexcept {
    std::swap(fd_, other.fd_);
    return *this;
  }
  ~OwnedFd() {
    if (fd_ >= 0) close(fd_);
  }
  int get() const { return fd_; }
  int Release() { return std::exchange(fd_, -1); }

 private:
  int fd_;
};

/// `size` bytes of a regular file, or everything up to the end when it is below zero. Answers the exchange with 200.
void StreamFile(Exchange& exchange, OwnedFd fd, std::int64_t size, const std::string& content_type);

}  // namespace burstlet::kube
