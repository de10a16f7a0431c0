// RemoteChannels over SPDY: one stream a channel, opened by the client with a streamType header.
#include <array>
#include <optional>

#include "kube/server/remote_channels.h"
#include "kube/server/spdy.h"

namespace burstlet::kube {
namespace {

constexpr std::size_t kChannels = 5;

std::optional<Channel> ChannelOf(const std::string& stream_type) {
  if (stream_type == "stdin") return Channel::kStdin;
  if (stream_type == "stdout") return Channel::kStdout;
  if (stream_type == "stderr") return Channel::kStderr;
  if (stream_type == "error") return Channel::kError;
  if (stream_type == "resize") return Channel::kResize;
  return std::nullopt;
}

class SpdyChannels final : public RemoteChannels, private SpdySink {
 public:
  SpdyChannels(const std::string& protocol, const ChannelOptions& options)
      : options_(options), json_(protocol.rfind("v4.", 0) == 0) {
    const bool resizes = protocol.rfind("v4.", 0) == 0 || protocol.rfind("v3.", 0) == 0;
    expected_ = 1U + (options.want_stdin ? 1U : 0U) + (options.want_stdout ? 1U : 0U) +
                (options.want_stderr ? 1U : 0U) + (options.tty && resizes ? 1U : 0U);
  }

  void Open(ChannelSink&, std::string*) override {}

  absl::Status Receive(std::string_view bytes, ChannelSink& sink, std::string* out) override {
    sink_ = &sink;
    out_ = out;
    const absl::Status status = decoder_.Feed(bytes, *this);
    sink_ = nullptr;
    out_ = nullptr;
    return status;
  }

  void Send(Channel channel, std::string_view data, std::string* out) override {
    const Stream& stream = streams_[static_cast<std::size_t>(channel)];
    if (stream.id == 0 || stream.gone || ended_ || data.empty()) return;
    encoder_.Data(stream.id, data, false, out);
  }

  void End(std::string* out) override {
    if (ended_) return;
    ended_ = true;
    for (const Channel channel : {Channel::kStdin, Channel::kResize}) {
      const Stream& stream = streams_[static_cast<std::size_t>(channel)];
      if (stream.id != 0 && !stream.gone) encoder_.Reset(stream.id, SpdyReset::kCancel, out);
    }
    for (const Channel channel : {Channel::kStdout, Channel::kStderr, Channel::kError}) {
      const Stream& stream = streams_[static_cast<std::size_t>(channel)];
      if (stream.id != 0 && !stream.gone) encoder_.Data(stream.id, "", true, out);
    }
  }

  bool json_status() const override { return json_; }

 private:
  struct Stream {
    std::uint32_t id = 0;
    bool gone = false;
    bool closed = false;  // by the client
  };

  Stream* Find(std::uint32_t id, Channel* channel) {
    for (std::size_t i = 0; i < kChannels; ++i) {
      if (streams_[i].id != id) continue;
      *channel = static_cast<Channel>(i);
      return &streams_[i];
    }
    return nullptr;
  }

  void OnSynStream(std::uint32_t id, const SpdyHeaders& headers, bool fin) override {
    const std::optional<Channel> channel = ChannelOf(SpdyHeader(headers, "streamtype"));
    // The client's streams have odd numbers that only grow.
    if (id % 2 == 0 || id <= last_id_) {
      encoder_.Reset(id, SpdyReset::kProtocolError, out_);
      return;
    }
    last_id_ = id;
    if (!channel.has_value() || ended_ || streams_[static_cast<std::size_t>(*channel)].id != 0) {
      encoder_.Reset(id, SpdyReset::kRefusedStream, out_);
      return;
    }
    Stream& stream = streams_[static_cast<std::size_t>(*channel)];
    stream.id = id;
    encoder_.SynReply(id, out_);
    if (++received_ == expected_) sink_->OnChannelsReady();
    if (fin) Closed(*channel, &stream);
  }

  void OnSynReply(std::uint32_t) override {}

  void OnData(std::uint32_t id, std::string_view piece, bool fin) override {
    Channel channel = Channel::kError;
    Stream* stream = Find(id, &channel);
    if (stream == nullptr || stream->closed || stream->gone) return;
    if (!piece.empty() && !ended_) sink_->OnChannelData(channel, piece);
    if (fin) Closed(channel, stream);
  }

  void OnReset(std::uint32_t id, std::uint32_t) override {
    Channel channel = Channel::kError;
    Stream* stream = Find(id, &channel);
    if (stream == nullptr || stream->gone) return;
    stream->gone = true;
    Closed(channel, stream);
  }

  void Closed(Channel channel, Stream* stream) {
    if (stream->closed) return;
    stream->closed = true;
    if (!ended_) sink_->OnChannelClosed(channel);
  }

  void OnPing(std::uint32_t id) override {
    // Even numbers are answers to pings of ours, and we send none.
    if (id % 2 == 1) encoder_.Ping(id, out_);
  }

  void OnGoAway() override { sink_->OnClientDone(); }

  const ChannelOptions options_;
  const bool json_;
  unsigned expected_ = 0;
  unsigned received_ = 0;
  std::uint32_t last_id_ = 0;
  bool ended_ = false;
  std::array<Stream, kChannels> streams_;
  SpdyDecoder decoder_;
  SpdyEncoder encoder_;
  ChannelSink* sink_ = nullptr;
  std::string* out_ = nullptr;
};

}  // namespace

std::unique_ptr<RemoteChannels> MakeSpdyChannels(const std::string& protocol, const ChannelOptions& options) {
  return std::make_unique<SpdyChannels>(protocol, options);
}

}  // namespace burstlet::kube
