#include "provider/node_logs.h"

#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <climits>
#include <cstdlib>
#include <memory>
#include <optional>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "kube/async/offload.h"
#include "metrics/status.h"
#include "sandbox/os/safe_path.h"
#include "sandbox/os/subprocess.h"
#include "sandbox/os/unique_fd.h"

namespace burstlet::provider {
namespace {

using kube::NodeLogQuery;
using kube::NodeLogSource;
using sandbox::UniqueFd;
using Clock = std::chrono::steady_clock;

constexpr std::chrono::seconds kTimeLimit{30};  // the kubelet's, for a query as a whole
constexpr std::size_t kLongestList = 4 << 20;   // of the journal's units
constexpr std::size_t kLongestComplaint = 4096;
constexpr unsigned kThreads = 2;

absl::Status OpenError(int error, const std::string& path) {
  if (error == ELOOP || error == ENOTDIR || error == ENAMETOOLONG || error == ENOENT) {
    return absl::NotFoundError(absl::StrCat("log not found: ", path));
  }
  return ErrnoError(error, absl::StrCat("log ", path));
}

absl::StatusOr<std::vector<std::string>> Names(int directory) {
  const int own = fcntl(directory, F_DUPFD_CLOEXEC, 3);
  DIR* stream = own < 0 ? nullptr : fdopendir(own);
  if (stream == nullptr) {
    if (own >= 0) close(own);
    return ErrnoError(errno, "listing a log folder");
  }
  std::vector<std::string> names;
  while (const dirent* entry = readdir(stream)) {
    std::string name = entry->d_name;
    if (name == "." || name == "..") continue;
    struct stat info{};
    bool folder = entry->d_type == DT_DIR;
    if (entry->d_type == DT_UNKNOWN && fstatat(own, entry->d_name, &info, AT_SYMLINK_NOFOLLOW) == 0) {
      folder = S_ISDIR(info.st_mode);
    }
    names.push_back(folder ? name + "/" : name);
  }
  closedir(stream);
  std::sort(names.begin(), names.end());
  return names;
}

std::string Journalctl() {
  for (const char* path : {"/usr/bin/journalctl", "/bin/journalctl", "/usr/local/bin/journalctl"}) {
    if (access(path, X_OK) == 0) return path;
  }
  return "";
}

/// One run of journalctl, killed when it goes out of scope before its end.
class Journal {
 public:
  static absl::StatusOr<std::unique_ptr<Journal>> Start(const std::string& program, std::vector<std::string> arguments,
                                                        int output) {
    auto journal = std::unique_ptr<Journal>(new Journal);
    journal->complaints_.Reset(memfd_create("journalctl", MFD_CLOEXEC));
    if (!journal->complaints_.valid()) return ErrnoError(errno, "memfd_create");
    sandbox::SubprocessSpec spec;
    spec.path = program;
    arguments.insert(arguments.begin(), program);
    spec.args = std::move(arguments);
    spec.env = {"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C.UTF-8"};
    spec.fds = {{1, output}, {2, journal->complaints_.get()}};
    ASSIGN_OR_RETURN(journal->process_, sandbox::Spawn(spec));
    return journal;
  }
  ~Journal() {
    if (!process_.pidfd.valid() || status_.has_value()) return;
    kill(-process_.pid, SIGKILL);
    Reap();
  }
  int pidfd() const { return process_.pidfd.get(); }
  /// Its exit status, once it has ended; it is killed at the limit.
  int WaitUntil(Clock::time_point limit) {
    pollfd ended{pidfd(), POLLIN, 0};
    while (Wait(&ended, 1, limit)) {
      if (ended.revents != 0) break;
    }
    if (ended.revents == 0) kill(-process_.pid, SIGKILL);
    Reap();
    return *status_;
  }
  std::string Complaint() const {
    std::string text(kLongestComplaint, '\0');
    const ssize_t count = pread(complaints_.get(), text.data(), text.size(), 0);
    text.resize(count > 0 ? static_cast<std::size_t>(count) : 0);
    return std::string(absl::StripAsciiWhitespace(text));
  }
  /// False once the limit has passed.
  static bool Wait(pollfd* fds, nfds_t count, Clock::time_point limit) {
    const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(limit - Clock::now()).count();
    if (left <= 0) return false;
    poll(fds, count, static_cast<int>(left) + 1);
    return true;
  }

 private:
  void Reap() {
    siginfo_t info{};
    while (waitid(static_cast<idtype_t>(P_PIDFD), static_cast<id_t>(pidfd()), &info, WEXITED) != 0 && errno == EINTR) {
    }
    status_ = info.si_code == CLD_EXITED ? info.si_status : 128 + info.si_status;
  }

  sandbox::Subprocess process_;
  UniqueFd complaints_;
  std::optional<int> status_;
};

struct Ends {
  UniqueFd ours, theirs;
};

/// A socket pair: unlike a pipe it can be written to without a signal when its reader has gone.
absl::StatusOr<Ends> MakeEnds() {
  int pair[2];
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) != 0) return ErrnoError(errno, "socketpair");
  return Ends{UniqueFd(pair[0]), UniqueFd(pair[1])};
}

