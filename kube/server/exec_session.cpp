#include "kube/server/exec_session.h"

#include <sys/ioctl.h>

#include <array>
#include <boost/asio/buffer.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/read.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/write.hpp>
#include <variant>

#include "metrics/log.h"
#include "metrics/status.h"

namespace burstlet::kube {
namespace {

namespace asio = boost::asio;
using boost::system::error_code;
using Clock = std::chrono::steady_clock;
using Descriptor = asio::posix::stream_descriptor;

constexpr std::size_t kReadBytes = 32 * 1024;
constexpr std::size_t kMaxStdinBytes = 256 * 1024;
constexpr std::chrono::seconds kStreamCreationTime{30};
// How long the client may take to read what is left and close (the kubelet's runtimes wait as long).
constexpr std::chrono::minutes kFarewellTime{15};

class RemoteSession final : public WireUser, private ChannelSink, public std::enable_shared_from_this<RemoteSession> {
 public:
  RemoteSession(std::unique_ptr<RemoteChannels> channels, std::shared_ptr<CommandEnds> command, absl::Status failure,
                std::chrono::seconds idle_timeout)
      : channels_(std::move(channels)),
        command_(std::move(command)),
        failure_(std::move(failure)),
        idle_timeout_(idle_timeout) {}

  void Start(Wire& wire);
  void OnBytes(std::string_view bytes) override;
  void OnDrained() override;
  void OnGone() override;

 private:
  struct Output {
    Channel channel = Channel::kStdout;
    std::shared_ptr<Descriptor> descriptor;
    bool reading = false;
    bool open = false;
    std::array<char, kReadBytes> buffer;
  };
  enum class State { kOpening, kRunning, kFarewell, kGone };

  void OnChannelsReady() override;
  void OnChannelData(Channel channel, std::string_view data) override;
  void OnChannelClosed(Channel channel) override;
  void OnClientDone() override;

  std::shared_ptr<Descriptor> Adopt(int fd);
  void AdoptAll();
  void Pump(Output& output);
  void OnOutput(Output& output, error_code error, std::size_t count);
  void WriteStdin();
  void CloseStdin();
  void AwaitExit();
  void OnExit(error_code error);
  void MaybeEnd();
  void Farewell(const std::string& status);
  void Flush();
  void ReadOn();
  void SetTimer(Clock::duration after);
  void OnTimer();

  std::unique_ptr<RemoteChannels> channels_;
  const std::shared_ptr<CommandEnds> command_;  // null when the command could not be started
  const absl::Status failure_;
  const std::chrono::seconds idle_timeout_;
  Wire* wire_ = nullptr;
  State state_ = State::kOpening;
  std::unique_ptr<asio::steady_timer> timer_;
  Clock::time_point last_activity_;

