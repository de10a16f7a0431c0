// A container's output as a CRI log: "<RFC3339Nano> stdout F line", lines over 16 KiB in parts marked P.
//
// The log is the kubelet's and crictl's format (cri-api: log format; containerd pkg/cri/io/logger.go for the rule on
// long lines and on a last line without newline). A full disk loses lines, which are counted, and never stops the
// container. Owner: the warden's loop. Nothing here blocks but the file system itself.
#pragma once

#include <cstddef>
#include <cstdint>

namespace burstlet::warden {

inline constexpr std::size_t kMaxLogLine = 16384;

/// One of a container's two streams, with the start of a line that has no end yet.
struct OutputStream {
  int fd = -1;
  const char* name = "stdout";
  char* pending = nullptr;
  std::size_t pending_size = 0;
  std::size_t pending_capacity = 0;
};

/// Where lines go. `torn`: the last write ended inside a line (the disk was full), so the next begins a new one.
struct LogTarget {
  int fd = -1;
  std::uint64_t* lost_bytes = nullptr;
  bool torn = false;
};

/// Adds `size` bytes of the stream's output to the log.
void WriteLog(OutputStream& stream, LogTarget& log, const char* data, std::size_t size);
/// At the stream's end: an unfinished line is a part, so that who reads the log adds no newline of his own.
void FlushLog(OutputStream& stream, LogTarget& log);

}  // namespace burstlet::warden
