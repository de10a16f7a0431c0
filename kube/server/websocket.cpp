#include "kube/server/websocket.h"

#include <openssl/sha.h>

#include <algorithm>

namespace burstlet::kube {
namespace {

constexpr char kAlphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
constexpr std::size_t kMaxControl = 125;

int Base64Value(char c) {
  if (c >= 'A' && c <= 'Z') return c - 'A';
  if (c >= 'a' && c <= 'z') return c - 'a' + 26;
  if (c >= '0' && c <= '9') return c - '0' + 52;
  if (c == '+') return 62;
  if (c == '/') return 63;
  return -1;
}

bool IsControl(WebSocketOpcode opcode) { return (static_cast<unsigned>(opcode) & 8) != 0; }

bool IsKnown(unsigned opcode) { return opcode <= 2 || (opcode >= 8 && opcode <= 10); }

// The header's length as far as its first two bytes tell; the client's mask included.
std::size_t HeaderLength(unsigned char second) {
  const unsigned length = second & 0x7F;
  return 2 + (length == 126 ? 2 : length == 127 ? 8 : 0) + 4;
}

}  // namespace

absl::Status WebSocketDecoder::Feed(std::string_view bytes, WebSocketSink& sink) {
  while (!bytes.empty() && !closed_) {
    if (!in_payload_) {
      const std::size_t wanted = header_.size() < 2 ? 2 : HeaderLength(static_cast<unsigned char>(header_[1]));
      const std::size_t count = std::min(wanted - header_.size(), bytes.size());
      header_.append(bytes.substr(0, count));
      bytes.remove_prefix(count);
      if (header_.size() < 2 || header_.size() < HeaderLength(static_cast<unsigned char>(header_[1]))) {
        // A frame without mask is seen before its missing mask is waited for.
        if (header_.size() >= 2 && (static_cast<unsigned char>(header_[1]) & 0x80) == 0) {
          return absl::InvalidArgumentError("WebSocket: the client's frame is not masked");
        }
        continue;
      }
      const absl::Status status = Header();
      if (!status.ok()) return status;
      if (left_ == 0) {
        const absl::Status empty = Payload(std::string_view(), true, sink);
        if (!empty.ok()) return empty;
      }
      continue;
    }
    const auto count = static_cast<std::size_t>(std::min<std::uint64_t>(left_, bytes.size()));
    left_ -= count;
    const absl::Status status = Payload(bytes.substr(0, count), left_ == 0, sink);
    if (!status.ok()) return status;
    bytes.remove_prefix(count);
  }
  return absl::OkStatus();
}

absl::Status WebSocketDecoder::Header() {
  const auto byte = [this](std::size_t i) { return static_cast<unsigned char>(header_[i]); };
  fin_ = (byte(0) & 0x80) != 0;
  if ((byte(0) & 0x70) != 0) return absl::InvalidArgumentError("WebSocket: reserved bits are set");
  if (!IsKnown(byte(0) & 15U)) return absl::InvalidArgumentError("WebSocket: unknown opcode");
  opcode_ = static_cast<WebSocketOpcode>(byte(0) & 15U);
  if ((byte(1) & 0x80) == 0) return absl::InvalidArgumentError("WebSocket: the client's frame is not masked");
  left_ = byte(1) & 0x7FU;
  std::size_t at = 2;
  if (left_ == 126 || left_ == 127) {
    const std::size_t end = at + (left_ == 126 ? 2 : 8);
    for (left_ = 0; at < end; ++at) left_ = left_ << 8 | byte(at);
  }
  if ((left_ >> 63) != 0) return absl::InvalidArgumentError("WebSocket: frame length out of range");
  for (std::size_t i = 0; i < 4; ++i) mask_[i] = byte(at + i);
  mask_at_ = 0;
  header_.clear();
  in_payload_ = true;
  if (IsControl(opcode_)) {
    if (!fin_ || left_ > kMaxControl) return absl::InvalidArgumentError("WebSocket: bad control frame");
    control_.clear();
    return absl::OkStatus();
  }
  const bool continues = opcode_ == WebSocketOpcode::kContinuation;
  if (continues != in_message_) return absl::InvalidArgumentError("WebSocket: misplaced continuation");
  if (!continues) begins_message_ = true;
  in_message_ = !fin_;
  return absl::OkStatus();
}

absl::Status WebSocketDecoder::Payload(std::string_view piece, bool ends_frame, WebSocketSink& sink) {
  std::string plain(piece);
  for (char& c : plain) {
    c = static_cast<char>(static_cast<unsigned char>(c) ^ mask_[mask_at_]);
    mask_at_ = (mask_at_ + 1) & 3;
  }
  if (ends_frame) in_payload_ = false;
  if (IsControl(opcode_)) {
    control_.append(plain);
    return ends_frame ? EndControl(sink) : absl::OkStatus();
  }
  const bool begins = begins_message_;
  begins_message_ = false;
  return sink.OnMessage(plain, begins, ends_frame && fin_);
}

absl::Status WebSocketDecoder::EndControl(WebSocketSink& sink) {
  if (opcode_ == WebSocketOpcode::kPing) sink.OnPing(control_);
  if (opcode_ == WebSocketOpcode::kClose) {
    if (control_.size() == 1) return absl::InvalidArgumentError("WebSocket: bad close frame");
    closed_ = true;
    std::uint16_t code = 1005;
    if (control_.size() >= 2) {
      code = static_cast<std::uint16_t>(static_cast<unsigned char>(control_[0]) << 8 |
                                        static_cast<unsigned char>(control_[1]));
    }
    sink.OnClose(code);
  }
  return absl::OkStatus();
}

void AppendWebSocketHead(WebSocketOpcode opcode, std::uint64_t size, bool masked, std::string* out) {
  const unsigned mask = masked ? 0x80U : 0U;
  out->push_back(static_cast<char>(0x80U | static_cast<unsigned>(opcode)));
  int bytes = 0;
  if (size < 126) {
    out->push_back(static_cast<char>(mask | size));
  } else if (size <= 0xFFFF) {
    out->push_back(static_cast<char>(mask | 126U));
    bytes = 2;
  } else {
    out->push_back(static_cast<char>(mask | 127U));
    bytes = 8;
  }
  for (int i = bytes - 1; i >= 0; --i) out->push_back(static_cast<char>(size >> (8 * i) & 0xFF));
}

void AppendWebSocketFrame(WebSocketOpcode opcode, std::string_view prefix, std::string_view data, std::string* out) {
  const std::uint64_t size = prefix.size() + data.size();
  out->reserve(out->size() + size + 10);
  AppendWebSocketHead(opcode, size, false, out);
  out->append(prefix).append(data);
}

std::string WebSocketCloseFrame(std::uint16_t code) {
  std::string payload;
  if (code != 1005) payload = {static_cast<char>(code >> 8), static_cast<char>(code & 0xFF)};
  std::string frame;
  AppendWebSocketFrame(WebSocketOpcode::kClose, payload, "", &frame);
  return frame;
}

std::string WebSocketAccept(const std::string& key) {
  const std::string text = key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
  std::string digest(SHA_DIGEST_LENGTH, '\0');
  SHA1(reinterpret_cast<const unsigned char*>(text.data()), text.size(),
       reinterpret_cast<unsigned char*>(digest.data()));
  return EncodeBase64(digest);
}

bool IsWebSocketKey(std::string_view key) {
  Base64Decoder decoder;
  std::string bytes;
  return key.size() == 24 && decoder.Feed(key, &bytes) && decoder.Finish() && bytes.size() == 16;
}

std::string EncodeBase64(std::string_view data) {
  std::string out;
  out.reserve((data.size() + 2) / 3 * 4);
  for (std::size_t i = 0; i < data.size(); i += 3) {
    std::uint32_t bits = 0;
    const std::size_t count = std::min<std::size_t>(3, data.size() - i);
    for (std::size_t j = 0; j < 3; ++j) {
      bits = bits << 8 | (j < count ? static_cast<unsigned char>(data[i + j]) : 0U);
    }
    for (std::size_t j = 0; j < 4; ++j) {
      out.push_back(j <= count ? kAlphabet[bits >> (18 - 6 * j) & 63] : '=');
    }
  }
  return out;
}

bool Base64Decoder::Feed(std::string_view text, std::string* out) {
  for (const char c : text) {
    if (c == '\r' || c == '\n') continue;
    const int value = Base64Value(c);
    if (c == '=') {
      if (count_ < 2 || count_ + padding_ > 3) return false;
      ++padding_;
    } else if (value < 0 || padding_ > 0) {
      return false;
    } else {
      bits_ = bits_ << 6 | static_cast<std::uint32_t>(value);
      ++count_;
    }
    if (count_ + padding_ < 4) continue;
    bits_ <<= 6 * padding_;
    const int bytes = 3 - padding_;
    for (int i = 0; i < bytes; ++i) out->push_back(static_cast<char>(bits_ >> (16 - 8 * i) & 0xFF));
    bits_ = 0;
    count_ = 0;
    // Padding ends the text: whatever follows is refused by the check above.
    if (padding_ > 0) padding_ = 4;
  }
  return true;
}

}  // namespace burstlet::kube
