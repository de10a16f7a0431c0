#include "kube/server/log_watch.h"

#include <sys/inotify.h>

#include <array>
#include <boost/asio/buffer.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <cerrno>
#include <cstring>
#include <map>
#include <mutex>

#include "metrics/status.h"

namespace burstlet::kube {
namespace {

namespace asio = boost::asio;

constexpr std::uint32_t kEvents = IN_MODIFY | IN_CREATE | IN_MOVED_TO | IN_CLOSE_WRITE | IN_DELETE_SELF;

class InotifyWatcher final : public LogWatcher, public std::enable_shared_from_this<InotifyWatcher> {
 public:
  explicit InotifyWatcher(const asio::any_io_executor& executor) : descriptor_(executor) {}

  absl::StatusOr<std::uint64_t> Watch(const std::string& path, Callback callback) override;
  void Unwatch(std::uint64_t id) override;
  void Stop() override;

 private:
  struct Follower {
    int watch;
    std::string name;
    Callback callback;
  };

  absl::Status Open();
  void Read();
  void Dispatch(const char* data, std::size_t size);

  std::mutex mutex_;
  asio::posix::stream_descriptor descriptor_;
  std::array<char, 16 * 1024> buffer_;
  std::map<std::uint64_t, Follower> followers_;
  std::map<int, int> users_;  // watch descriptor -> followers
  std::uint64_t next_id_ = 1;
};

absl::Status InotifyWatcher::Open() {
  if (descriptor_.is_open()) return absl::OkStatus();
  const int fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
  if (fd < 0) return ErrnoError(errno, "inotify_init1");
  boost::system::error_code error;
  descriptor_.assign(fd, error);
  if (error) return absl::InternalError("inotify: " + error.message());
  Read();
  return absl::OkStatus();
}

absl::StatusOr<std::uint64_t> InotifyWatcher::Watch(const std::string& path, Callback callback) {
  const std::size_t slash = path.rfind('/');
  if (slash == std::string::npos) return absl::InvalidArgumentError("no absolute path: " + path);
  const std::string directory = slash == 0 ? "/" : path.substr(0, slash);
  const std::lock_guard<std::mutex> lock(mutex_);
  RETURN_IF_ERROR(Open());
  const int watch = inotify_add_watch(descriptor_.native_handle(), directory.c_str(), kEvents | IN_ONLYDIR);
  if (watch < 0) return ErrnoError(errno, "watching " + directory);
  ++users_[watch];
  const std::uint64_t id = next_id_++;
  followers_[id] = Follower{watch, path.substr(slash + 1), std::move(callback)};
  return id;
}

void InotifyWatcher::Unwatch(std::uint64_t id) {
  const std::lock_guard<std::mutex> lock(mutex_);
  const auto it = followers_.find(id);
  if (it == followers_.end()) return;
  const int watch = it->second.watch;
  followers_.erase(it);
  if (--users_[watch] == 0) {
    users_.erase(watch);
    if (descriptor_.is_open()) inotify_rm_watch(descriptor_.native_handle(), watch);
  }
}

void InotifyWatcher::Stop() {
  const std::lock_guard<std::mutex> lock(mutex_);
  boost::system::error_code ignored;
  descriptor_.close(ignored);
  followers_.clear();
  users_.clear();
}

void InotifyWatcher::Read() {
  descriptor_.async_read_some(asio::buffer(buffer_),
                              [weak = weak_from_this()](boost::system::error_code error, std::size_t count) {
                                const std::shared_ptr<InotifyWatcher> self = weak.lock();
                                if (error || self == nullptr) return;
                                const std::lock_guard<std::mutex> lock(self->mutex_);
                                self->Dispatch(self->buffer_.data(), count);
                                if (self->descriptor_.is_open()) self->Read();
                              });
}

void InotifyWatcher::Dispatch(const char* data, std::size_t size) {
  while (size >= sizeof(inotify_event)) {
    inotify_event event;
    std::memcpy(&event, data, sizeof event);
    const std::size_t length = sizeof event + event.len;
    if (length > size) return;
    const std::string name(data + sizeof event, event.len == 0 ? 0 : strnlen(data + sizeof event, event.len));
    const bool everyone = (event.mask & (IN_Q_OVERFLOW | IN_DELETE_SELF | IN_IGNORED)) != 0;
    for (const auto& [id, follower] : followers_) {
      const bool meant = follower.watch == event.wd && follower.name == name;
      if (meant || everyone) follower.callback((event.mask & IN_CLOSE_WRITE) != 0);
    }
    data += length;
    size -= length;
  }
}

}  // namespace

std::shared_ptr<LogWatcher> LogWatcher::Create(boost::asio::any_io_executor executor) {
  return std::make_shared<InotifyWatcher>(executor);
}

}  // namespace burstlet::kube
