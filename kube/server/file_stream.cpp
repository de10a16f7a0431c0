#include "kube/server/file_stream.h"

#include <algorithm>
#include <array>
#include <boost/asio/buffer.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/post.hpp>
#include <optional>

namespace burstlet::kube {
namespace {

namespace asio = boost::asio;
using boost::system::error_code;

constexpr std::size_t kReadBytes = 64 * 1024;
constexpr int kReadsPerTurn = 4;  // then other connections of the loop have theirs

class FileStream final : public WireUser, public std::enable_shared_from_this<FileStream> {
 public:
  FileStream(OwnedFd fd, std::int64_t size, bool chunked) : fd_(std::move(fd)), left_(size), chunked_(chunked) {}

  void Start(Wire& wire) {
    wire_ = &wire;
    wire.ReadMore();  // notices a client that goes
    if (left_ < 0) {
      pipe_.emplace(wire.executor());
      error_code error;
      pipe_->assign(fd_.get(), error);
      if (error) return wire.Abort();
      fd_.Release();
      pipe_->non_blocking(true, error);
    }
    Pump();
  }
  void OnBytes(std::string_view) override { surplus_ = true; }
  void OnDrained() override { Pump(); }
  void OnGone() override {
    wire_ = nullptr;
    error_code ignored;
    if (pipe_.has_value()) pipe_->close(ignored);
  }

 private:
  void Pump() {
    if (wire_ == nullptr || wire_->queued() >= Wire::kHighWater) return;
    if (pipe_.has_value()) return PumpPipe();
    for (int reads = 0; reads < kReadsPerTurn; ++reads) {
      if (wire_->queued() >= Wire::kHighWater) return;  // OnDrained goes on
      if (left_ == 0) return End();
      const auto wanted = std::min<std::int64_t>(left_, static_cast<std::int64_t>(buffer_.size()));
      const ssize_t count = read(fd_.get(), buffer_.data(), static_cast<std::size_t>(wanted));
      if (count < 0) return wire_->Abort();
      if (count == 0) return End();  // it was cut meanwhile
      left_ -= count;
      Send(static_cast<std::size_t>(count));
    }
    asio::post(wire_->executor(), [self = shared_from_this()] { self->Pump(); });
  }

  void PumpPipe() {
    if (reading_) return;
    reading_ = true;
    pipe_->async_read_some(asio::buffer(buffer_), [self = shared_from_this()](error_code error, std::size_t count) {
      self->reading_ = false;
      if (self->wire_ == nullptr) return;
      if (error == asio::error::eof) return self->End();
      if (error) return self->wire_->Abort();
      self->Send(count);
      self->Pump();
    });
  }

  void Send(std::size_t count) {
    const std::string_view data(buffer_.data(), count);
    wire_->Write(chunked_ ? EncodeChunk(data) : std::string(data));
  }

  void End() {
    Wire* wire = wire_;
    OnGone();
    // In a record of its own, as every streamed body's end (log_stream.cpp tells why).
    if (chunked_) wire->WriteApart("0\r\n\r\n");
    if (chunked_ && !surplus_) {
      wire->Finish();
    } else {
      wire->Close();
    }
  }

  OwnedFd fd_;
  std::int64_t left_;
  const bool chunked_;
  Wire* wire_ = nullptr;
  std::optional<asio::posix::stream_descriptor> pipe_;
  bool reading_ = false;
  bool surplus_ = false;
  std::array<char, kReadBytes> buffer_;
};

}  // namespace

void StreamFile(Exchange& exchange, OwnedFd fd, std::int64_t size, const std::string& content_type) {
  const bool chunked = !exchange.request().http_1_0;
  HttpResponse head;
  head.content_type = content_type;
  std::string text = SerializeHead(head, true, !chunked);
  if (!chunked) text = "HTTP/1.0 200 OK\r\nContent-Type: " + content_type + "\r\n\r\n";
  const auto stream = std::make_shared<FileStream>(std::move(fd), size, chunked);
  stream->Start(exchange.Stream(std::move(text), stream));
}

}  // namespace burstlet::kube
