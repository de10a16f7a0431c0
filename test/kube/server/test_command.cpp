#include "test/kube/server/test_command.h"

#include <fcntl.h>
#include <pty.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <mutex>
#include <thread>
#include <utility>
#include <vector>

namespace burstlet::kube::test {
namespace {

struct Pipe {
  int read = -1;
  int write = -1;
};

Pipe MakePipe() {
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) != 0) return {};
  return {ends[0], ends[1]};
}

[[noreturn]] void Become(const std::vector<std::string>& command) {
  signal(SIGPIPE, SIG_DFL);
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, nullptr);
  std::vector<char*> args;
  for (const std::string& word : command) args.push_back(const_cast<char*>(word.c_str()));
  args.push_back(nullptr);
  execvp(args[0], args.data());
  _exit(127);
}

// Threads that wait for a process each; joined when the test program ends, so that none outlives what it uses.
class Waiters {
 public:
  ~Waiters() {
    for (std::thread& thread : threads_) thread.join();
  }
  void Add(std::thread thread) {
    const std::lock_guard lock(mutex_);
    threads_.push_back(std::move(thread));
  }

 private:
  std::mutex mutex_;
  std::vector<std::thread> threads_;
};

Waiters& AllWaiters() {
  static Waiters waiters;
  return waiters;
}

// Tells the end of `pid` the way a sandbox does.
int ExitFd(pid_t pid) {
  const Pipe exit = MakePipe();
  AllWaiters().Add(std::thread([pid, exit] {
    int status = 0;
    waitpid(pid, &status, 0);
    const int values[2] = {WIFEXITED(status) ? WEXITSTATUS(status) : 0, WIFSIGNALED(status) ? WTERMSIG(status) : 0};
    [[maybe_unused]] const ssize_t written = write(exit.write, values, sizeof values);
    close(exit.write);
  }));
  return exit.read;
}

ExecSession WithTerminal(const ExecRequest& request, pid_t* pid) {
  ExecSession session;
  *pid = forkpty(&session.master_fd, nullptr, nullptr, nullptr);
  if (*pid == 0) Become(request.command);
  fcntl(session.master_fd, F_SETFD, FD_CLOEXEC);
  return session;
}

ExecSession WithPipes(const ExecRequest& request, pid_t* pid) {
  const Pipe in = MakePipe(), out = MakePipe(), err = MakePipe();
  *pid = fork();
  setpgid(*pid, *pid);  // by both, so that it is done whoever runs first
  if (*pid == 0) {
    dup2(request.want_stdin ? in.read : open("/dev/null", O_RDONLY), 0);
    dup2(request.want_stdout ? out.write : open("/dev/null", O_WRONLY), 1);
    dup2(request.want_stderr ? err.write : open("/dev/null", O_WRONLY), 2);
    Become(request.command);
  }
  close(in.read);
  close(out.write);
  close(err.write);
  ExecSession session;
  session.stdin_fd = in.write;
  session.stdout_fd = out.read;
  session.stderr_fd = err.read;
  if (!request.want_stdin) {
    close(in.write);
    session.stdin_fd = -1;
  }
  return session;
}

}  // namespace

std::function<void(ExecRequest, Reply<ExecSession>)> LocalCommands(std::shared_ptr<std::atomic<int>> abandoned) {
  return [abandoned](const ExecRequest& request, const Reply<ExecSession>& reply) {
    if (request.container.pod == "absent") {
      reply(absl::NotFoundError("pod does not exist"));
      return;
    }
    if (request.command[0] == "no-such-program") {
      reply(absl::InternalError("exec: \"no-such-program\": executable file not found in $PATH"));
      return;
    }
    pid_t pid = 0;
    ExecSession session = request.tty ? WithTerminal(request, &pid) : WithPipes(request, &pid);
    session.exit_fd = ExitFd(pid);
    session.abandon = [pid, abandoned] {
      ++*abandoned;
      kill(-pid, SIGKILL);  // the shell and what it has started
    };
    reply(session);
  };
}

