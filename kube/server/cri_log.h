// Container logs in the CRI's format, as a client of /containerLogs sees them.
//
// "2016-10-06T00:17:09.669794202Z stdout F text\n", with the tag P for a piece of a longer line. I/O-free: bytes of the
// file go in, bytes for the client come out. What a container wrote is untrusted: memory is bounded by kMaxLineBytes,
// of a longer line the beginning is passed on, and a line that is none of ours is left out and counted. Threads: one at
// a time. Source: cri-client/pkg/logs/logs.go.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "kube/server/kubelet_server.h"

namespace burstlet::kube {

struct CriLine {
  std::string_view timestamp;  // RFC 3339, as written
  std::int64_t unix_nanos = 0;
  bool from_stderr = false;
  bool partial = false;
  std::string_view text;  // without the newline
};

/// False when `line` (without its newline) has not the format.
bool ParseCriLine(std::string_view line, CriLine* out);

class CriLogFilter {
 public:
  static constexpr std::size_t kMaxLineBytes = 1 << 20;

  explicit CriLogFilter(const LogOptions& options);

  /// Appends to `out` what the client is to get of `bytes`, the next ones of the file.
  void Feed(std::string_view bytes, std::string* out);
  /// The file has ended: an unfinished line counts as it is.
  void EndOfFile(std::string* out);
  /// Forgets an unfinished line (it will be fed again, or its file is gone).
  void DropUnfinished() { unfinished_.clear(); }
  /// No more will ever come out: the byte limit is reached.
  bool done() const { return remaining_ == 0; }
  std::uint64_t malformed_lines() const { return malformed_; }

 private:
  void Line(std::string_view line, bool has_newline, std::string* out);
  void Emit(std::string_view text, std::string* out);

  LogOptions options_;
  std::int64_t remaining_;     // -1 = no limit
  bool at_line_start_ = true;  // a timestamp goes where the client's line begins
  std::string unfinished_;
  bool skipping_ = false;  // inside an overlong line whose beginning went out already
  std::uint64_t malformed_ = 0;
};

}  // namespace burstlet::kube
