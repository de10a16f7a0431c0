#include "provider/cli/exec_client.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <termios.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <optional>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "cache/json.h"
#include "metrics/status.h"
#include "provider/cli/client_frames.h"

namespace burstlet::provider {
namespace {

constexpr char kProtocol[] = "v5.channel.k8s.io";  // the one whose stdin can end
constexpr std::size_t kLongestStatus = 1 << 20;
constexpr std::size_t kReadBytes = 32 << 10;

enum Channel : char { kStdin = 0, kStdout = 1, kStderr = 2, kError = 3, kResize = 4 };

/// Raw for as long as it lives: each key goes to the command, Ctrl-C too.
class RawTerminal {
 public:
  explicit RawTerminal(bool wanted) {
    if (!wanted || tcgetattr(STDIN_FILENO, &before_) != 0) return;
    termios raw = before_;
    cfmakeraw(&raw);
    active_ = tcsetattr(STDIN_FILENO, TCSANOW, &raw) == 0;
  }
  ~RawTerminal() {
    if (active_) tcsetattr(STDIN_FILENO, TCSANOW, &before_);
  }
  RawTerminal(const RawTerminal&) = delete;
  RawTerminal& operator=(const RawTerminal&) = delete;

 private:
  termios before_{};
  bool active_ = false;
};

class Session {
 public:
  Session(LocalAgent::WebSocket socket, const ExecOptions& options)
      : socket_(std::move(socket.fd)), first_(std::move(socket.input)), options_(options) {
    fcntl(socket_.get(), F_SETFL, O_NONBLOCK);
  }

  absl::StatusOr<int> Run() {
    const bool terminal = options_.tty && isatty(STDIN_FILENO) != 0;
    if (options_.tty) WatchSize();
    const RawTerminal raw(terminal && options_.with_stdin);
    RETURN_IF_ERROR(Take(first_));
    while (!closed_) RETURN_IF_ERROR(Turn());
    if (last_word_.empty()) return absl::UnavailableError("the session ended without a word of the command's end");
    return ExitCodeOf(last_word_);
  }

 private:
  absl::Status Turn() {
    // Input is taken only while nothing waits to be sent: the command's own pace.
    const bool take_input = options_.with_stdin && !input_ended_ && out_.empty();
    std::array<pollfd, 3> polled{{{socket_.get(), static_cast<short>(out_.empty() ? POLLIN : POLLIN | POLLOUT), 0},
                                  {take_input ? STDIN_FILENO : -1, POLLIN, 0},
                                  {sizes_.get(), POLLIN, 0}}};
    if (poll(polled.data(), polled.size(), -1) < 0) {
      return errno == EINTR ? absl::OkStatus() : ErrnoError(errno, "poll");
    }
    if (polled[2].revents != 0) {
      signalfd_siginfo info;
      if (read(sizes_.get(), &info, sizeof info) == sizeof info) SendSize();
    }
    if (polled[1].revents != 0) RETURN_IF_ERROR(ReadInput());
    if ((polled[0].revents & POLLOUT) != 0) RETURN_IF_ERROR(Flush());
    if ((polled[0].revents & ~POLLOUT) != 0) return ReadSocket();
    return absl::OkStatus();
  }

  absl::Status ReadInput() {
    std::array<char, kReadBytes> buffer;
    const ssize_t count = read(STDIN_FILENO, buffer.data() + 1, buffer.size() - 1);
    if (count < 0 && (errno == EINTR || errno == EAGAIN)) return absl::OkStatus();
    if (count <= 0) {
      input_ended_ = true;
      AppendClientFrame(kBinaryFrame, std::string_view("\xff\0", 2), &out_);
    } else {
      buffer[0] = kStdin;
      AppendClientFrame(kBinaryFrame, std::string_view(buffer.data(), static_cast<std::size_t>(count) + 1), &out_);
    }
    return Flush();
  }

  absl::Status Flush() {
    while (!out_.empty()) {
      const ssize_t count = send(socket_.get(), out_.data(), out_.size(), MSG_NOSIGNAL);
      if (count < 0 && errno == EAGAIN) return absl::OkStatus();
      if (count < 0 && errno == EINTR) continue;
      // Its end: what it still said is read first.
      if (count < 0 && (errno == EPIPE || errno == ECONNRESET)) out_.clear();
      if (count < 0 && !out_.empty()) return ErrnoError(errno, "sending to the agent");
      if (count > 0) out_.erase(0, static_cast<std::size_t>(count));
    }
    return absl::OkStatus();
  }

