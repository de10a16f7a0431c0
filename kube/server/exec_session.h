// A remote command's session: the client's channels on one side, the command's descriptors on the other.
//
// Everything runs on the connection's strand. A descriptor is read only while the client takes what was read before,
// and the client is read only while the command takes its stdin: memory is bounded both ways. The end: the command has
// ended and its output is at its end, the status goes out, the channels close, and then the *client* closes the
// connection, so that a slow reader gets everything. A client that leaves earlier abandons the command. Source:
// cri-streaming/pkg/streaming/remotecommand/{exec,attach,httpstream,websocket}.go.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

#include "absl/status/status.h"
#include "kube/server/kubelet_server.h"
#include "kube/server/remote_channels.h"
#include "kube/server/upgrade.h"
#include "kube/server/wire.h"

namespace burstlet::kube {

/// Owns a started command until a session takes its descriptors; dropped, it abandons the command.
class CommandEnds {
 public:
  explicit CommandEnds(ExecSession ends) : ends_(std::move(ends)) {}
  ~CommandEnds();
  CommandEnds(const CommandEnds&) = delete;
  CommandEnds& operator=(const CommandEnds&) = delete;

  /// The descriptor, from now on the caller's; -1 when there is none.
  int Take(int ExecSession::* end) { return std::exchange(ends_.*end, -1); }
  /// The command has ended by itself: nothing to abandon any more.
  void Ended() { ends_.abandon = nullptr; }
  void Abandon();

 private:
  ExecSession ends_;
};

/// Answers a request for exec or attach: negotiates, starts the command by `start`, and runs the session.
using StartCommand = std::function<void(ExecRequest, Reply<ExecSession>)>;
void ServeRemoteCommand(Exchange& exchange, const ContainerRef& container, bool attach, const StartCommand& start,
                        std::chrono::seconds idle_timeout);

/// What the error channel says of a command's end. `json` from v4 on; before, text, and nothing for success.
std::string ExitMessage(int exit_code, bool json);
std::string FailureMessage(const absl::Status& status, bool json);

/// Terminal sizes out of the resize channel: a row of JSON objects {"Width":80,"Height":24}, cut anywhere.
class ResizeParser {
 public:
  /// Calls `resize` for each whole object in what has come so far.
  void Feed(std::string_view bytes, const std::function<void(std::uint16_t width, std::uint16_t height)>& resize);

 private:
  std::string text_;
  bool broken_ = false;
};

}  // namespace burstlet::kube
