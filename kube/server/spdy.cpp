#include "kube/server/spdy.h"

#include <algorithm>
#include <array>
#include <cstdlib>

namespace burstlet::kube {
namespace {

// SPDY's compression dictionary (draft 3.1, section 2.6.10.1): words with their length before them, then a tail.
constexpr std::string_view kDictionaryWords[] = {
    "options",
    "head",
    "post",
    "put",
    "delete",
    "trace",
    "accept",
    "accept-charset",
    "accept-encoding",
    "accept-language",
    "accept-ranges",
    "age",
    "allow",
    "authorization",
    "cache-control",
    "connection",
    "content-base",
    "content-encoding",
    "content-language",
    "content-length",
    "content-location",
    "content-md5",
    "content-range",
    "content-type",
    "date",
    "etag",
    "expect",
    "expires",
    "from",
    "host",
    "if-match",
    "if-modified-since",
    "if-none-match",
    "if-range",
    "if-unmodified-since",
    "last-modified",
    "location",
    "max-forwards",
    "pragma",
    "proxy-authenticate",
    "proxy-authorization",
    "range",
    "referer",
    "retry-after",
    "server",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "user-agent",
    "vary",
    "via",
    "warning",
    "www-authenticate",
    "method",
    "get",
    "status",
    "200 OK",
    "version",
    "HTTP/1.1",
    "url",
    "public",
    "set-cookie",
    "keep-alive",
    "origin",
};
constexpr std::string_view kDictionaryTail =
    "100101201202205206300302303304305306307402405406407408409410411412413414415416417502504505203 Non-Authoritat"
    "ive Information204 No Content301 Moved Permanently400 Bad Request401 Unauthorized403 Forbidden404 Not Found5"
    "00 Internal Server Error501 Not Implemented503 Service UnavailableJan Feb Mar Apr May Jun Jul Aug Sept Oct N"
    "ov Dec 00:00:00 Mon, Tue, Wed, Thu, Fri, Sat, Sun, GMTchunked,text/html,image/png,image/jpg,image/gif,applic"
    "ation/xml,application/xhtml+xml,text/plain,text/javascript,publicprivatemax-age=gzip,deflate,sdchcharset=utf"
    "-8charset=iso-8859-1,utf-,*,enq=0.";

constexpr std::uint32_t kVersion = 3;
constexpr std::size_t kMaxDataFrame = 64 * 1024;
constexpr std::size_t kMaxHeaders = 256;

enum Type : std::uint32_t {
  kSynStream = 1,
  kSynReply = 2,
  kRstStream = 3,
  kSettings = 4,
  kPing = 6,
  kGoAway = 7,
  kHeaders = 8,
  kWindowUpdate = 9,
};

std::uint32_t Read32(std::string_view bytes, std::size_t at) {
  std::uint32_t value = 0;
  for (std::size_t i = 0; i < 4; ++i) value = value << 8 | static_cast<unsigned char>(bytes[at + i]);
  return value;
}

void Append32(std::uint32_t value, std::string* out) {
  for (int shift = 24; shift >= 0; shift -= 8) out->push_back(static_cast<char>(value >> shift & 0xFF));
}

void AppendControl(Type type, std::uint32_t flags, std::size_t length, std::string* out) {
  Append32(0x80000000U | kVersion << 16 | type, out);
  Append32(flags << 24 | static_cast<std::uint32_t>(length), out);
}

const std::string& Dictionary() {
  static const std::string dictionary = [] {
    std::string text;
    for (const std::string_view word : kDictionaryWords) {
      Append32(static_cast<std::uint32_t>(word.size()), &text);
      text.append(word);
    }
    return text.append(kDictionaryTail);
  }();
  return dictionary;
}

const Bytef* ZlibBytes(std::string_view bytes) { return reinterpret_cast<const Bytef*>(bytes.data()); }

// zlib's input pointer is not const by history.
Bytef* ZlibInput(std::string_view bytes) { return const_cast<Bytef*>(ZlibBytes(bytes)); }

absl::Status Malformed(const char* what) { return absl::InvalidArgumentError(std::string("SPDY: ") + what); }

}  // namespace

std::string SpdyHeader(const SpdyHeaders& headers, std::string_view name) {
  for (const auto& [key, value] : headers) {
    if (key == name) return value;
  }
  return "";
}

SpdyDecoder::SpdyDecoder() { zlib_ready_ = inflateInit(&zlib_) == Z_OK; }

SpdyDecoder::~SpdyDecoder() {
  if (zlib_ready_) inflateEnd(&zlib_);
}

absl::Status SpdyDecoder::Feed(std::string_view bytes, SpdySink& sink) {
  while (!bytes.empty()) {
    if (!in_frame_) {
      const std::size_t count = std::min<std::size_t>(8 - head_.size(), bytes.size());
      head_.append(bytes.substr(0, count));
      bytes.remove_prefix(count);
      if (head_.size() < 8) return absl::OkStatus();
      const absl::Status status = Begin(sink);
      if (!status.ok()) return status;
      continue;
    }
    const std::size_t count = std::min(left_, bytes.size());
    left_ -= count;
    if (control_) {
      payload_.append(bytes.substr(0, count));
    } else {
      sink.OnData(stream_, bytes.substr(0, count), left_ == 0 && (flags_ & 1) != 0);
    }
    bytes.remove_prefix(count);
    if (left_ > 0) continue;
    in_frame_ = false;
    if (control_) {
      const absl::Status status = Control(sink);
      if (!status.ok()) return status;
    }
  }
  return absl::OkStatus();
}

absl::Status SpdyDecoder::Begin(SpdySink& sink) {
  const std::uint32_t first = Read32(head_, 0), second = Read32(head_, 4);
  head_.clear();
  control_ = (first & 0x80000000U) != 0;
  flags_ = second >> 24;
  left_ = second & 0xFFFFFF;
  payload_.clear();
  in_frame_ = left_ > 0;
  if (control_) {
    type_ = first & 0xFFFF;
    if ((first >> 16 & 0x7FFF) != kVersion) return Malformed("unknown version");
    if (left_ > kMaxControlBytes) return Malformed("control frame too large");
    return in_frame_ ? absl::OkStatus() : Control(sink);
  }
  stream_ = first;
  if (stream_ == 0) return Malformed("data for stream zero");
  if (!in_frame_ && (flags_ & 1) != 0) sink.OnData(stream_, std::string_view(), true);
  return absl::OkStatus();
}

absl::Status SpdyDecoder::Control(SpdySink& sink) {
  const std::string_view payload = payload_;
  const std::size_t fixed = type_ == kSynStream ? 10 : type_ == kRstStream || type_ == kGoAway ? 8 : 4;
  if (type_ == kSettings || type_ == kWindowUpdate) return absl::OkStatus();
  if (payload.size() < fixed) return Malformed("short control frame");
  const std::uint32_t id = Read32(payload, 0) & 0x7FFFFFFF;
  SpdyHeaders headers;
  switch (type_) {
    case kSynStream: {
      const absl::Status status = HeaderBlock(payload.substr(10), &headers);
      if (!status.ok()) return status;
      sink.OnSynStream(id, headers, (flags_ & 1) != 0);
      return absl::OkStatus();
    }
    case kSynReply:
    case kHeaders: {
      // Unpacked even where nobody reads them: the next block builds on this one.
      const absl::Status status = HeaderBlock(payload.substr(4), &headers);
      if (!status.ok()) return status;
      if (type_ == kSynReply) sink.OnSynReply(id);
      if ((flags_ & 1) != 0) sink.OnData(id, std::string_view(), true);
      return absl::OkStatus();
    }
    case kRstStream:
      sink.OnReset(id, Read32(payload, 4));
      return absl::OkStatus();
    case kPing:
      sink.OnPing(Read32(payload, 0));
      return absl::OkStatus();
    case kGoAway:
      sink.OnGoAway();
      return absl::OkStatus();
    default:
      return Malformed("unknown control frame");
  }
}

absl::Status SpdyDecoder::HeaderBlock(std::string_view block, SpdyHeaders* headers) {
  std::string text;
  const absl::Status status = Inflate(block, &text);
  if (!status.ok()) return status;
  std::string_view rest = text;
  if (rest.size() < 4) return Malformed("short header block");
  const std::uint32_t count = Read32(rest, 0);
  rest.remove_prefix(4);
  if (count > kMaxHeaders) return Malformed("too many headers");
  for (std::uint32_t i = 0; i < count * 2; ++i) {
    if (rest.size() < 4) return Malformed("short header block");
    const std::uint32_t length = Read32(rest, 0);
    rest.remove_prefix(4);
    if (length > rest.size()) return Malformed("short header block");
    if (i % 2 == 0) {
      headers->emplace_back(std::string(rest.substr(0, length)), "");
    } else {
      headers->back().second = std::string(rest.substr(0, length));
    }
    rest.remove_prefix(length);
  }
  return rest.empty() ? absl::OkStatus() : Malformed("bytes after the header block");
}

absl::Status SpdyDecoder::Inflate(std::string_view block, std::string* out) {
  if (!zlib_ready_) return absl::ResourceExhaustedError("zlib");
  std::array<char, 4096> buffer;
  zlib_.next_in = ZlibInput(block);
  zlib_.avail_in = static_cast<uInt>(block.size());
  do {
    zlib_.next_out = reinterpret_cast<Bytef*>(buffer.data());
    zlib_.avail_out = static_cast<uInt>(buffer.size());
    int result = inflate(&zlib_, Z_SYNC_FLUSH);
    if (result == Z_NEED_DICT) {
      result = inflateSetDictionary(&zlib_, ZlibBytes(Dictionary()), static_cast<uInt>(Dictionary().size()));
      if (result != Z_OK) return Malformed("unknown compression dictionary");
      continue;
    }
    if (result != Z_OK && result != Z_BUF_ERROR) return Malformed("bad header compression");
    out->append(buffer.data(), buffer.size() - zlib_.avail_out);
    if (out->size() > kMaxHeaderBytes) return Malformed("headers too large");
    if (result == Z_BUF_ERROR) break;
  } while (zlib_.avail_in > 0 || zlib_.avail_out == 0);
  return absl::OkStatus();
}

SpdyEncoder::SpdyEncoder() {
  // Small memory: headers are few and short, sessions many.
  if (deflateInit2(&zlib_, Z_BEST_SPEED, Z_DEFLATED, 11, 2, Z_DEFAULT_STRATEGY) != Z_OK) std::abort();
  deflateSetDictionary(&zlib_, ZlibBytes(Dictionary()), static_cast<uInt>(Dictionary().size()));
}

SpdyEncoder::~SpdyEncoder() { deflateEnd(&zlib_); }

std::string SpdyEncoder::Deflate(const SpdyHeaders& headers) {
  std::string text;
  Append32(static_cast<std::uint32_t>(headers.size()), &text);
  for (const auto& [name, value] : headers) {
    Append32(static_cast<std::uint32_t>(name.size()), &text);
    text.append(name);
    Append32(static_cast<std::uint32_t>(value.size()), &text);
    text.append(value);
  }
  std::string block;
  std::array<char, 1024> buffer;
  zlib_.next_in = ZlibInput(text);
  zlib_.avail_in = static_cast<uInt>(text.size());
  do {
    zlib_.next_out = reinterpret_cast<Bytef*>(buffer.data());
    zlib_.avail_out = static_cast<uInt>(buffer.size());
    deflate(&zlib_, Z_SYNC_FLUSH);
    block.append(buffer.data(), buffer.size() - zlib_.avail_out);
  } while (zlib_.avail_out == 0);
  return block;
}

void SpdyEncoder::SynStream(std::uint32_t id, const SpdyHeaders& headers, std::string* out) {
  const std::string block = Deflate(headers);
  AppendControl(kSynStream, 0, block.size() + 10, out);
  Append32(id, out);
  Append32(0, out);
  out->append(2, '\0').append(block);
}

void SpdyEncoder::SynReply(std::uint32_t id, std::string* out) {
  const std::string block = Deflate({});
  AppendControl(kSynReply, 0, block.size() + 4, out);
  Append32(id, out);
  out->append(block);
}

void SpdyEncoder::Data(std::uint32_t id, std::string_view data, bool fin, std::string* out) {
  do {
    const std::string_view piece = data.substr(0, kMaxDataFrame);
    data.remove_prefix(piece.size());
    Append32(id, out);
    Append32((fin && data.empty() ? 1U << 24 : 0U) | static_cast<std::uint32_t>(piece.size()), out);
    out->append(piece);
  } while (!data.empty());
}

void SpdyEncoder::Reset(std::uint32_t id, SpdyReset status, std::string* out) {
  AppendControl(kRstStream, 0, 8, out);
  Append32(id, out);
  Append32(static_cast<std::uint32_t>(status), out);
}

void SpdyEncoder::Ping(std::uint32_t id, std::string* out) {
  AppendControl(kPing, 0, 4, out);
  Append32(id, out);
}

void SpdyEncoder::GoAway(std::uint32_t last_good_stream, std::string* out) {
  AppendControl(kGoAway, 0, 8, out);
  Append32(last_good_stream, out);
  Append32(0, out);
}

}  // namespace burstlet::kube
