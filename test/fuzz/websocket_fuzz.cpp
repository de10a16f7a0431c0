// Fuzzes what a client's WebSocket bytes go through: framing, channels of every protocol, terminal sizes.
#include <cstddef>
#include <cstdint>
#include <string>

#include "kube/server/exec_session.h"
#include "kube/server/remote_channels.h"
#include "kube/server/websocket.h"

namespace {

using burstlet::kube::Channel;

class Sink : public burstlet::kube::ChannelSink {
 public:
  void OnChannelsReady() override {}
  void OnChannelData(Channel channel, std::string_view data) override {
    if (channel == Channel::kResize) resizes_.Feed(data, [](std::uint16_t, std::uint16_t) {});
  }
  void OnChannelClosed(Channel) override {}
  void OnClientDone() override {}

 private:
  burstlet::kube::ResizeParser resizes_;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size < 2) return 0;
  burstlet::kube::ChannelOptions options;
  options.want_stdin = options.want_stdout = options.want_stderr = true;
  options.tty = (data[1] & 0x80) != 0;
  const auto channels =
      burstlet::kube::MakeWebSocketChannels(burstlet::kube::kWebSocketCommandProtocols[data[0] % 5], options);
  // The second byte says in which pieces the bytes arrive.
  const std::size_t piece = (data[1] & 0x7FU) + 1;
  Sink sink;
  std::string out;
  channels->Open(sink, &out);
  const std::string_view bytes(reinterpret_cast<const char*>(data) + 2, size - 2);
  for (std::size_t at = 0; at < bytes.size(); at += piece) {
    if (!channels->Receive(bytes.substr(at, piece), sink, &out).ok()) break;
  }
  channels->Send(Channel::kStdout, "x", &out);
  channels->End(&out);
  return 0;
}
