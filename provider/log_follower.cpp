#include "provider/log_follower.h"

#include <fcntl.h>
#include <sys/inotify.h>
#include <unistd.h>

#include <map>
#include <utility>

#include <boost/asio/posix/stream_descriptor.hpp>

#include "metrics/log.h"
#include "metrics/status.h"
#include "sandbox/os/unique_fd.h"

namespace burstlet::provider {
namespace {

/// One log being read; `rest` holds a line whose end has not been written yet.
struct Source {
  sandbox::UniqueFd fd;
  std::string prefix;
  std::string rest;
};

class InotifyFollower : public LogFollower {
 public:
  InotifyFollower(kube::Loop& loop, std::function<void(const std::string&, const std::string&)> write)
      : descriptor_(loop.context()), write_(std::move(write)) {
    boost::system::error_code error;
    inotify_ = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
    descriptor_.assign(inotify_, error);
    if (inotify_ < 0 || error) {
      Error("Logs cannot be followed", {{"err", error.message()}});
      return;
    }
    Wait();
  }

  void Follow(const std::string& path, const std::string& prefix) override {
    if (by_path_.contains(path)) return;
    Source source;
    source.fd = sandbox::UniqueFd(open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW));
    if (source.fd.get() < 0) return;  // not written yet: asked for again with the next state
    source.prefix = prefix;
    const int watch = inotify_add_watch(inotify_, path.c_str(), IN_MODIFY);
    if (watch < 0) return LogIfError(ErrnoError(errno, path), "Log cannot be followed");
    by_path_[path] = watch;
    Source& stored = sources_[watch] = std::move(source);
    Read(stored);
  }

  void Drain() override {
    for (auto& [watch, source] : sources_) Read(source);
  }

 private:
  void Wait() {
    descriptor_.async_wait(boost::asio::posix::stream_descriptor::wait_read,
                           [this](const boost::system::error_code& error) {
                             if (error) return;
                             alignas(inotify_event) char buffer[4096];
                             while (read(inotify_, buffer, sizeof(buffer)) > 0) {
                             }
                             Drain();
                             Wait();
                           });
  }

  void Read(Source& source) {
    char buffer[65536];
    ssize_t got = 0;
    while ((got = read(source.fd.get(), buffer, sizeof(buffer))) > 0) {
      source.rest.append(buffer, static_cast<std::size_t>(got));
      std::size_t end = 0;
      while ((end = source.rest.find('\n')) != std::string::npos) {
        WriteLine(source.prefix, source.rest.substr(0, end));
        source.rest.erase(0, end + 1);
      }
    }
  }

  /// "<time> <stream> <tag> <text>"
  void WriteLine(const std::string& prefix, const std::string& line) {
    const std::size_t stream_at = line.find(' ');
    const std::size_t tag_at = stream_at == std::string::npos ? stream_at : line.find(' ', stream_at + 1);
    const std::size_t text_at = tag_at == std::string::npos ? tag_at : line.find(' ', tag_at + 1);
    if (text_at == std::string::npos) return;
    write_("[" + prefix + "] " + line.substr(text_at + 1), line.substr(stream_at + 1, tag_at - stream_at - 1));
  }

  boost::asio::posix::stream_descriptor descriptor_;  // owns inotify_
  int inotify_ = -1;
  std::function<void(const std::string&, const std::string&)> write_;
  std::map<std::string, int> by_path_;
  std::map<int, Source> sources_;
};

}  // namespace

std::unique_ptr<LogFollower> NewLogFollower(kube::Loop& loop,
                                            std::function<void(const std::string&, const std::string&)> write) {
  return std::make_unique<InotifyFollower>(loop, std::move(write));
}

}  // namespace burstlet::provider
