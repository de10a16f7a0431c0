// What the kernel knows about a connection that cpprestsdk drives: a duplicate of its descriptor, so that it can be
// asked and cut at any time without touching the library's objects. Threads: any. Failure: an unset watch answers
// "unknown".
#pragma once

#include <cstdint>
#include <optional>

#include "cache/fd.h"

namespace burstlet::cache {

class SocketWatch {
 public:
  /// Duplicates `fd`.
  void Set(int fd);
  bool set() const { return fd_.valid(); }
  bool Connected() const;
  /// Bytes that have been taken out of the kernel by the reader so far (tcp(7), TCP_INFO; SIOCINQ).
  std::optional<std::uint64_t> Consumed() const;
  /// Bytes that have arrived.
  std::optional<std::uint64_t> Received() const;
  /// Ends the connection in both directions; whoever waits on it gets an error.
  void Cut() const;

 private:
  Fd fd_;
};

}  // namespace burstlet::cache
