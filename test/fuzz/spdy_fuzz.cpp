// Fuzzes what a client's SPDY bytes go through: framing, header compression, the streams of a remote command.
#include <cstddef>
#include <cstdint>
#include <string>

#include "kube/server/remote_channels.h"
#include "kube/server/spdy.h"

namespace {

using burstlet::kube::Channel;

class Sink : public burstlet::kube::ChannelSink {
 public:
  void OnChannelsReady() override {}
  void OnChannelData(Channel, std::string_view) override {}
  void OnChannelClosed(Channel) override {}
  void OnClientDone() override {}
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size < 2) return 0;
  burstlet::kube::ChannelOptions options;
  options.want_stdin = options.want_stdout = true;
  options.tty = (data[1] & 0x80) != 0;
  const auto channels = burstlet::kube::MakeSpdyChannels(burstlet::kube::kSpdyCommandProtocols[data[0] % 4], options);
  const std::size_t piece = (data[1] & 0x7FU) + 1;
  Sink sink;
  std::string out;
  // Well-formed streams first on every other input, so that data and resets find something to act on.
  if ((data[0] & 0x80) != 0) {
    burstlet::kube::SpdyEncoder encoder;
    std::string opening;
    encoder.SynStream(1, {{"streamtype", "error"}}, &opening);
    encoder.SynStream(3, {{"streamtype", "stdin"}}, &opening);
    encoder.SynStream(5, {{"streamtype", "stdout"}}, &opening);
    if (!channels->Receive(opening, sink, &out).ok()) return 0;
  }
  const std::string_view bytes(reinterpret_cast<const char*>(data) + 2, size - 2);
  for (std::size_t at = 0; at < bytes.size(); at += piece) {
    if (!channels->Receive(bytes.substr(at, piece), sink, &out).ok()) break;
    // A real connection stops reading a client that does not read; so does this one.
    if (out.size() > (1U << 20)) break;
  }
  channels->Send(Channel::kStdout, "x", &out);
  channels->End(&out);
  return 0;
}
