// SPDY/3.1 framing as kubectl, client-go and the API server speak it (moby/spdystream).
//
// I/O-free, both directions; header blocks are one zlib stream a direction, with SPDY's dictionary. Data frames are
// passed on in pieces; control frames and what header blocks unpack to are bounded. No flow control: spdystream neither
// sends nor heeds WINDOW_UPDATE, the connection's back-pressure is all there is.
// Threads: one at a time. Failure: a protocol error is kInvalidArgument, and the connection must close.
// Source: SPDY Protocol Draft 3.1 (chromium.org/spdy).
#pragma once

#include <zlib.h>

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/status.h"

namespace burstlet::kube {

using SpdyHeaders = std::vector<std::pair<std::string, std::string>>;

enum class SpdyReset : std::uint32_t { kProtocolError = 1, kInvalidStream = 2, kRefusedStream = 3, kCancel = 5 };

class SpdySink {
 public:
  virtual ~SpdySink() = default;
  virtual void OnSynStream(std::uint32_t id, const SpdyHeaders& headers, bool fin) = 0;
  virtual void OnSynReply(std::uint32_t id) = 0;
  /// A piece of data; `fin` marks the last one of the stream (which may be empty).
  virtual void OnData(std::uint32_t id, std::string_view piece, bool fin) = 0;
  virtual void OnReset(std::uint32_t id, std::uint32_t status) = 0;
  virtual void OnPing(std::uint32_t id) = 0;
  virtual void OnGoAway() = 0;
};

/// The value of a header of a stream, or "".
std::string SpdyHeader(const SpdyHeaders& headers, std::string_view name);

class SpdyDecoder {
 public:
  static constexpr std::size_t kMaxControlBytes = 64 * 1024;
  static constexpr std::size_t kMaxHeaderBytes = 64 * 1024;

  SpdyDecoder();
  ~SpdyDecoder();
  SpdyDecoder(const SpdyDecoder&) = delete;
  SpdyDecoder& operator=(const SpdyDecoder&) = delete;

  absl::Status Feed(std::string_view bytes, SpdySink& sink);

 private:
  absl::Status Begin(SpdySink& sink);
  absl::Status Control(SpdySink& sink);
  absl::Status HeaderBlock(std::string_view block, SpdyHeaders* headers);
  absl::Status Inflate(std::string_view block, std::string* out);

  std::string head_;  // of the frame's eight bytes of header, those seen
  bool in_frame_ = false;
  bool control_ = false;
  std::uint32_t type_ = 0;
  std::uint32_t flags_ = 0;
  std::uint32_t stream_ = 0;
  std::size_t left_ = 0;
  std::string payload_;
  z_stream zlib_ = {};
  bool zlib_ready_ = false;
};

class SpdyEncoder {
 public:
  SpdyEncoder();
  ~SpdyEncoder();
  SpdyEncoder(const SpdyEncoder&) = delete;
  SpdyEncoder& operator=(const SpdyEncoder&) = delete;

  void SynStream(std::uint32_t id, const SpdyHeaders& headers, std::string* out);
  void SynReply(std::uint32_t id, std::string* out);
  /// Split into frames as needed; with `fin` the last one ends our side of the stream.
  void Data(std::uint32_t id, std::string_view data, bool fin, std::string* out);
  void Reset(std::uint32_t id, SpdyReset status, std::string* out);
  void Ping(std::uint32_t id, std::string* out);
  void GoAway(std::uint32_t last_good_stream, std::string* out);

 private:
  std::string Deflate(const SpdyHeaders& headers);

  z_stream zlib_ = {};
};

}  // namespace burstlet::kube