  absl::Status ReadSocket() {
    std::array<char, kReadBytes> buffer;
    const ssize_t count = read(socket_.get(), buffer.data(), buffer.size());
    if (count < 0 && (errno == EINTR || errno == EAGAIN)) return absl::OkStatus();
    if (count < 0) return ErrnoError(errno, "reading from the agent");
    if (count == 0) closed_ = true;
    return Take(std::string_view(buffer.data(), static_cast<std::size_t>(count)));
  }

  absl::Status Take(std::string_view bytes) {
    absl::Status written = absl::OkStatus();
    RETURN_IF_ERROR(frames_.Feed(bytes, [&](std::uint8_t opcode, std::string_view payload) {
      if (opcode == kCloseFrame) {
        closed_ = true;
      } else if (opcode == kPingFrame) {
        AppendClientFrame(kPongFrame, payload, &out_);
      } else if (!payload.empty() && written.ok()) {
        written = TakeChannel(payload[0], payload.substr(1));
      }
    }));
    RETURN_IF_ERROR(written);
    return Flush();
  }

  absl::Status TakeChannel(char channel, std::string_view data) {
    if (channel == kError && last_word_.size() + data.size() <= kLongestStatus) last_word_.append(data);
    if (channel != kStdout && channel != kStderr) return absl::OkStatus();
    const int to = channel == kStdout ? STDOUT_FILENO : STDERR_FILENO;
    while (!data.empty()) {
      const ssize_t count = write(to, data.data(), data.size());
      if (count < 0 && errno == EINTR) continue;
      if (count < 0) return ErrnoError(errno, "writing the command's output");
      data.remove_prefix(static_cast<std::size_t>(count));
    }
    return absl::OkStatus();
  }

  void WatchSize() {
    sigset_t changed;
    sigemptyset(&changed);
    sigaddset(&changed, SIGWINCH);
    sigprocmask(SIG_BLOCK, &changed, nullptr);
    sizes_.Reset(signalfd(-1, &changed, SFD_CLOEXEC | SFD_NONBLOCK));
    SendSize();
  }

  void SendSize() {
    winsize size{};
    const int terminal = isatty(STDIN_FILENO) != 0 ? STDIN_FILENO : STDOUT_FILENO;
    if (ioctl(terminal, TIOCGWINSZ, &size) != 0 || size.ws_col == 0) return;
    AppendClientFrame(
        kBinaryFrame,
        absl::StrCat(std::string(1, kResize), "{\"Width\":", size.ws_col, ",\"Height\":", size.ws_row, "}"), &out_);
  }

  const sandbox::UniqueFd socket_;
  const std::string first_;
  const ExecOptions& options_;
  sandbox::UniqueFd sizes_;
  ServerFrames frames_;
  std::string out_;
  std::string last_word_;
  bool input_ended_ = false;
  bool closed_ = false;
};

}  // namespace

absl::StatusOr<int> ExitCodeOf(const std::string& status_json) {
  ASSIGN_OR_RETURN(const cache::Json status, cache::ParseJson(status_json, kLongestStatus));
  if (status["status"].Text() == "Success") return 0;
  if (status["reason"].Text() == "NonZeroExitCode") {
    for (const cache::Json& cause : status["details"]["causes"].array) {
      int code = 0;
      if (cause["reason"].Text() == "ExitCode" && absl::SimpleAtoi(cause["message"].Text(), &code)) return code;
    }
  }
  return absl::UnknownError(status["message"].Text());
}

absl::StatusOr<int> ExecInPod(const LocalAgent& agent, const ExecOptions& options) {
  std::string target = absl::StrCat("/exec/", PercentEncode(options.name_space), "/", PercentEncode(options.pod), "/",
                                    PercentEncode(options.container), "?output=1", options.tty ? "&tty=1" : "&error=1",
                                    options.with_stdin ? "&input=1" : "");
  for (const std::string& word : options.command) absl::StrAppend(&target, "&command=", PercentEncode(word));
  ASSIGN_OR_RETURN(LocalAgent::WebSocket socket, agent.OpenWebSocket(target, kProtocol));
  return Session(std::move(socket), options).Run();
}

}  // namespace burstlet::provider
