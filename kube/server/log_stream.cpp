#include "kube/server/log_stream.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <utility>

#include "kube/server/cri_log.h"
#include "kube/server/owned_fd.h"
#include "kube/server/streamed_body.h"
#include "metrics/log.h"
#include "metrics/status.h"

namespace burstlet::kube {
namespace {

namespace asio = boost::asio;

constexpr std::size_t kReadBytes = 64 * 1024;
constexpr int kReadsPerTurn = 4;  // then other connections of the loop have theirs
// A container's end is no event of its log file; its writer's closing usually tells, this finds the rest.
constexpr std::chrono::milliseconds kRecheck{1000};
constexpr std::chrono::milliseconds kRecheckAfterClose{50};

struct OpenLog {
  OwnedFd fd;
  ino_t inode = 0;
  std::int64_t size = 0;
};

absl::StatusOr<OpenLog> OpenLogFile(const std::string& path) {
  OpenLog log;
  // O_NONBLOCK: a pipe in the file's place must not block the loop before it is refused.
  log.fd = OwnedFd(open(path.c_str(), O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC | O_NOCTTY));
  if (log.fd.get() < 0) return ErrnoError(errno, "failed to open log file \"" + path + "\"");
  struct stat info = {};
  if (fstat(log.fd.get(), &info) != 0) return ErrnoError(errno, "failed to open log file \"" + path + "\"");
  if (!S_ISREG(info.st_mode)) return absl::InvalidArgumentError("log file \"" + path + "\" is no regular file");
  log.inode = info.st_ino;
  log.size = info.st_size;
  return log;
}

class LogStream final : public WireUser, public std::enable_shared_from_this<LogStream> {
 public:
  LogStream(OpenLog log, LogSource source, const LogOptions& options, std::shared_ptr<LogWatcher> watcher,
            StreamedBody body)
      : log_(std::move(log)),
        source_(std::move(source)),
        follow_(options.follow),
        filter_(options),
        watcher_(std::move(watcher)),
        body_(body) {}
  ~LogStream() override { StopWatching(); }

  void Start(Wire& wire, std::int64_t offset);
  void OnBytes(std::string_view) override { body_.NoteSurplus(); }
  void OnDrained() override { Pump(); }
  void OnGone() override;

 private:
  void Pump();
  bool ReadOnce();
  void AtEnd();
  bool Rotated();
  void Wait();
  void WatchFile();
  void StopWatching();
  void Send(std::string data);
  void End();

