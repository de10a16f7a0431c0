#include "provider/prober/grpc_call.h"

#include <nghttp2/nghttp2.h>

#include <algorithm>
#include <cstring>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "provider/prober/outcome.h"

namespace burstlet::provider {
namespace {

/// Before each message: whether it is compressed, and its size in four bytes, most significant first.
constexpr std::size_t kPrefix = 5;

std::string WithPrefix(const std::string& message) {
  std::string framed(1, '\0');
  for (int shift = 24; shift >= 0; shift -= 8) framed += static_cast<char>(message.size() >> shift & 0xff);
  return framed + message;
}

int HexDigit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

/// grpc-message is percent-encoded; what is not well encoded stands for itself.
std::string PercentDecoded(std::string_view text) {
  std::string decoded;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '%' && i + 2 < text.size() && HexDigit(text[i + 1]) >= 0 && HexDigit(text[i + 2]) >= 0) {
      decoded += static_cast<char>(HexDigit(text[i + 1]) * 16 + HexDigit(text[i + 2]));
      i += 2;
    } else {
      decoded += text[i];
    }
  }
  return decoded;
}

GrpcCode CodeOfHttpStatus(int status) {
  switch (status) {
    case 400:
      return GrpcCode::kInternal;
    case 401:
      return GrpcCode::kUnauthenticated;
    case 403:
      return GrpcCode::kPermissionDenied;
    case 404:
      return GrpcCode::kUnimplemented;
    case 429:
    case 502:
    case 503:
    case 504:
      return GrpcCode::kUnavailable;
    default:
      return GrpcCode::kUnknown;
  }
}

/// Both must live until the request is submitted.
nghttp2_nv Field(const char* name, std::string_view value) {
  nghttp2_nv field{};
  field.name = reinterpret_cast<std::uint8_t*>(const_cast<char*>(name));
  field.namelen = std::strlen(name);
  field.value = reinterpret_cast<std::uint8_t*>(const_cast<char*>(value.data()));
  field.valuelen = value.size();
  field.flags = NGHTTP2_NV_FLAG_NONE;  // copied by the library
  return field;
}

}  // namespace

/// nghttp2's way back into the call.
struct GrpcCallbacks {
  static GrpcCall& Of(void* user) { return *static_cast<GrpcCall*>(user); }

  static int OnFrame(nghttp2_session*, const nghttp2_frame* frame, void* user) {
    if (frame->hd.type == NGHTTP2_SETTINGS) Of(user).ready_ = true;
    return 0;
  }

  static int OnHeader(nghttp2_session*, const nghttp2_frame*, const std::uint8_t* name, std::size_t name_size,
                      const std::uint8_t* value, std::size_t value_size, std::uint8_t, void* user) {
    Of(user).Header({reinterpret_cast<const char*>(name), name_size},
                    {reinterpret_cast<const char*>(value), value_size});
    return 0;
  }

  static int OnData(nghttp2_session*, std::uint8_t, std::int32_t, const std::uint8_t* data, std::size_t size,
                    void* user) {
    Of(user).Data({reinterpret_cast<const char*>(data), size});
    return 0;
  }

  static int OnClose(nghttp2_session*, std::int32_t, std::uint32_t error, void* user) {
    Of(user).StreamClosed(error);
    return 0;
  }

  static ssize_t ReadBody(nghttp2_session*, std::int32_t, std::uint8_t* to, std::size_t size, std::uint32_t* flags,
                          nghttp2_data_source*, void* user) {
    GrpcCall& call = Of(user);
    const std::size_t part = std::min(size, call.body_.size() - call.sent_);
    std::memcpy(to, call.body_.data() + call.sent_, part);
    call.sent_ += part;
    if (call.sent_ == call.body_.size()) *flags |= NGHTTP2_DATA_FLAG_EOF;
    return static_cast<ssize_t>(part);
  }
};

GrpcCall::GrpcCall(Request request) : request_(std::move(request)), body_(WithPrefix(request_.message)) { Submit(); }

GrpcCall::~GrpcCall() { nghttp2_session_del(session_); }

