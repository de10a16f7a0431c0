#include "kube/server/file_stream.h"

#include <algorithm>
#include <array>
#include <boost/asio/buffer.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/post.hpp>
#include <optional>

#include "kube/server/streamed_body.h"

namespace burstlet::kube {
namespace {

namespace asio = boost::asio;
using boost::system::error_code;

constexpr std::size_t kReadBytes = 64 * 1024;
constexpr int kReadsPerTurn = 4;  // then other connections of the loop have theirs

class FileStream final : public WireUser, public std::enable_shared_from_this<FileStream> {
 public:
  FileStream(OwnedFd fd, std::int64_t size, StreamedBody body) : fd_(std::move(fd)), left_(size), body_(body) {}

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
  void OnBytes(std::string_view) override { body_.NoteSurplus(); }
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

  void Send(std::size_t count) { body_.Send(*wire_, std::string(buffer_.data(), count)); }

  void End() {
    Wire* wire = wire_;
    OnGone();
    body_.End(*wire);
  }

  OwnedFd fd_;
  std::int64_t left_;
  StreamedBody body_;
  Wire* wire_ = nullptr;
  std::optional<asio::posix::stream_descriptor> pipe_;
  bool reading_ = false;
  std::array<char, kReadBytes> buffer_;
};

}  // namespace

void StreamFile(Exchange& exchange, OwnedFd fd, std::int64_t size, const std::string& content_type) {
  const StreamedBody body(exchange.request());
  const auto stream = std::make_shared<FileStream>(std::move(fd), size, body);
  stream->Start(exchange.Stream(body.Head(content_type), stream));
}

}  // namespace burstlet::kube