  OpenLog log_;
  const LogSource source_;
  const bool follow_;
  CriLogFilter filter_;
  const std::shared_ptr<LogWatcher> watcher_;
  StreamedBody body_;
  Wire* wire_ = nullptr;
  std::unique_ptr<asio::steady_timer> timer_;
  std::int64_t offset_ = 0;
  std::uint64_t watch_ = 0;
  std::atomic<bool> woken_{false};  // a wake-up is on its way: more events add nothing
  bool finished_before_read_ = false;
  bool successor_seen_ = false;
  bool writer_closed_ = false;
  bool ended_ = false;
  std::string buffer_;
};

void LogStream::Start(Wire& wire, std::int64_t offset) {
  wire_ = &wire;
  offset_ = offset;
  buffer_.resize(kReadBytes);
  wire.ReadMore();  // notices a client that goes
  if (follow_) {
    timer_ = std::make_unique<asio::steady_timer>(wire.executor());
    WatchFile();
  }
  Pump();
}

void LogStream::WatchFile() {
  const asio::any_io_executor executor = wire_->executor();
  const absl::StatusOr<std::uint64_t> watch =
      watcher_->Watch(source_.path, [weak = weak_from_this(), executor](bool writer_closed) {
        const std::shared_ptr<LogStream> self = weak.lock();
        if (self == nullptr || (self->woken_.exchange(true) && !writer_closed)) return;
        asio::post(executor, [self, writer_closed] {
          self->woken_ = false;
          if (writer_closed) self->writer_closed_ = true;
          self->Pump();
        });
      });
  if (watch.ok()) {
    watch_ = *watch;
  } else {
    V(2, "Follows a log without inotify", {{"err", std::string(watch.status().message())}});
  }
}

void LogStream::StopWatching() {
  if (watch_ != 0) watcher_->Unwatch(std::exchange(watch_, 0));
}

void LogStream::OnGone() {
  ended_ = true;
  wire_ = nullptr;
  if (timer_ != nullptr) timer_->cancel();
  StopWatching();
}

void LogStream::Pump() {
  if (ended_) return;
  for (int reads = 0; reads < kReadsPerTurn; ++reads) {
    if (filter_.done()) {
      End();
      return;
    }
    if (wire_->queued() >= Wire::kHighWater) return;  // OnDrained goes on
    if (!ReadOnce()) return;
  }
  asio::post(wire_->executor(), [self = shared_from_this()] { self->Pump(); });
}

// False when there is nothing to read now; what to do about it has been seen to.
bool LogStream::ReadOnce() {
  // Asked before reading: what was written before the end is then surely seen.
  finished_before_read_ = !follow_ || (source_.finished && source_.finished());
  const ssize_t count = pread(log_.fd.get(), buffer_.data(), buffer_.size(), offset_);
  if (count < 0) {
    Warn("Could not read a container log", {{"path", source_.path}, {"err", std::strerror(errno)}});
    Wire* wire = wire_;
    OnGone();
    wire->Abort();
    return false;
  }
  if (count > 0) {
    offset_ += count;
    std::string out;
    filter_.Feed(std::string_view(buffer_.data(), static_cast<std::size_t>(count)), &out);
    Send(std::move(out));
    return true;
  }
  if (follow_ && Rotated()) return true;
  if (finished_before_read_) {
    AtEnd();
  } else {
    Wait();
  }
  return false;
}

// Goes over to the file that has taken the log's name. True when reading should be tried again.
bool LogStream::Rotated() {
  struct stat info = {};
  if (fstat(log_.fd.get(), &info) == 0 && info.st_size < offset_) {
    offset_ = 0;  // cut to nothing in place
    filter_.DropUnfinished();
    return true;
  }
  if (lstat(source_.path.c_str(), &info) != 0 || info.st_ino == log_.inode) return false;
  if (!successor_seen_) {
    // The old file may have got its last lines between the read and now.
    successor_seen_ = true;
    return true;
  }
  absl::StatusOr<OpenLog> successor = OpenLogFile(source_.path);
  if (!successor.ok()) return false;
  std::string out;
  filter_.EndOfFile(&out);
  Send(std::move(out));
  log_ = std::move(successor).value();
  offset_ = 0;
  successor_seen_ = false;
  return true;
}

void LogStream::Wait() {
  const auto after = writer_closed_ ? kRecheckAfterClose : kRecheck;
  writer_closed_ = false;
  timer_->expires_after(after);
  timer_->async_wait([weak = weak_from_this()](boost::system::error_code error) {
    const std::shared_ptr<LogStream> self = weak.lock();
    if (!error && self != nullptr) self->Pump();
  });
}

void LogStream::Send(std::string data) {
  if (data.empty() || wire_ == nullptr) return;
  body_.Send(*wire_, std::move(data));
}

void LogStream::AtEnd() {
  std::string out;
  filter_.EndOfFile(&out);
  Send(std::move(out));
  End();
}

void LogStream::End() {
  if (ended_) return;
  Wire* wire = wire_;
  OnGone();
  body_.End(*wire);
}

}  // namespace

absl::StatusOr<std::int64_t> FindTailStart(int fd, std::int64_t size, std::int64_t lines) {
  if (lines < 0) return 0;
  std::string block(kReadBytes, '\0');
  std::int64_t right = size;
  while (right > 0) {
    const std::int64_t left = std::max<std::int64_t>(0, right - static_cast<std::int64_t>(kReadBytes));
    const ssize_t count = pread(fd, block.data(), static_cast<std::size_t>(right - left), left);
    if (count < 0) return ErrnoError(errno, "reading the log file");
    for (std::int64_t i = count - 1; i >= 0; --i) {
      if (block[static_cast<std::size_t>(i)] == '\n' && lines-- == 0) return left + i + 1;
    }
    right = left;
  }
  return 0;
}

void StreamLog(Exchange& exchange, const LogSource& source, const LogOptions& options,
               std::shared_ptr<LogWatcher> watcher) {
  absl::StatusOr<OpenLog> log = OpenLogFile(source.path);
  if (!log.ok()) {
    // The kubelet answers 400 for what its runtime can't do.
    exchange.Respond(TextResponse(400, std::string(log.status().message()) + "\n"));
    return;
  }
  const absl::StatusOr<std::int64_t> offset = FindTailStart(log->fd.get(), log->size, options.tail_lines);
  if (!offset.ok()) {
    exchange.Respond(TextResponse(400, std::string(offset.status().message()) + "\n"));
    return;
  }
  const StreamedBody body(exchange.request());
  const auto stream = std::make_shared<LogStream>(std::move(log).value(), source, options, std::move(watcher), body);
  stream->Start(exchange.Stream(body.Head(HttpResponse().content_type), stream), *offset);
}

}  // namespace burstlet::kube