  Output stdout_, stderr_;
  std::shared_ptr<Descriptor> stdin_, master_, exit_;
  std::string stdin_queue_, stdin_in_flight_;
  bool stdin_closing_ = false;
  bool client_paused_ = false;
  bool reading_ = false;
  ResizeParser resizes_;
  std::array<int, 2> exit_values_{};
  bool exited_ = false;
  bool exit_lost_ = false;
  std::string out_;
};

void RemoteSession::Start(Wire& wire) {
  wire_ = &wire;
  timer_ = std::make_unique<asio::steady_timer>(wire.executor());
  SetTimer(kStreamCreationTime);
  channels_->Open(*this, &out_);
  Flush();
  ReadOn();
}

std::shared_ptr<Descriptor> RemoteSession::Adopt(int fd) {
  if (fd < 0) return nullptr;
  auto descriptor = std::make_shared<Descriptor>(wire_->executor());
  error_code error;
  descriptor->assign(fd, error);
  if (error) {
    close(fd);
    return nullptr;
  }
  descriptor->non_blocking(true, error);
  return descriptor;
}

void RemoteSession::AdoptAll() {
  master_ = Adopt(command_->Take(&ExecSession::master_fd));
  stdin_ = Adopt(command_->Take(&ExecSession::stdin_fd));
  stdout_.descriptor = Adopt(command_->Take(&ExecSession::stdout_fd));
  stderr_.descriptor = Adopt(command_->Take(&ExecSession::stderr_fd));
  exit_ = Adopt(command_->Take(&ExecSession::exit_fd));
  if (master_ != nullptr) {
    stdin_ = master_;
    // With a stdout of its own somebody else reads the terminal and hands out copies (the warden, who keeps the log of
    // an attached container): a second reader here would take bytes away from the log, and miss those that it took.
    if (stdout_.descriptor == nullptr) stdout_.descriptor = master_;
  }
  stderr_.channel = Channel::kStderr;
  stdout_.open = stdout_.descriptor != nullptr;
  stderr_.open = stderr_.descriptor != nullptr;
}

void RemoteSession::OnChannelsReady() {
  if (state_ != State::kOpening) return;
  state_ = State::kRunning;
  last_activity_ = Clock::now();
  SetTimer(idle_timeout_);
  if (command_ == nullptr) {
    Farewell(FailureMessage(failure_, channels_->json_status()));
    return;
  }
  AdoptAll();
  AwaitExit();
  WriteStdin();
  Pump(stdout_);
  Pump(stderr_);
}

void RemoteSession::OnBytes(std::string_view bytes) {
  reading_ = false;
  last_activity_ = Clock::now();
  const std::shared_ptr<RemoteSession> self = shared_from_this();
  const absl::Status status = channels_->Receive(bytes, *this, &out_);
  if (state_ == State::kGone) return;
  if (!status.ok()) {
    V(2, "Closed a streaming connection", {{"err", std::string(status.message())}});
    wire_->Abort();
    return;
  }
  Flush();
  ReadOn();
}

void RemoteSession::ReadOn() {
  if (state_ == State::kGone || reading_) return;
  client_paused_ = stdin_queue_.size() >= kMaxStdinBytes && state_ == State::kRunning;
  if (client_paused_) return;
  reading_ = true;
  wire_->ReadMore();
}

void RemoteSession::Flush() {
  if (out_.empty() || wire_ == nullptr) return;
  wire_->Write(std::move(out_));
  out_.clear();
}

void RemoteSession::OnDrained() {
  Pump(stdout_);
  Pump(stderr_);
}

void RemoteSession::Pump(Output& output) {
  if (state_ != State::kRunning || !output.open || output.reading || wire_->queued() >= Wire::kHighWater) return;
  output.reading = true;
  output.descriptor->async_read_some(asio::buffer(output.buffer),
                                     [self = shared_from_this(), &output](error_code error, std::size_t count) {
                                       output.reading = false;
                                       self->OnOutput(output, error, count);
                                     });
}

void RemoteSession::OnOutput(Output& output, error_code error, std::size_t count) {
  if (state_ != State::kRunning) return;
  if (error) {
    // End of file; of a terminal EIO, once its last holder is gone.
    output.open = false;
    MaybeEnd();
    return;
  }
  last_activity_ = Clock::now();
  channels_->Send(output.channel, std::string_view(output.buffer.data(), count), &out_);
  Flush();
  Pump(output);
}

void RemoteSession::OnChannelData(Channel channel, std::string_view data) {
  if (channel == Channel::kResize) {
    resizes_.Feed(data, [this](std::uint16_t width, std::uint16_t height) {
      if (master_ == nullptr) return;
      winsize size = {};
      size.ws_col = width;
      size.ws_row = height;
      ioctl(master_->native_handle(), TIOCSWINSZ, &size);
    });
    return;
  }
  if (channel != Channel::kStdin || stdin_closing_ || (state_ == State::kRunning && stdin_ == nullptr)) return;
  if (state_ == State::kFarewell || state_ == State::kGone) return;
  stdin_queue_.append(data);
  // SPDY opens its streams one by one, and reading must go on until all are there: no client has so much to say before.
  if (state_ == State::kOpening && stdin_queue_.size() > kMaxStdinBytes) {
    wire_->Abort();
    return;
  }
  WriteStdin();
}

void RemoteSession::OnChannelClosed(Channel channel) {
  if (channel != Channel::kStdin) return;
  stdin_closing_ = true;
  WriteStdin();
}

void RemoteSession::WriteStdin() {
  if (state_ != State::kRunning || stdin_ == nullptr || !stdin_in_flight_.empty()) return;
  if (stdin_queue_.empty()) {
    if (stdin_closing_) CloseStdin();
    return;
  }
  stdin_in_flight_.swap(stdin_queue_);
  asio::async_write(*stdin_, asio::buffer(stdin_in_flight_),
                    [self = shared_from_this()](error_code error, std::size_t) {
                      self->stdin_in_flight_.clear();
                      if (self->state_ != State::kRunning) return;
                      if (error) {
                        // The command reads no more; what else comes is dropped, as by a shell's pipe.
                        self->stdin_queue_.clear();
                        self->stdin_closing_ = true;
                        self->CloseStdin();
                      } else {
                        self->WriteStdin();
                      }
                      if (self->client_paused_) self->ReadOn();
                    });
}

// A terminal has no end of input of its own: closing it would hang it up, output included.
void RemoteSession::CloseStdin() {
  if (stdin_ == nullptr || stdin_ == master_) return;
  error_code ignored;
  stdin_->close(ignored);
  stdin_.reset();
}

void RemoteSession::AwaitExit() {
  if (exit_ == nullptr) {
    exited_ = true;  // attach to a container may have none: its streams' end is the end
    MaybeEnd();
    return;
  }
  asio::async_read(*exit_, asio::buffer(exit_values_.data(), sizeof exit_values_),
                   [self = shared_from_this()](error_code error, std::size_t) { self->OnExit(error); });
}

void RemoteSession::OnExit(error_code error) {
  if (state_ != State::kRunning) return;
  exited_ = true;
  exit_lost_ = static_cast<bool>(error);
  command_->Ended();
  MaybeEnd();
}

void RemoteSession::MaybeEnd() {
  if (state_ != State::kRunning || !exited_ || stdout_.open || stderr_.open) return;
  const bool json = channels_->json_status();
  if (exit_lost_) {
    Farewell(FailureMessage(absl::InternalError("the command's sandbox is gone"), json));
    return;
  }
  const int code = exit_values_[1] != 0 ? 128 + exit_values_[1] : exit_values_[0];
  Farewell(ExitMessage(code, json));
}

void RemoteSession::Farewell(const std::string& status) {
  state_ = State::kFarewell;
  if (command_ != nullptr) command_->Ended();
  if (!status.empty()) channels_->Send(Channel::kError, status, &out_);
  channels_->End(&out_);
  Flush();
  SetTimer(kFarewellTime);
  ReadOn();
}

void RemoteSession::OnClientDone() {
  if (command_ != nullptr) command_->Abandon();  // does nothing once the command has ended
  // Its answer (a close frame) may still be in out_.
  Flush();
  wire_->Close();
}

void RemoteSession::OnGone() {
  if (state_ == State::kGone) return;
  state_ = State::kGone;
  wire_ = nullptr;
  timer_->cancel();
  if (command_ != nullptr) command_->Abandon();
  error_code ignored;
  for (const auto& descriptor : {stdin_, stdout_.descriptor, stderr_.descriptor, master_, exit_}) {
    if (descriptor != nullptr && descriptor->is_open()) descriptor->close(ignored);
  }
}

void RemoteSession::SetTimer(Clock::duration after) {
  timer_->expires_after(after);
  timer_->async_wait([weak = weak_from_this()](error_code error) {
    const std::shared_ptr<RemoteSession> self = weak.lock();
    if (!error && self != nullptr && self->state_ != State::kGone) self->OnTimer();
  });
}

void RemoteSession::OnTimer() {
  const Clock::duration idle = Clock::now() - last_activity_;
  if (state_ == State::kRunning && idle < idle_timeout_) {
    SetTimer(idle_timeout_ - idle);
    return;
  }
  wire_->Abort();
}

ExecRequest ParseRequest(const HttpRequest& request, const ContainerRef& container, bool attach) {
  ExecRequest parsed;
  parsed.container = container;
  if (!attach) parsed.command = request.QueryAll("command");
  parsed.tty = request.Query("tty") == "1";
  parsed.want_stdin = request.Query("input") == "1";
  parsed.want_stdout = request.Query("output") == "1";
  // A terminal has one output; the kubelet drops stderr silently.
  parsed.want_stderr = request.Query("error") == "1" && !parsed.tty;
  return parsed;
}

// Errors that say the request is wrong are HTTP's; that the command did not start is the session's to tell.
bool IsRequestError(const absl::Status& status) {
  if (ReasonOf(status) == "StartError") return false;
  return absl::IsNotFound(status) || absl::IsInvalidArgument(status) || absl::IsFailedPrecondition(status) ||
         absl::IsUnavailable(status);
}

void RunSession(Exchange& exchange, const Upgrade& upgrade, const ExecRequest& request,
                std::shared_ptr<CommandEnds> command, const absl::Status& failure, std::chrono::seconds idle_timeout) {
  ChannelOptions options;
  options.want_stdin = request.want_stdin;
  options.want_stdout = request.want_stdout;
  options.want_stderr = request.want_stderr;
  options.tty = request.tty;
  std::unique_ptr<RemoteChannels> channels = upgrade.kind == Upgrade::Kind::kSpdy
                                                 ? MakeSpdyChannels(upgrade.protocol, options)
                                                 : MakeWebSocketChannels(upgrade.protocol, options);
  const auto session = std::make_shared<RemoteSession>(std::move(channels), std::move(command), failure, idle_timeout);
  session->Start(exchange.Stream(upgrade.head, session));
}

}  // namespace

void ServeRemoteCommand(Exchange& exchange, const ContainerRef& container, bool attach, const StartCommand& start,
                        std::chrono::seconds idle_timeout) {
  const ExecRequest request = ParseRequest(exchange.request(), container, attach);
  if (!request.want_stdin && !request.want_stdout && !request.want_stderr) {
    exchange.Respond(TextResponse(400, "you must specify at least 1 of stdin, stdout, stderr\n"));
    return;
  }
  if (!attach && request.command.empty()) {
    exchange.Respond(TextResponse(400, "you must specify a command\n"));
    return;
  }
  UpgradeOffer offer;
  offer.websocket.assign(std::begin(kWebSocketCommandProtocols), std::end(kWebSocketCommandProtocols));
  offer.spdy.assign(std::begin(kSpdyCommandProtocols), std::end(kSpdyCommandProtocols));
  std::variant<Upgrade, HttpResponse> choice = ChooseUpgrade(exchange.request(), offer);
  if (std::holds_alternative<HttpResponse>(choice)) {
    exchange.Respond(std::get<HttpResponse>(std::move(choice)));
    return;
  }
  const auto upgrade = std::make_shared<const Upgrade>(std::get<Upgrade>(std::move(choice)));
  // Started before the 101: a request for what is not there gets an honest status, and the start overlaps with nothing
  // but a round trip.
  start(request, [resume = exchange.Resumer(), upgrade, request, idle_timeout](absl::StatusOr<ExecSession> ends) {
    const std::shared_ptr<CommandEnds> command =
        ends.ok() ? std::make_shared<CommandEnds>(std::move(ends).value()) : nullptr;
    const absl::Status failure = command != nullptr ? absl::OkStatus() : ends.status();
    resume([upgrade, request, idle_timeout, command, failure](Exchange& target) {
      if (!failure.ok() && IsRequestError(failure)) {
        target.Respond(ErrorResponse(failure));
        return;
      }
      RunSession(target, *upgrade, request, command, failure, idle_timeout);
    });
  });
}

}  // namespace burstlet::kube