/// False when the reader has gone or does not take it in time.
bool Write(int fd, std::string_view data, Clock::time_point limit) {
  while (!data.empty()) {
    const ssize_t count = send(fd, data.data(), data.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
    if (count > 0) {
      data.remove_prefix(static_cast<std::size_t>(count));
    } else if (errno == EAGAIN) {
      pollfd room{fd, POLLOUT, 0};
      if (!Journal::Wait(&room, 1, limit)) return false;
    } else if (errno != EINTR) {
      return false;
    }
  }
  return true;
}

bool CopyFile(int from, int to, Clock::time_point limit) {
  std::array<char, 65536> buffer;
  ssize_t count = 0;
  while ((count = read(from, buffer.data(), buffer.size())) > 0) {
    if (!Write(to, std::string_view(buffer.data(), static_cast<std::size_t>(count)), limit)) return false;
  }
  return count == 0;
}

/// The units that the journal has anything of. Nothing when it cannot be asked.
std::vector<std::string> KnownUnits(const std::string& program, Clock::time_point limit) {
  auto ends = MakeEnds();
  if (!ends.ok()) return {};
  auto journal = Journal::Start(program, {"--quiet", "--field=_SYSTEMD_UNIT"}, ends->theirs.get());
  ends->theirs.Reset();
  if (!journal.ok()) return {};
  std::string text;
  std::array<char, 16384> buffer;
  for (;;) {
    pollfd readable{ends->ours.get(), POLLIN, 0};
    if (!Journal::Wait(&readable, 1, limit)) return {};
    if (readable.revents == 0) continue;
    const ssize_t count = read(ends->ours.get(), buffer.data(), buffer.size());
    if (count <= 0 || text.size() > kLongestList) break;
    text.append(buffer.data(), static_cast<std::size_t>(count));
  }
  if ((*journal)->WaitUntil(limit) != 0) return {};
  return absl::StrSplit(text, '\n', absl::SkipEmpty());
}

std::vector<std::string> JournalArguments(const NodeLogQuery& query, const std::vector<std::string>& services) {
  std::vector<std::string> arguments{"--utc", "--no-pager", "--output=short-precise"};
  // Seconds since 1970: a date would be read in the host's time zone.
  if (query.since_time.has_value()) arguments.push_back(absl::StrCat("--since=@", *query.since_time));
  if (query.until_time.has_value()) arguments.push_back(absl::StrCat("--until=@", *query.until_time));
  if (query.tail_lines.has_value()) arguments.push_back(absl::StrCat("--lines=", *query.tail_lines));
  for (const std::string& service : services) arguments.push_back(absl::StrCat("--unit=", service));
  if (!query.pattern.empty()) arguments.push_back(absl::StrCat("--grep=", query.pattern));
  if (query.boot.has_value()) arguments.push_back(absl::StrCat("--boot=", *query.boot));
  return arguments;
}

/// NAME, NAME.log or NAME/NAME.log.
absl::StatusOr<NodeLogSource> OpenServiceFile(const std::string& folder, const std::string& service) {
  for (const std::string& path :
       {service, absl::StrCat(service, ".log"), absl::StrCat(service, "/", service, ".log")}) {
    auto source = OpenNodeLog(folder, path);
    if (source.ok() && source->directory) continue;
    if (source.ok() || !absl::IsNotFound(source.status())) return source;
  }
  return absl::NotFoundError(absl::StrCat("log not found for ", service));
}

/// One query, on a thread of its own kind: its output goes through a socket that the client's connection reads.
class QueryRun {
 public:
  using Reply = std::function<void(absl::StatusOr<NodeLogSource>)>;

  QueryRun(const std::string& folder, const std::string& program, const NodeLogQuery& query)
      : folder_(folder), program_(program), query_(query), limit_(Clock::now() + kTimeLimit) {}

  void Run(const Reply& reply) {
    SplitServices();
    if (journal_.empty() && query_.has_options()) return reply(OptionsError());
    if (journal_.empty() && files_.size() == 1) return reply(OpenServiceFile(folder_, files_[0]));
    auto ends = MakeEnds();
    if (!ends.ok()) return reply(ends.status());
    std::unique_ptr<Journal> journal;
    if (!journal_.empty()) {
      auto started = Journal::Start(program_, JournalArguments(query_, journal_), ends->theirs.get());
      if (!started.ok()) return reply(started.status());
      journal = *std::move(started);
      const absl::Status begun = AwaitBegin(*journal, ends->ours.get());
      if (!begun.ok()) return reply(begun);
    }
    NodeLogSource source;
    source.fd = ends->ours.Release();
    reply(std::move(source));
    if (journal != nullptr) journal->WaitUntil(limit_);
    WriteFiles(ends->theirs.get());
  }

 private:
  void SplitServices() {
    const std::vector<std::string> units = program_.empty() ? std::vector<std::string>() : KnownUnits(program_, limit_);
    for (const std::string& service : query_.services) {
      const bool known = std::any_of(units.begin(), units.end(), [&](const std::string& unit) {
        return unit == service || unit == service + ".service";
      });
      (known ? journal_ : files_).push_back(service);
    }
  }

  absl::Status OptionsError() const {
    return absl::OutOfRangeError(absl::StrCat("query: the logs of ", absl::StrJoin(files_, ", "),
                                              " are files, for which there are no options: ask without them"));
  }

  /// Until there is something to send. What journalctl refuses (a pattern, a boot) it refuses before that.
  absl::Status AwaitBegin(Journal& journal, int output) const {
    std::array<pollfd, 2> polled{{{output, POLLIN, 0}, {journal.pidfd(), POLLIN, 0}}};
    while (polled[0].revents == 0 && polled[1].revents == 0) {
      if (!Journal::Wait(polled.data(), polled.size(), limit_)) {
        return absl::DeadlineExceededError("the journal did not answer in time");
      }
    }
    if (polled[0].revents != 0) return absl::OkStatus();
    const int status = journal.WaitUntil(limit_);
    const std::string complaint = journal.Complaint();
    if (status == 0 || complaint.empty()) return absl::OkStatus();
    return absl::OutOfRangeError(absl::StrCat("journalctl: ", complaint));
  }

  void WriteFiles(int output) const {
    if (files_.empty()) return;
    if (query_.has_options()) {
      Write(output, absl::StrCat("\n", OptionsError().message(), "\n"), limit_);
      return;
    }
    for (const std::string& service : files_) {
      auto source = OpenServiceFile(folder_, service);
      if (!source.ok()) {
        if (!Write(output, absl::StrCat("\n", source.status().message(), "\n"), limit_)) return;
        continue;
      }
      const UniqueFd file(source->fd);
      if (!CopyFile(file.get(), output, limit_)) return;
    }
  }

  const std::string& folder_;
  const std::string& program_;
  const NodeLogQuery& query_;
  const Clock::time_point limit_;
  std::vector<std::string> journal_;  // services whose log is the journal's
  std::vector<std::string> files_;
};

}  // namespace

