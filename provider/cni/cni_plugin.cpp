#include "provider/cni/cni_plugin.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdlib>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "cache/json.h"
#include "metrics/status.h"
#include "sandbox/os/subprocess.h"
#include "sandbox/os/unique_fd.h"

namespace burstlet::provider {
namespace {

constexpr std::size_t kLongestAnswer = 1 << 20;
constexpr std::size_t kLongestMessage = 4096;
constexpr const char* kUsualPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

using Clock = std::chrono::steady_clock;

/// A pipe of which the plugin gets one end, and what came out of it.
struct Outlet {
  sandbox::UniqueFd ours, theirs;
  std::string text;

  absl::Status Open() {
    int ends[2];
    if (pipe2(ends, O_CLOEXEC | O_NONBLOCK) != 0) return ErrnoError(errno, "pipe");
    ours = sandbox::UniqueFd(ends[0]);
    theirs = sandbox::UniqueFd(ends[1]);
    // Only our end is non-blocking: plugins don't expect theirs to be.
    if (fcntl(theirs.get(), F_SETFL, 0) != 0) return ErrnoError(errno, "pipe");
    return absl::OkStatus();
  }

  /// Takes what is there; false at the end of file.
  bool Drain() {
    std::array<char, 16384> buffer;
    for (;;) {
      const ssize_t got = read(ours.get(), buffer.data(), buffer.size());
      if (got < 0 && errno == EINTR) continue;
      if (got <= 0) return got < 0;
      if (text.size() <= kLongestAnswer) text.append(buffer.data(), static_cast<std::size_t>(got));
    }
  }
};

absl::StatusOr<sandbox::UniqueFd> MemoryFile(const std::string& content) {
  sandbox::UniqueFd file(memfd_create("cni-config", MFD_CLOEXEC));
  if (!file.valid()) return ErrnoError(errno, "memfd_create");
  for (std::size_t at = 0; at < content.size();) {
    const ssize_t put = write(file.get(), content.data() + at, content.size() - at);
    if (put < 0 && errno != EINTR) return ErrnoError(errno, "writing a plugin's configuration");
    if (put > 0) at += static_cast<std::size_t>(put);
  }
  if (lseek(file.get(), 0, SEEK_SET) != 0) return ErrnoError(errno, "writing a plugin's configuration");
  return file;
}

/// Reads both outlets until the plugin has ended; a plugin that outstays its time is killed with all its helpers.
absl::StatusOr<int> WaitForEnd(const sandbox::Subprocess& process, Outlet& out, Outlet& err, Clock::time_point limit) {
  std::array<pollfd, 3> polled{
      {{process.pidfd.get(), POLLIN, 0}, {out.ours.get(), POLLIN, 0}, {err.ours.get(), POLLIN, 0}}};
  bool late = false;
  for (;;) {
    const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(limit - Clock::now()).count();
    if (!late && left <= 0) {
      late = true;
      kill(-process.pid, SIGKILL);  // its process group: Spawn made it the leader of a session
    }
    const int ready = poll(polled.data(), polled.size(), late ? -1 : static_cast<int>(std::min<long>(left + 1, 60000)));
    if (ready < 0 && errno != EINTR) return ErrnoError(errno, "poll");
    if (ready <= 0) continue;
    if (polled[1].revents != 0 && !out.Drain()) polled[1].fd = -1;
    if (polled[2].revents != 0 && !err.Drain()) polled[2].fd = -1;
    if (polled[0].revents == 0) continue;
    // Whatever it left behind may hold the pipes open; its own answer is whole by now.
    if (polled[1].fd >= 0) out.Drain();
    if (polled[2].fd >= 0) err.Drain();
    siginfo_t info{};
    if (waitid(static_cast<idtype_t>(P_PIDFD), static_cast<id_t>(process.pidfd.get()), &info, WEXITED) != 0) {
      return ErrnoError(errno, "waitid");
    }
    if (late) return absl::DeadlineExceededError("it was still running at its time limit and has been killed");
    return info.si_code == CLD_EXITED ? info.si_status : 128 + info.si_status;
  }
}

/// What went wrong, by the plugin's own error object where it printed one.
std::string Complaint(int status, const std::string& out, const std::string& err) {
  const auto json = cache::ParseJson(out, kLongestAnswer);
  if (json.ok() && !(*json)["msg"].Text().empty()) {
    const std::string& details = (*json)["details"].Text();
    return absl::StrCat((*json)["msg"].Text(), details.empty() ? "" : "; ", details).substr(0, kLongestMessage);
  }
  std::string said(absl::StripAsciiWhitespace(err.empty() ? out : err));
  if (said.empty()) return absl::StrCat("it ended with status ", status, " and said nothing");
  return absl::StrCat("it ended with status ", status, ": ", said.substr(0, kLongestMessage));
}

std::string FindProgram(const std::vector<std::string>& directories, const std::string& type) {
  for (const std::string& directory : directories) {
    std::string path = absl::StrCat(directory, "/", type);
    if (access(path.c_str(), X_OK) == 0) return path;
  }
  return "";
}

std::vector<std::string> Environment(const CniCall& call, const std::vector<std::string>& directories) {
  const char* path = std::getenv("PATH");
  return {absl::StrCat("PATH=", path != nullptr ? path : kUsualPath),
          absl::StrCat("CNI_COMMAND=", call.command),
          absl::StrCat("CNI_CONTAINERID=", call.container_id),
          absl::StrCat("CNI_NETNS=", call.netns),
          absl::StrCat("CNI_IFNAME=", call.interface),
          absl::StrCat("CNI_ARGS=", call.args),
          absl::StrCat("CNI_PATH=", absl::StrJoin(directories, ":"))};
}

}  // namespace

absl::StatusOr<std::string> CniRunner::Run(const CniCall& call) const {
  const std::string program = FindProgram(directories, call.type);
  if (program.empty()) {
    return absl::NotFoundError(
        absl::StrCat("failed to find plugin \"", call.type, "\" in path [", absl::StrJoin(directories, " "), "]"));
  }
  const std::string failed =
      absl::StrCat("plugin type=\"", call.type, "\" failed (", absl::AsciiStrToLower(call.command), "): ");
  ASSIGN_OR_RETURN(const sandbox::UniqueFd config, MemoryFile(call.config));
  Outlet out, err;
  RETURN_IF_ERROR(out.Open());
  RETURN_IF_ERROR(err.Open());
  sandbox::SubprocessSpec spec;
  spec.path = program;
  spec.args = {program};
  spec.env = Environment(call, directories);
  spec.fds = {{0, config.get()}, {1, out.theirs.get()}, {2, err.theirs.get()}};
  const absl::StatusOr<sandbox::Subprocess> process = sandbox::Spawn(spec);
  if (!process.ok()) return Annotate(process.status(), failed);
  out.theirs.Reset();
  err.theirs.Reset();
  const absl::StatusOr<int> status = WaitForEnd(*process, out, err, Clock::now() + time_limit);
  if (!status.ok()) return Annotate(status.status(), failed);
  if (out.text.size() > kLongestAnswer)
    return absl::ResourceExhaustedError(absl::StrCat(failed, "its answer is too long"));
  if (*status != 0) return absl::UnknownError(absl::StrCat(failed, Complaint(*status, out.text, err.text)));
  return out.text;
}

}  // namespace burstlet::provider
