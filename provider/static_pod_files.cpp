#include "provider/static_pod_files.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <cerrno>
#include <ctime>
#include <optional>
#include <set>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "kube/async/signal_event.h"
#include "kube/json.h"
#include "metrics/log.h"
#include "metrics/status.h"
#include "provider/static_pod.h"
#include "provider/yaml.h"
#include "sandbox/os/safe_path.h"
#include "sandbox/os/unique_fd.h"

namespace burstlet::provider {
namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;

constexpr std::size_t kMaxFileBytes = 10u << 20;
/// A file that changed this lately may still be in the making: its writer's close (or the next look) tells.
constexpr std::chrono::seconds kSettled{1};
/// Of a file that never comes to rest, what is there after this long counts.
constexpr std::chrono::seconds kPatience{10};
constexpr std::uint32_t kFileEvents =
    IN_CLOSE_WRITE | IN_MOVED_TO | IN_MOVED_FROM | IN_DELETE | IN_ATTRIB | IN_DELETE_SELF | IN_MOVE_SELF | IN_ONLYDIR;

/// What tells one content of a file from another without reading it.
struct Stamp {
  dev_t device = 0;
  ino_t inode = 0;
  off_t size = 0;
  std::int64_t changed = 0;  // of content or inode, Unix nanoseconds
  bool operator==(const Stamp&) const = default;
};

struct Found {
  Stamp stamp;
  absl::Status error;
  std::shared_ptr<const kube::Pod> pod;
};

/// path -> what was found there. Files that are still being written keep what was known of them.
struct Look {
  std::map<std::string, Found> files;
  bool unsettled = false;
  absl::Status error;
};

std::int64_t Nanos(const timespec& time) { return time.tv_sec * 1'000'000'000LL + time.tv_nsec; }

std::int64_t WallNow() {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(std::chrono::system_clock::now().time_since_epoch())
      .count();
}

Stamp StampOf(const struct stat& status) {
  return {status.st_dev, status.st_ino, status.st_size, std::max(Nanos(status.st_mtim), Nanos(status.st_ctim))};
}

absl::StatusOr<std::vector<std::string>> FilesAt(const std::string& path) {
  struct stat status;
  if (stat(path.c_str(), &status) != 0) {
    if (errno == ENOENT) return std::vector<std::string>{};  // it may come yet
    return ErrnoError(errno, path);
  }
  if (S_ISREG(status.st_mode)) return std::vector<std::string>{path};
  if (!S_ISDIR(status.st_mode)) return absl::InvalidArgumentError(absl::StrCat(path, " is not a directory or file"));
  const std::unique_ptr<DIR, int (*)(DIR*)> directory(opendir(path.c_str()), closedir);
  if (!directory) return ErrnoError(errno, path);
  std::vector<std::string> files;
  while (const dirent* entry = readdir(directory.get())) {
    if (entry->d_name[0] != '.') files.push_back(absl::StrCat(path, "/", entry->d_name));
  }
  std::sort(files.begin(), files.end());
  return files;
}

/// Reads one file unless it is as it was; nothing when it is in the making, or gone.
std::optional<Found> LookAt(const std::string& file, const std::string& node_name, const Found* known, bool settled) {
  struct stat before;
  const sandbox::UniqueFd fd(open(file.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC));
  Found found;
  if (!fd.valid() || fstat(fd.get(), &before) != 0) {
    if (errno == ENOENT) return std::nullopt;
    found.error = ErrnoError(errno, "opening it");
    return found;
  }
  found.stamp = StampOf(before);
  if (known != nullptr && known->stamp == found.stamp) return *known;
  if (!S_ISREG(before.st_mode)) {
    found.error = absl::InvalidArgumentError(S_ISDIR(before.st_mode) ? "it is a directory, not recursing into it"
                                                                     : "it is not a directory or file");
    return found;
  }
  const auto age = std::chrono::nanoseconds(WallNow() - found.stamp.changed);
  if (!settled && age >= std::chrono::nanoseconds(0) && age < kSettled) return std::nullopt;
  const auto text = sandbox::ReadFile(absl::StrCat("/proc/self/fd/", fd.get()), kMaxFileBytes);
  struct stat after;
  if (fstat(fd.get(), &after) != 0 || !(StampOf(after) == found.stamp)) return std::nullopt;
  if (!text.ok()) {
    found.error = text.status();
    return found;
  }
  auto pod = ParseStaticPod(file, *text, node_name, WallNow());
  found.error = pod.status();
  if (pod.ok()) found.pod = std::make_shared<const kube::Pod>(*std::move(pod));
  return found;
}

/// `closed`: names whose writers have just finished; `patient`: files in the making may be left for later.
Look LookAround(const std::string& path, const std::string& node_name, const std::map<std::string, Found>& known,
                const std::set<std::string>& closed, bool patient) {
  Look look;
  const auto files = FilesAt(path);
  if (!files.ok()) {
    look.error = files.status();
    look.files = known;
    return look;
  }
  for (const std::string& file : *files) {
    const auto old = known.find(file);
    const Found* before = old == known.end() ? nullptr : &old->second;
    const bool settled = !patient || closed.contains(file.substr(file.rfind('/') + 1));
    if (auto found = LookAt(file, node_name, before, settled)) {
      look.files[file] = *std::move(found);
      continue;
    }
    if (access(file.c_str(), F_OK) != 0) continue;
    look.unsettled = true;
    if (before != nullptr) look.files[file] = *before;
  }
  return look;
}

class DirectoryWatch : public StaticPodSource {
 public:
  DirectoryWatch(kube::Loop& loop, kube::WorkerPool& pool, kube::TaskGroup& tasks, std::string path,
                 std::string node_name, milliseconds check_frequency)
      : state_(std::make_shared<State>(loop, pool, std::move(path), std::move(node_name), check_frequency)),
        tasks_(tasks) {}
  ~DirectoryWatch() override { DirectoryWatch::Stop(); }

  void OnChange(std::function<void(StaticPodList)> callback) override { state_->on_change = std::move(callback); }
  void Start() override { tasks_.Spawn("static pod files", Run(state_)); }
  void Stop() override {
    state_->stopped = true;
    boost::system::error_code ignored;
    state_->inotify.close(ignored);
    state_->wake.Set();
  }

 private:
  struct State {
    State(kube::Loop& l, kube::WorkerPool& p, std::string at, std::string node, milliseconds every)
        : loop(l),
          pool(p),
          path(std::move(at)),
          node_name(std::move(node)),
          check_frequency(every),
          wake(l),
          inotify(l.context()) {
      while (path.size() > 1 && path.back() == '/') path.pop_back();
    }
    kube::Loop& loop;
    kube::WorkerPool& pool;
    std::string path;
    const std::string node_name;
    const milliseconds check_frequency;
    std::function<void(StaticPodList)> on_change;
    kube::SignalEvent wake;
    boost::asio::posix::stream_descriptor inotify;
    bool watching = false;
    std::array<char, 16384> events;
    std::set<std::string> closed;
    std::map<std::string, Found> files;
    std::optional<kube::SteadyTime> unsettled_since;
    bool told = false;
    bool stopped = false;
  };
  using StatePtr = std::shared_ptr<State>;

  static kube::Task<void> Run(StatePtr state) {
    while (!state->stopped) {
      // The watch comes before the look, so that nothing is missed in between.
      Watch(state);
      const bool patient = !state->unsettled_since || steady_clock::now() - *state->unsettled_since < kPatience;
      auto work = [path = state->path, node = state->node_name, known = state->files,
                   closed = std::exchange(state->closed, {}),
                   patient] { return LookAround(path, node, known, closed, patient); };
      Look look = co_await kube::Offload(state->loop, state->pool, std::move(work));
      if (state->stopped) co_return;
      LogIfError(look.error, "Static pods not read");
      if (!look.unsettled) state->unsettled_since.reset();
      if (look.unsettled && !state->unsettled_since) state->unsettled_since = steady_clock::now();
      // The first word must be the whole truth: what runs since a former agent and is not named in it ends.
      if (state->told || (!look.unsettled && look.error.ok())) Take(*state, std::move(look.files));
      const milliseconds pause = look.unsettled ? kSettled : state->check_frequency;
      co_await state->wake.WaitUntil(steady_clock::now() + pause);
    }
  }

  static void Take(State& state, std::map<std::string, Found> files) {
    std::map<std::string, std::shared_ptr<const kube::Pod>> by_name;
    bool changed = !std::exchange(state.told, true) || files.size() != state.files.size();
    for (const auto& [file, found] : files) {
      const auto old = state.files.find(file);
      const bool is_new = old == state.files.end() || !(old->second.stamp == found.stamp);
      changed = changed || is_new || old->second.pod != found.pod;
      if (is_new && !found.error.ok()) {
        Error("Static pod not readable", {{"file", file}, {"err", std::string(found.error.message())}});
      }
      if (found.pod == nullptr) continue;
      auto& place = by_name[kube::ObjectName(found.pod->metadata)];
      if (place != nullptr && is_new) {
        Error("Two static pods of one name: the last file counts",
              {{"file", file}, {"pod", kube::ObjectName(found.pod->metadata)}});
      }
      place = found.pod;
    }
    state.files = std::move(files);
    if (!changed || !state.on_change) return;
    StaticPodList pods;
    for (const auto& [name, pod] : by_name) pods.push_back(pod);
    state.on_change(std::move(pods));
  }

  /// Watches the directory (of the file) unless that is done; without a watch the periodic look has to do.
  static void Watch(const StatePtr& state) {
    if (state->watching) return;
    if (!state->inotify.is_open()) {
      const int fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
      if (fd < 0) return LogIfError(ErrnoError(errno, "inotify_init1"), "Static pods are not watched");
      boost::system::error_code error;
      state->inotify.assign(fd, error);
      if (error) return Warn("Static pods are not watched", {{"err", error.message()}});
      ReadEvents(state);
    }
    struct stat status;
    const bool is_file = stat(state->path.c_str(), &status) == 0 && S_ISREG(status.st_mode);
    const std::string directory = is_file ? state->path.substr(0, state->path.rfind('/') + 1) : state->path;
    state->watching = inotify_add_watch(state->inotify.native_handle(), directory.c_str(), kFileEvents) >= 0;
    if (!state->watching && errno != ENOENT) {
      LogIfError(ErrnoError(errno, directory), "Static pods are not watched");
    }
  }

  static void ReadEvents(const StatePtr& state) {
    std::weak_ptr<State> weak = state;
    state->inotify.async_read_some(boost::asio::buffer(state->events),
                                   [weak](const boost::system::error_code& error, std::size_t count) {
                                     const StatePtr live = weak.lock();
                                     if (error || live == nullptr || live->stopped) return;
                                     Note(*live, count);
                                     live->wake.Set();
                                     ReadEvents(live);
                                   });
  }

  static void Note(State& state, std::size_t count) {
    for (std::size_t at = 0; at + sizeof(inotify_event) <= count;) {
      inotify_event event;
      std::copy_n(state.events.data() + at, sizeof(event), reinterpret_cast<char*>(&event));
      const char* name = state.events.data() + at + sizeof(event);
      at += sizeof(event) + event.len;
      if (at > count) return;
      if ((event.mask & (IN_DELETE_SELF | IN_MOVE_SELF | IN_IGNORED)) != 0) state.watching = false;
      const std::string file(name, strnlen(name, event.len));
      if ((event.mask & (IN_CLOSE_WRITE | IN_MOVED_TO)) != 0 && !file.empty()) state.closed.insert(file);
    }
  }

  const StatePtr state_;
  kube::TaskGroup& tasks_;
};

}  // namespace

absl::StatusOr<kube::Pod> ParseStaticPod(const std::string& file, const std::string& text, const std::string& node_name,
                                         std::int64_t seen) {
  ASSIGN_OR_RETURN(const std::vector<YamlNode> documents, ParseYaml(text));
  if (documents.size() != 1) {
    return absl::InvalidArgumentError(absl::StrCat("one pod is expected, there are ", documents.size(), " documents"));
  }
  return DecodeStaticPod(documents.front(), {StaticOrigin::Kind::kFile, file}, node_name, seen);
}

std::unique_ptr<StaticPodSource> NewStaticPodFiles(kube::Loop& loop, kube::WorkerPool& pool, kube::TaskGroup& tasks,
                                                   const std::string& path, const std::string& node_name,
                                                   milliseconds check_frequency) {
  return std::make_unique<DirectoryWatch>(loop, pool, tasks, path, node_name, check_frequency);
}

}  // namespace burstlet::provider
