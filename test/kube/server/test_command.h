// Real commands for exec tests, and a WebSocket client to talk to them.
#pragma once

#include <atomic>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "kube/server/kubelet_server.h"
#include "test/kube/server/test_client.h"
#include "test/kube/server/test_node.h"

namespace burstlet::kube::test {

/// An exec handler that runs the command on this machine, with pipes or a terminal. `abandoned` counts.
std::function<void(ExecRequest, Reply<ExecSession>)> LocalCommands(std::shared_ptr<std::atomic<int>> abandoned);

/// A masked client frame.
std::string ClientFrame(unsigned opcode, const std::string& payload, bool fin = true);

struct ServerFrame {
  unsigned opcode = 0;
  std::string payload;
};

/// A WebSocket client of the remote command protocols.
class CommandSocket {
 public:
  CommandSocket(const TestNode& node, const std::string& target, const std::string& protocol);

  int status() const { return head_.status; }
  std::string chosen() const;
  bool Send(int channel, const std::string& data);
  bool CloseStdin() { return client_.Send(ClientFrame(2, std::string("\xFF\x00", 2))); }
  std::optional<ServerFrame> NextFrame();
  /// Reads until the server's close frame, answers it; false when the connection ends without one.
  bool ReadToClose();
  /// What came on a channel so far.
  const std::string& channel(int number) const { return channels_[static_cast<std::size_t>(number)]; }
  /// Reads until the channel has the text.
  bool ReadUntil(int number, const std::string& text);
  TestClient& client() { return client_; }

 private:
  bool Take(const ServerFrame& frame);

  TestClient client_;
  ClientResponse head_;
  std::string channels_[5];
};

/// "/exec/default/pod/container?command=sh&command=-c&command=SCRIPT" and the options.
std::string ExecTarget(const std::string& script, const std::string& options);

}  // namespace burstlet::kube::test
