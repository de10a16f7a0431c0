#include "provider/prober/exec_runner.h"

#include <fcntl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <boost/asio/buffer.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <utility>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "kube/async/signal_event.h"
#include "sandbox/os/unique_fd.h"

namespace burstlet::provider {
namespace {

using boost::asio::posix::stream_descriptor;

/// A command that has been started. Shared with the reads in flight.
struct Command : std::enable_shared_from_this<Command> {
  explicit Command(kube::Loop& loop) : out(loop.context()), err(loop.context()), exit(loop.context()), done(loop) {}

  bool Watch(const sandbox::ExecStreams& streams) {
    if (streams.stdin_fd >= 0) close(streams.stdin_fd);
    bool ok = Assign(out, streams.stdout_fd);
    ok = Assign(err, streams.stderr_fd) && ok;
    ok = Assign(exit, streams.exit_fd) && ok;
    // For the kill at a time-out: a number might by then be somebody else's.
    if (streams.pid > 0) process = sandbox::UniqueFd(static_cast<int>(syscall(SYS_pidfd_open, streams.pid, 0)));
    if (!ok) return false;
    Read(out, out_buffer);
    Read(err, err_buffer);
    WaitForExit();
    return true;
  }

  void Close() {
    closed = true;
    boost::system::error_code ignored;
    out.close(ignored);
    err.close(ignored);
    exit.close(ignored);
  }

  void Kill() {
    if (process.valid()) syscall(SYS_pidfd_send_signal, process.get(), SIGKILL, nullptr, 0);
  }

  stream_descriptor out;
  stream_descriptor err;
  stream_descriptor exit;
  kube::SignalEvent done;
  sandbox::UniqueFd process;
  std::string output;
  bool ended = false;  // it told how it ended
  bool lost = false;   // the sandbox went with it
  sandbox::ExecExit result;
  bool closed = false;

 private:
  static bool Assign(stream_descriptor& descriptor, int fd) {
    if (fd < 0) return false;
    boost::system::error_code error;
    descriptor.assign(fd, error);
    if (error) close(fd);
    return !error;
  }

  void Keep(const char* data, std::size_t size) {
    output.append(data, std::min(size, kMaxProbeOutput - output.size()));
  }

  void Read(stream_descriptor& from, std::array<char, 2048>& buffer) {
    auto self = shared_from_this();
    from.async_read_some(boost::asio::buffer(buffer),
                         [self, &from, &buffer](const boost::system::error_code& error, std::size_t size) {
                           if (error || self->closed) return;
                           self->Keep(buffer.data(), size);
                           self->Read(from, buffer);
                         });
  }

  /// What was written before the exit is in the pipes by now. A child that keeps them open is not waited for.
  void Drain(stream_descriptor& from) {
    std::array<char, 2048> buffer;
    while (from.is_open() && output.size() < kMaxProbeOutput) {
      const ssize_t size = read(from.native_handle(), buffer.data(), buffer.size());
      if (size <= 0) return;
      Keep(buffer.data(), static_cast<std::size_t>(size));
    }
  }

  void WaitForExit() {
    auto self = shared_from_this();
    exit.async_wait(stream_descriptor::wait_read, [self](const boost::system::error_code& error) {
      if (error || self->closed) return;
      const ssize_t size = read(self->exit.native_handle(), &self->result, sizeof(self->result));
      if (size < 0 && (errno == EAGAIN || errno == EINTR)) return self->WaitForExit();
      self->ended = size == static_cast<ssize_t>(sizeof(self->result));
      self->lost = !self->ended;
      self->Drain(self->out);
      self->Drain(self->err);
      self->done.Set();
    });
  }

  std::array<char, 2048> out_buffer;
  std::array<char, 2048> err_buffer;
};

}  // namespace

kube::Task<absl::StatusOr<ExecAnswer>> RunCommand(kube::Loop& loop, kube::WorkerPool& pool,
                                                  std::shared_ptr<SandboxHandle> sandbox, std::string container_id,
                                                  std::vector<std::string> command, std::shared_ptr<ProbeGuard> guard) {
  auto start = [sandbox, container_id, command] {
    sandbox::ExecSpec spec;
    spec.args = command;
    return sandbox->With([&](sandbox::Sandbox& s) { return s.Exec(container_id, spec); });
  };
  auto streams = co_await kube::Offload(loop, pool, std::move(start));
  if (!streams.ok()) co_return streams.status();
  auto running = std::make_shared<Command>(loop);
  if (!running->Watch(*streams)) {
    running->Kill();
    running->Close();
    co_return absl::InternalError("the command's streams cannot be watched");
  }
  guard->OnEnd([running] { running->done.Set(); });
  co_await running->done.Wait();
  guard->OnEnd({});
  if (!running->ended && !running->lost) running->Kill();
  running->Close();
  if (running->ended) {
    co_return ExecAnswer{running->result.exit_code, running->output};
  }
  if (running->lost) co_return absl::UnavailableError("the container ended");
  if (guard->timed_out()) co_return absl::DeadlineExceededError("command timed out");
  co_return absl::CancelledError("the command was given up");
}

kube::Task<ProbeOutcome> RunExecProbe(kube::Loop& loop, kube::WorkerPool& pool, std::shared_ptr<SandboxHandle> sandbox,
                                      std::string container_id, std::vector<std::string> command,
                                      std::chrono::seconds timeout, std::shared_ptr<ProbeGuard> guard) {
  auto answer = co_await RunCommand(loop, pool, std::move(sandbox), std::move(container_id), command, guard);
  if (answer.ok()) {
    co_return ProbeOutcome{answer->exit_code == 0 ? ProbeResult::kSuccess : ProbeResult::kFailure, answer->output};
  }
  if (absl::IsDeadlineExceeded(answer.status())) {
    const std::string line = absl::CEscape(absl::StrJoin(command, " "));
    co_return ProbeOutcome{ProbeResult::kFailure,
                           absl::StrCat("command timed out: \"", line, "\" timed out after ", timeout.count(), "s")};
  }
  co_return ProbeOutcome{ProbeResult::kError, std::string(answer.status().message())};
}

}  // namespace burstlet::provider
