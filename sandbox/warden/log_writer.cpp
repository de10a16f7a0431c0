#include "sandbox/warden/log_writer.h"

#include <sys/uio.h>
#include <unistd.h>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>

namespace burstlet::warden {
namespace {

constexpr int kMaxSegments = 48;

/// Lines gathered for one writev, all read at the same time and so with the same stamp.
class Batch {
 public:
  Batch(const OutputStream& stream, LogTarget& log) : log_(log) {
    timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    tm utc;
    gmtime_r(&now.tv_sec, &utc);
    char stamp[32];
    strftime(stamp, sizeof(stamp), "%Y-%m-%dT%H:%M:%S", &utc);
    full_size_ =
        static_cast<std::size_t>(snprintf(full_, sizeof(full_), "%s.%09ldZ %s F ", stamp, now.tv_nsec, stream.name));
    part_size_ =
        static_cast<std::size_t>(snprintf(part_, sizeof(part_), "%s.%09ldZ %s P ", stamp, now.tv_nsec, stream.name));
  }
  ~Batch() { Write(); }

  void Line(bool whole, const char* first, std::size_t first_size, const char* second, std::size_t second_size) {
    if (count_ + 4 > kMaxSegments) Write();
    Add(whole ? full_ : part_, whole ? full_size_ : part_size_);
    Add(first, first_size);
    Add(second, second_size);
    Add("\n", 1);
  }

  void Write() {
    iovec* at = segments_;
    int left = count_;
    count_ = 0;
    if (left == 0 || log_.fd < 0) return;
    if (log_.torn) {
      if (::write(log_.fd, "\n", 1) != 1) return Lose(at, left);
      log_.torn = false;
    }
    bool inside = false;
    while (left > 0) {
      ssize_t written = ::writev(log_.fd, at, left);
      if (written < 0 && errno == EINTR) continue;
      if (written <= 0) {
        log_.torn = inside;
        return Lose(at, left);
      }
      std::size_t rest = static_cast<std::size_t>(written);
      while (left > 0 && rest >= at->iov_len) {
        rest -= at->iov_len;
        ++at;
        --left;
      }
      if (left > 0) {
        at->iov_base = static_cast<char*>(at->iov_base) + rest;
        at->iov_len -= rest;
        inside = true;
      }
    }
  }

 private:
  void Add(const char* data, std::size_t size) {
    if (size == 0) return;
    segments_[count_].iov_base = const_cast<char*>(data);
    segments_[count_].iov_len = size;
    ++count_;
  }
  void Lose(const iovec* at, int left) {
    for (; left > 0; ++at, --left) *log_.lost_bytes += at->iov_len;
  }

  LogTarget& log_;
  iovec segments_[kMaxSegments];
  int count_ = 0;
  char full_[64];
  char part_[64];
  std::size_t full_size_;
  std::size_t part_size_;
};

void Keep(OutputStream& stream, LogTarget& log, const char* data, std::size_t size) {
  std::size_t needed = stream.pending_size + size;
  if (needed > stream.pending_capacity) {
    std::size_t capacity = 256;
    while (capacity < needed) capacity *= 2;
    char* grown = static_cast<char*>(realloc(stream.pending, capacity));
    if (grown == nullptr) {
      *log.lost_bytes += size;
      return;
    }
    stream.pending = grown;
    stream.pending_capacity = capacity;
  }
  std::memcpy(stream.pending + stream.pending_size, data, size);
  stream.pending_size = needed;
}

void Drop(OutputStream& stream) {
  free(stream.pending);
  stream.pending = nullptr;
  stream.pending_size = 0;
  stream.pending_capacity = 0;
}

}  // namespace

void WriteLog(OutputStream& stream, LogTarget& log, const char* data, std::size_t size) {
  // A kept start is used by the first line at most, and freed only once that line is written.
  std::size_t kept = stream.pending_size;
  {
    Batch batch(stream, log);
    while (size > 0) {
      const char* newline = static_cast<const char*>(std::memchr(data, '\n', size));
      std::size_t length = newline != nullptr ? static_cast<std::size_t>(newline - data) : size;
      std::size_t room = kMaxLogLine - kept;
      if (length > room) {
        batch.Line(false, stream.pending, kept, data, room);
        data += room;
        size -= room;
      } else if (newline != nullptr) {
        batch.Line(true, stream.pending, kept, data, length);
        data += length + 1;
        size -= length + 1;
      } else {
        break;
      }
      kept = 0;
    }
  }
  if (kept == 0) Drop(stream);
  if (size > 0) Keep(stream, log, data, size);
}

void FlushLog(OutputStream& stream, LogTarget& log) {
  if (stream.pending_size > 0) {
    Batch batch(stream, log);
    batch.Line(false, stream.pending, stream.pending_size, nullptr, 0);
  }
  Drop(stream);
}

}  // namespace burstlet::warden
