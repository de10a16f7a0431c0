// HttpResponseReader: bytes of a container to a status and a little body.
#include <algorithm>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "provider/prober/http_message.h"
#include "provider/prober/outcome.h"

namespace burstlet::provider {
namespace {

constexpr std::size_t kMaxHead = 64 * 1024;
constexpr std::size_t kMaxLine = 4 * 1024;  // of a chunk's size and of a trailer

}  // namespace

HttpResponseReader::State HttpResponseReader::Bad(std::string why) {
  error_ = std::move(why);
  input_.clear();
  return state_ = State::kBad;
}

HttpResponseReader::State HttpResponseReader::Feed(std::string_view bytes) {
  if (state_ != State::kMore) return state_;
  input_.append(bytes);
  while (state_ == State::kMore && status_ == 0) {
    const std::size_t before = input_.size();
    ParseHead();
    if (status_ == 0 && input_.size() == before) return state_;  // more is needed, or it is bad
  }
  if (state_ != State::kMore) return state_;
  return ReadBody();
}

HttpResponseReader::State HttpResponseReader::Close() {
  if (state_ != State::kMore) return state_;
  if (status_ == 0) return Bad(input_.empty() ? "EOF" : "unexpected EOF");
  if (kind_ == Body::kUntilClose) return state_ = State::kDone;
  return Bad("unexpected EOF");
}

bool HttpResponseReader::ParseStatusLine(std::string_view line) {
  // "HTTP/1.1 200 OK"
  if (!absl::StartsWith(std::string(line.substr(0, 7)), "HTTP/1.") || line.size() < 12 || line[8] != ' ') return false;
  if (line.size() > 12 && line[12] != ' ') return false;
  int status = 0;
  if (!absl::SimpleAtoi(std::string(line.substr(9, 3)), &status) || status < 100) return false;
  status_ = status;
  return true;
}

HttpResponseReader::State HttpResponseReader::ParseHead() {
  std::size_t end = input_.find("\r\n\r\n");
  std::size_t skip = 4;
  if (const std::size_t bare = input_.find("\n\n"); bare < end) {
    end = bare;
    skip = 2;
  }
  if (end == std::string::npos) {
    return input_.size() > kMaxHead ? Bad("net/http: HTTP/1.x transport connection broken: header too long") : state_;
  }
  const std::string head = input_.substr(0, end);
  input_.erase(0, end + skip);
  std::size_t at = head.find('\n');
  const std::string first(absl::StripTrailingAsciiWhitespace(head.substr(0, at)));
  if (!ParseStatusLine(first)) return Bad(absl::StrCat("malformed HTTP response \"", first.substr(0, 80), "\""));
  bool chunked = false;
  std::optional<std::uint64_t> length;
  while (at != std::string::npos) {
    const std::size_t next = head.find('\n', at + 1);
    const std::string line = head.substr(at + 1, next == std::string::npos ? next : next - at - 1);
    at = next;
    const std::size_t colon = line.find(':');
    if (colon == std::string::npos) continue;
    const std::string name = line.substr(0, colon);
    const std::string value(absl::StripAsciiWhitespace(line.substr(colon + 1)));
    if (absl::EqualsIgnoreCase(name, "Location") && !location_) location_ = value;
    if (absl::EqualsIgnoreCase(name, "Transfer-Encoding")) chunked |= absl::EqualsIgnoreCase(value, "chunked");
    if (absl::EqualsIgnoreCase(name, "Content-Length")) {
      std::uint64_t number = 0;
      if (!absl::SimpleAtoi(value, &number))
        return Bad(absl::StrCat("bad Content-Length \"", value.substr(0, 80), "\""));
      length = number;
    }
  }
  if (status_ < 200 && status_ != 101) {  // only an announcement: the answer follows
    status_ = 0;
    location_.reset();
    return state_;
  }
  kind_ = chunked ? Body::kChunks : length ? Body::kLength : Body::kUntilClose;
  left_ = kind_ == Body::kLength ? *length : 0;
  if (status_ == 101 || status_ == 204 || status_ == 304) {
    kind_ = Body::kLength;
    left_ = 0;
  }
  return state_;
}

/// Moves bytes from the input to the body. The body is full at its limit: the rest is nobody's business.
void HttpResponseReader::Keep(std::size_t bytes) {
  body_.append(input_, 0, std::min(bytes, kMaxProbeOutput - body_.size()));
  input_.erase(0, bytes);
  if (body_.size() == kMaxProbeOutput) state_ = State::kDone;
}

HttpResponseReader::State HttpResponseReader::ReadBody() {
  if (kind_ == Body::kChunks) return ReadChunks();
  if (kind_ == Body::kUntilClose) {
    Keep(input_.size());
    return state_;
  }
  const auto take = static_cast<std::size_t>(std::min<std::uint64_t>(left_, input_.size()));
  left_ -= take;
  Keep(take);
  if (left_ == 0) state_ = State::kDone;
  return state_;
}

bool HttpResponseReader::ReadChunkSize() {
  const std::size_t end = input_.find('\n');
  if (end == std::string::npos) {
    if (input_.size() > kMaxLine) Bad("malformed chunked encoding");
    return false;
  }
  std::string line = input_.substr(0, end);
  input_.erase(0, end + 1);
  line.resize(std::min(line.size(), line.find(';')));
  line = std::string(absl::StripAsciiWhitespace(line));
  if (line.empty() || line.size() > 15 || line.find_first_not_of("0123456789abcdefABCDEF") != std::string::npos) {
    Bad("malformed chunked encoding");
    return false;
  }
  left_ = std::stoull(line, nullptr, 16);
  chunk_ = left_ == 0 ? Chunk::kTrailer : Chunk::kData;
  return true;
}

HttpResponseReader::State HttpResponseReader::ReadChunks() {
  while (state_ == State::kMore) {
    if (chunk_ == Chunk::kSize) {
      if (!ReadChunkSize()) return state_;
    } else if (chunk_ == Chunk::kData) {
      if (input_.empty()) return state_;
      const auto take = static_cast<std::size_t>(std::min<std::uint64_t>(left_, input_.size()));
      left_ -= take;
      Keep(take);
      if (left_ == 0) chunk_ = Chunk::kDataEnd;
    } else {
      // The line end after the data, or a trailer; an empty trailer ends the message.
      const std::size_t end = input_.find('\n');
      if (end == std::string::npos) return input_.size() > kMaxLine ? Bad("malformed chunked encoding") : state_;
      const bool empty = absl::StripAsciiWhitespace(input_.substr(0, end)).empty();
      input_.erase(0, end + 1);
      if (chunk_ == Chunk::kTrailer) {
        if (empty) return state_ = State::kDone;
      } else {
        if (!empty) return Bad("malformed chunked encoding");
        chunk_ = Chunk::kSize;
      }
    }
  }
  return state_;
}

}  // namespace burstlet::provider
