// The five channels of a remote command (stdin, stdout, stderr, error, resize), whatever carries them.
//
// One implementation for the WebSocket protocols (v5.channel.k8s.io and older), one for SPDY/3.1 streams. I/O-free:
// bytes of the client in, events and bytes for the client out. Threads: one at a time. Failure of Receive: a protocol
// error, the connection must close. Source: apimachinery/pkg/util/remotecommand, streaming/pkg/httpstream/wsstream,
// cri-streaming/pkg/streaming/remotecommand.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "absl/status/status.h"

namespace burstlet::kube {

enum class Channel : std::uint8_t { kStdin = 0, kStdout = 1, kStderr = 2, kError = 3, kResize = 4 };

struct ChannelOptions {
  bool want_stdin = false;
  bool want_stdout = false;
  bool want_stderr = false;
  bool tty = false;
};

class ChannelSink {
 public:
  virtual ~ChannelSink() = default;
  /// All channels that the request announced are there. Once.
  virtual void OnChannelsReady() = 0;
  virtual void OnChannelData(Channel channel, std::string_view data) = 0;
  /// The client sends no more on this channel.
  virtual void OnChannelClosed(Channel channel) = 0;
  /// The client has ended the session in good order.
  virtual void OnClientDone() = 0;
};

class RemoteChannels {
 public:
  virtual ~RemoteChannels() = default;
  /// Once, after the 101: what the server says first, appended to `out`.
  virtual void Open(ChannelSink& sink, std::string* out) = 0;
  /// Answers the protocol itself needs (pongs, stream replies) are appended to `out`.
  virtual absl::Status Receive(std::string_view bytes, ChannelSink& sink, std::string* out) = 0;
  /// Data for a channel that the client did not ask for is dropped.
  virtual void Send(Channel channel, std::string_view data, std::string* out) = 0;
  /// All has been said: closes the channels, after which the client closes the connection.
  virtual void End(std::string* out) = 0;
  /// The error channel carries a v1.Status as JSON, or plain text (before v4).
  virtual bool json_status() const = 0;
};

/// `protocol` is one of kWebSocketCommandProtocols, or "" (as channel.k8s.io).
std::unique_ptr<RemoteChannels> MakeWebSocketChannels(const std::string& protocol, const ChannelOptions& options);
/// `protocol` is one of kSpdyCommandProtocols.
std::unique_ptr<RemoteChannels> MakeSpdyChannels(const std::string& protocol, const ChannelOptions& options);

inline constexpr const char* kWebSocketCommandProtocols[] = {
    "v5.channel.k8s.io", "v4.channel.k8s.io", "v4.base64.channel.k8s.io", "channel.k8s.io", "base64.channel.k8s.io"};
inline constexpr const char* kSpdyCommandProtocols[] = {"v4.channel.k8s.io", "v3.channel.k8s.io", "v2.channel.k8s.io",
                                                        "channel.k8s.io"};

}  // namespace burstlet::kube