void GrpcCall::Submit() {
  nghttp2_session_callbacks* callbacks = nullptr;
  if (nghttp2_session_callbacks_new(&callbacks) != 0) return Finish(GrpcCode::kInternal, "out of memory");
  nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, GrpcCallbacks::OnFrame);
  nghttp2_session_callbacks_set_on_header_callback(callbacks, GrpcCallbacks::OnHeader);
  nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, GrpcCallbacks::OnData);
  nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, GrpcCallbacks::OnClose);
  const int made = nghttp2_session_client_new(&session_, callbacks, this);
  nghttp2_session_callbacks_del(callbacks);
  if (made != 0) return Finish(GrpcCode::kInternal, nghttp2_strerror(made));
  const nghttp2_settings_entry no_push{NGHTTP2_SETTINGS_ENABLE_PUSH, 0};
  const std::string timeout = absl::StrCat(std::max<std::int64_t>(request_.timeout.count(), 1), "m");
  const nghttp2_nv fields[] = {
      Field(":method", "POST"),
      Field(":scheme", "http"),
      Field(":path", request_.path),
      Field(":authority", request_.authority),
      Field("content-type", "application/grpc"),
      Field("user-agent", request_.user_agent),
      Field("te", "trailers"),
      Field("grpc-timeout", timeout),
  };
  nghttp2_data_provider body{};
  body.read_callback = GrpcCallbacks::ReadBody;
  int error = nghttp2_submit_settings(session_, NGHTTP2_FLAG_NONE, &no_push, 1);
  if (error == 0) error = nghttp2_submit_request(session_, nullptr, fields, std::size(fields), &body, nullptr);
  if (error < 0) Finish(GrpcCode::kInternal, nghttp2_strerror(error));
}

std::string GrpcCall::TakeOutput() {
  std::string output;
  while (session_ != nullptr) {
    const std::uint8_t* data = nullptr;
    const ssize_t size = nghttp2_session_mem_send(session_, &data);
    if (size < 0) Finish(GrpcCode::kInternal, nghttp2_strerror(static_cast<int>(size)));
    if (size <= 0) break;
    output.append(reinterpret_cast<const char*>(data), static_cast<std::size_t>(size));
  }
  // A server that broke the protocol gets its GOAWAY; nothing of it counts any more.
  if (session_ != nullptr && nghttp2_session_want_read(session_) == 0 && nghttp2_session_want_write(session_) == 0) {
    Finish(GrpcCode::kUnavailable, "the server does not speak HTTP/2");
  }
  return output;
}

void GrpcCall::Feed(std::string_view bytes) {
  if (done_) return;
  const ssize_t taken =
      nghttp2_session_mem_recv(session_, reinterpret_cast<const std::uint8_t*>(bytes.data()), bytes.size());
  if (taken < 0) return Finish(GrpcCode::kUnavailable, nghttp2_strerror(static_cast<int>(taken)));
}

void GrpcCall::Closed(const std::string& why) { Finish(GrpcCode::kUnavailable, why); }

void GrpcCall::Header(std::string_view name, std::string_view value) {
  if (name == ":status") {
    if (!absl::SimpleAtoi(std::string(value), &http_status_)) http_status_ = 0;
  } else if (name == "content-type") {
    grpc_content_ = value.starts_with("application/grpc");
  } else if (name == "grpc-status") {
    has_status_ = absl::SimpleAtoi(std::string(value), &status_);
  } else if (name == "grpc-message") {
    status_message_ = PercentDecoded(value);
  }
}

void GrpcCall::Data(std::string_view bytes) {
  if (answer_.size() + bytes.size() > kMaxProbeOutput + kPrefix) {
    return Finish(GrpcCode::kResourceExhausted, absl::StrCat("the answer is larger than ", kMaxProbeOutput, " bytes"));
  }
  answer_.append(bytes);
}

void GrpcCall::StreamClosed(std::uint32_t http2_error) {
  // With its status a server may also reset what it does not want to read.
  if (has_status_) {
    if (status_ == 0) return TakeMessage();
    return Finish(static_cast<GrpcCode>(status_), status_message_);
  }
  if (http2_error != NGHTTP2_NO_ERROR) {
    return Finish(GrpcCode::kUnavailable, absl::StrCat("stream terminated: ", nghttp2_http2_strerror(http2_error)));
  }
  if (http_status_ != 200) {
    return Finish(CodeOfHttpStatus(http_status_),
                  absl::StrCat("unexpected HTTP status code received from server: ", http_status_));
  }
  if (!grpc_content_) return Finish(GrpcCode::kUnknown, "the server's answer is not of gRPC");
  Finish(GrpcCode::kInternal, "server closed the stream without sending trailers");
}

void GrpcCall::TakeMessage() {
  if (answer_.size() < kPrefix) return Finish(GrpcCode::kInternal, "the answer has no message");
  if (answer_[0] != 0) return Finish(GrpcCode::kInternal, "the answer is compressed, which was not offered");
  std::uint32_t size = 0;
  for (std::size_t i = 1; i < kPrefix; ++i) size = size << 8 | static_cast<unsigned char>(answer_[i]);
  if (size != answer_.size() - kPrefix) return Finish(GrpcCode::kInternal, "the answer is not one whole message");
  message_ = answer_.substr(kPrefix);
  Finish(GrpcCode::kOk, "");
}

void GrpcCall::Finish(GrpcCode code, std::string error) {
  if (done_) return;
  done_ = true;
  code_ = code;
  error_ = std::move(error);
}

}  // namespace burstlet::provider