std::string ClientFrame(unsigned opcode, const std::string& payload, bool fin) {
  std::string frame(1, static_cast<char>((fin ? 0x80U : 0U) | opcode));
  const std::size_t size = payload.size();
  if (size < 126) {
    frame.push_back(static_cast<char>(0x80U | size));
  } else {
    const int bytes = size <= 0xFFFF ? 2 : 8;
    frame.push_back(static_cast<char>(bytes == 2 ? 0xFE : 0xFF));
    for (int i = bytes - 1; i >= 0; --i) frame.push_back(static_cast<char>(size >> (8 * i) & 0xFF));
  }
  const unsigned char mask[4] = {0x12, 0x34, 0x56, 0x78};
  for (const unsigned char byte : mask) frame.push_back(static_cast<char>(byte));
  for (std::size_t i = 0; i < size; ++i) {
    frame.push_back(static_cast<char>(static_cast<unsigned char>(payload[i]) ^ mask[i % 4]));
  }
  return frame;
}

CommandSocket::CommandSocket(const TestNode& node, const std::string& target, const std::string& protocol)
    : client_(node.port(), node.admin()) {
  client_.Send("GET " + target +
               " HTTP/1.1\r\nHost: node\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
               "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n" +
               (protocol.empty() ? "" : "Sec-WebSocket-Protocol: " + protocol + "\r\n") + "\r\n");
  head_ = client_.ReadHead();
}

std::string CommandSocket::chosen() const {
  const auto it = head_.headers.find("sec-websocket-protocol");
  return it == head_.headers.end() ? "" : it->second;
}

bool CommandSocket::Send(int channel, const std::string& data) {
  return client_.Send(ClientFrame(2, std::string(1, static_cast<char>(channel)) + data));
}

std::optional<ServerFrame> CommandSocket::NextFrame() {
  const std::string head = client_.ReceiveExactly(2);
  if (head.size() < 2) return std::nullopt;
  ServerFrame frame;
  frame.opcode = static_cast<unsigned char>(head[0]) & 15U;
  std::size_t size = static_cast<unsigned char>(head[1]) & 0x7FU;
  if (size >= 126) {
    const std::string more = client_.ReceiveExactly(size == 126 ? 2 : 8);
    size = 0;
    for (const char c : more) size = size << 8 | static_cast<unsigned char>(c);
  }
  frame.payload = client_.ReceiveExactly(size);
  if (frame.payload.size() < size) return std::nullopt;
  return frame;
}

bool CommandSocket::Take(const ServerFrame& frame) {
  if (frame.opcode == 8) {
    client_.Send(ClientFrame(8, frame.payload));
    return true;
  }
  if (frame.opcode <= 2 && !frame.payload.empty() && frame.payload[0] >= 0 && frame.payload[0] < 5) {
    channels_[static_cast<std::size_t>(frame.payload[0])].append(frame.payload, 1, std::string::npos);
  }
  return false;
}

bool CommandSocket::ReadToClose() {
  while (const std::optional<ServerFrame> frame = NextFrame()) {
    if (Take(*frame)) return true;
  }
  return false;
}

bool CommandSocket::ReadUntil(int number, const std::string& text) {
  while (channel(number).find(text) == std::string::npos) {
    const std::optional<ServerFrame> frame = NextFrame();
    if (!frame.has_value() || Take(*frame)) return channel(number).find(text) != std::string::npos;
  }
  return true;
}

std::string ExecTarget(const std::string& script, const std::string& options) {
  std::string encoded;
  static constexpr char kHex[] = "0123456789ABCDEF";
  for (const char c : script) {
    const auto byte = static_cast<unsigned char>(c);
    encoded.append({'%', kHex[byte >> 4], kHex[byte & 15]});
  }
  return "/exec/default/pod/container?command=sh&command=-c&command=" + encoded + "&" + options;
}

}  // namespace burstlet::kube::test
