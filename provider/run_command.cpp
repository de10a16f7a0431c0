#include "provider/run_command.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "metrics/status.h"
#include "sandbox/os/unique_fd.h"

namespace burstlet::provider {
namespace {

constexpr std::size_t kMostOutput = 16 << 20;
constexpr std::chrono::minutes kLongest{10};

/// Takes what is there; the descriptor is closed at its end.
void Drain(sandbox::UniqueFd& fd, std::string& out) {
  char buffer[16 << 10];
  for (;;) {
    const ssize_t got = read(fd.get(), buffer, sizeof(buffer));
    if (got > 0) {
      out.append(buffer, static_cast<std::size_t>(got));
      if (out.size() > kMostOutput) return;
      continue;
    }
    if (got < 0 && errno == EINTR) continue;
    if (got < 0 && errno == EAGAIN) return;
    fd.Reset();
    return;
  }
}

}  // namespace

absl::StatusOr<std::string> RunCommand(const std::shared_ptr<SandboxHandle>& sandbox, const std::string& container_id,
                                       const std::vector<std::string>& command) {
  sandbox::ExecSpec spec;
  spec.args = command;
  ASSIGN_OR_RETURN(const sandbox::ExecStreams streams,
                   sandbox->With([&](sandbox::Sandbox& inside) { return inside.Exec(container_id, spec); }));
  sandbox::UniqueFd in(streams.stdin_fd);
  sandbox::UniqueFd out(streams.stdout_fd);
  sandbox::UniqueFd err(streams.stderr_fd);
  sandbox::UniqueFd ended(streams.exit_fd);
  std::string stdout_text;
  std::string stderr_text;
  const auto deadline = std::chrono::steady_clock::now() + kLongest;
  // Its end is that of the command; children that keep the pipes open are not waited for.
  bool running = true;
  while (running) {
    const auto left =
        std::chrono::duration_cast<std::chrono::milliseconds>(deadline - std::chrono::steady_clock::now());
    if (left.count() <= 0) {
      if (streams.pid > 0) kill(streams.pid, SIGKILL);
      return absl::DeadlineExceededError("the command has not ended within ten minutes");
    }
    pollfd waiting[] = {{out.get(), POLLIN, 0}, {err.get(), POLLIN, 0}, {ended.get(), POLLIN, 0}};
    if (poll(waiting, 3, static_cast<int>(left.count())) < 0 && errno != EINTR) return ErrnoError(errno, "poll");
    if (waiting[2].revents != 0) running = false;
    if (out.valid()) Drain(out, stdout_text);
    if (err.valid()) Drain(err, stderr_text);
    if (stdout_text.size() + stderr_text.size() > kMostOutput) {
      if (streams.pid > 0) kill(streams.pid, SIGKILL);
      return absl::ResourceExhaustedError("the command wrote more than 16 MiB");
    }
  }
  sandbox::ExecExit exit;
  if (read(ended.get(), &exit, sizeof(exit)) != static_cast<ssize_t>(sizeof(exit)))
    return absl::UnavailableError("the sandbox is gone");
  if (exit.exit_code != 0) {
    return absl::InternalError(
        absl::StrCat("command '", absl::StrJoin(command, " "), "' exited with ", exit.exit_code, ": ", stderr_text));
  }
  return stdout_text + stderr_text;
}

}  // namespace burstlet::provider