absl::StatusOr<NodeLogSource> OpenNodeLog(const std::string& folder, const std::string& path) {
  if (path.find('\0') != std::string::npos) return absl::InvalidArgumentError("a path without NUL bytes is needed");
  for (const absl::string_view part : absl::StrSplit(path, '/')) {
    if (part == "..") return absl::InvalidArgumentError("invalid URL path: it has \"..\" in it");
  }
  const std::unique_ptr<char, decltype(&std::free)> real(realpath(folder.c_str(), nullptr), &std::free);
  if (real == nullptr) return OpenError(errno, folder);
  const UniqueFd host(open("/", O_PATH | O_CLOEXEC));
  // First found and judged, then opened: a device or a pipe must not be.
  auto place = sandbox::OpenInRoot(host.get(), absl::StrCat(real.get(), "/", path), O_PATH | O_CLOEXEC);
  if (!place.ok()) return OpenError(ErrnoOf(place.status()), path);
  const std::string handle = absl::StrCat("/proc/self/fd/", place->get());
  std::array<char, PATH_MAX> found;
  const ssize_t length = readlink(handle.c_str(), found.data(), found.size());
  if (length < 0) return OpenError(errno, path);
  const std::string_view where(found.data(), static_cast<std::size_t>(length));
  const std::string below = absl::StrCat(real.get(), "/");
  if (where != real.get() && where.substr(0, below.size()) != below) {
    return absl::PermissionDeniedError(absl::StrCat("log ", path, " leads out of ", folder));
  }
  struct stat info{};
  if (fstat(place->get(), &info) != 0) return OpenError(errno, path);
  if (!S_ISREG(info.st_mode) && !S_ISDIR(info.st_mode)) {
    return absl::PermissionDeniedError(absl::StrCat("log ", path, " is neither a file nor a folder"));
  }
  UniqueFd fd(open(handle.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC | O_NOCTTY));
  if (!fd.valid()) return OpenError(errno, path);
  NodeLogSource source;
  source.directory = S_ISDIR(info.st_mode);
  if (source.directory) {
    ASSIGN_OR_RETURN(source.names, Names(fd.get()));
  } else {
    source.size = info.st_size;
    source.fd = fd.Release();
  }
  return source;
}

kube::NodeLogs MakeNodeLogs(std::string folder, std::string journalctl) {
  struct State {
    std::string folder;
    std::string journalctl;
    kube::WorkerPool pool{kThreads};
  };
  const auto state = std::make_shared<State>();
  state->folder = std::move(folder);
  state->journalctl = journalctl.empty() ? Journalctl() : std::move(journalctl);
  return [state](kube::NodeLogRequest request, QueryRun::Reply reply) {
    state->pool.Submit([shared = state.get(), request = std::move(request), reply = std::move(reply)] {
      if (!request.query.has_value()) return reply(OpenNodeLog(shared->folder, request.path));
      if (!request.query->file.empty()) return reply(OpenNodeLog(shared->folder, request.query->file));
      QueryRun(shared->folder, shared->journalctl, *request.query).Run(reply);
    });
  };
}

}  // namespace burstlet::provider
