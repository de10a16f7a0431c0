#include "provider/cli/local_agent.h"

#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <charconv>
#include <optional>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "kube/server/local_listener.h"
#include "metrics/status.h"

namespace burstlet::provider {
namespace {

constexpr std::size_t kLongestHead = 64 << 10;
constexpr std::size_t kLongestText = 4096;      // of an error
constexpr std::size_t kLongestBody = 64 << 20;  // of an answer kept whole

struct Head {
  int status = 0;
  bool chunked = false;
  std::optional<std::size_t> length;
};

absl::Status SendAll(int fd, std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t count = send(fd, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) return ErrnoError(errno, "asking the agent");
    bytes.remove_prefix(static_cast<std::size_t>(count));
  }
  return absl::OkStatus();
}

/// What has come of an answer, and more of it on demand.
class Answer {
 public:
  explicit Answer(int fd) : fd_(fd) {}

  absl::StatusOr<Head> ReadHead() {
    std::size_t end = 0;
    while ((end = input_.find("\r\n\r\n")) == std::string::npos) {
      if (input_.size() > kLongestHead) return absl::InternalError("the agent's answer is no HTTP");
      ASSIGN_OR_RETURN(const bool more, Fill());
      if (!more) return absl::UnavailableError("the agent closed the connection");
    }
    Head head;
    const std::vector<std::string> lines = absl::StrSplit(input_.substr(0, end), "\r\n");
    input_.erase(0, end + 4);
    if (lines[0].size() < 12 || !absl::SimpleAtoi(lines[0].substr(9, 3), &head.status)) {
      return absl::InternalError("the agent's answer is no HTTP");
    }
    for (const std::string& line : lines) {
      const std::string lower = absl::AsciiStrToLower(line);
      if (absl::StartsWith(lower, "transfer-encoding: chunked")) head.chunked = true;
      std::size_t length = 0;
      if (absl::StartsWith(lower, "content-length: ") && absl::SimpleAtoi(lower.substr(16), &length)) {
        head.length = length;
      }
    }
    return head;
  }

  absl::Status ReadBody(const Head& head, const LocalAgent::Sink& sink) {
    if (head.chunked) return ReadChunks(sink);
    std::size_t left = head.length.value_or(SIZE_MAX);
    while (left > 0) {
      if (input_.empty()) {
        ASSIGN_OR_RETURN(const bool more, Fill());
        if (!more && !head.length.has_value()) return absl::OkStatus();
        if (!more) return absl::UnavailableError("the agent's answer was cut short");
      }
      RETURN_IF_ERROR(Hand(&left, sink));
    }
    return absl::OkStatus();
  }

  std::string TakeInput() { return std::move(input_); }

 private:
  absl::Status Hand(std::size_t* left, const LocalAgent::Sink& sink) {
    const std::size_t count = std::min(*left, input_.size());
    const absl::Status taken = sink(std::string_view(input_).substr(0, count));
    input_.erase(0, count);
    *left -= count;
    return taken;
  }

  absl::Status ReadChunks(const LocalAgent::Sink& sink) {
    for (;;) {
      std::size_t end = 0;
      while ((end = input_.find("\r\n")) == std::string::npos) RETURN_IF_ERROR(Need());
      std::size_t size = 0;
      const auto [stop, error] = std::from_chars(input_.data(), input_.data() + end, size, 16);
      if (error != std::errc() || stop == input_.data()) return absl::InternalError("the agent's answer is no HTTP");
      input_.erase(0, end + 2);
      const bool last = size == 0;
      while (size > 0) {
        if (input_.empty()) RETURN_IF_ERROR(Need());
        RETURN_IF_ERROR(Hand(&size, sink));
      }
      while (input_.size() < 2) RETURN_IF_ERROR(Need());
      input_.erase(0, 2);
      if (last) return absl::OkStatus();
    }
  }

  absl::Status Need() {
    ASSIGN_OR_RETURN(const bool more, Fill());
    return more ? absl::OkStatus() : absl::UnavailableError("the agent's answer was cut short");
  }

  /// False at the end.
  absl::StatusOr<bool> Fill() {
    std::array<char, 65536> buffer;
    for (;;) {
      const ssize_t count = read(fd_, buffer.data(), buffer.size());
      if (count < 0 && errno == EINTR) continue;
      if (count < 0) return ErrnoError(errno, "the agent's answer");
      input_.append(buffer.data(), static_cast<std::size_t>(count));
      return count > 0;
    }
  }

  const int fd_;
  std::string input_;
};

absl::StatusOr<sandbox::UniqueFd> Ask(const std::string& path, const std::string& request) {
  auto connected = kube::ConnectLocal(path);
  if (absl::IsNotFound(connected.status())) return absl::UnavailableError(absl::StrCat(path, ": no agent runs there"));
  if (!connected.ok()) return connected.status();
  sandbox::UniqueFd fd(*connected);
  RETURN_IF_ERROR(SendAll(fd.get(), request));
  return fd;
}

absl::Status Refusal(const Head& head, Answer& answer) {
  std::string text;
  const absl::Status read = answer.ReadBody(head, [&text](std::string_view piece) {
    text.append(piece.substr(0, kLongestText - std::min(kLongestText, text.size())));
    return absl::OkStatus();
  });
  const std::string said(absl::StripAsciiWhitespace(text));
  const std::string message = said.empty() ? absl::StrCat("the agent answered ", head.status) : said;
  return head.status == 404 ? absl::NotFoundError(message) : absl::UnknownError(message);
}

}  // namespace

std::string AgentSocket(const std::string& root_dir) { return absl::StrCat(root_dir, "/agent.sock"); }

absl::Status LocalAgent::Get(const std::string& target, const Sink& sink) const {
  ASSIGN_OR_RETURN(const sandbox::UniqueFd fd,
                   Ask(path_, absl::StrCat("GET ", target, " HTTP/1.1\r\nHost: agent\r\nConnection: close\r\n\r\n")));
  Answer answer(fd.get());
  ASSIGN_OR_RETURN(const Head head, answer.ReadHead());
  if (head.status != 200) return Refusal(head, answer);
  return answer.ReadBody(head, sink);
}

absl::StatusOr<std::string> LocalAgent::Get(const std::string& target) const {
  std::string body;
  RETURN_IF_ERROR(Get(target, [&body](std::string_view piece) {
    body.append(piece);
    return body.size() <= kLongestBody ? absl::OkStatus() : absl::ResourceExhaustedError("the answer is too long");
  }));
  return body;
}

absl::StatusOr<LocalAgent::WebSocket> LocalAgent::OpenWebSocket(const std::string& target,
                                                                const std::string& protocol) const {
  // The key only proves that the other end speaks the protocol: which it does, being this program.
  ASSIGN_OR_RETURN(
      sandbox::UniqueFd fd,
      Ask(path_, absl::StrCat("GET ", target,
                              " HTTP/1.1\r\nHost: agent\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
                              "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"
                              "Sec-WebSocket-Protocol: ",
                              protocol, "\r\n\r\n")));
  Answer answer(fd.get());
  ASSIGN_OR_RETURN(const Head head, answer.ReadHead());
  if (head.status != 101) return Refusal(head, answer);
  WebSocket socket;
  socket.fd = std::move(fd);
  socket.input = answer.TakeInput();
  return socket;
}

std::string PercentEncode(std::string_view text) {
  static constexpr char kHex[] = "0123456789ABCDEF";
  std::string out;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (absl::ascii_isalnum(byte) || c == '-' || c == '_' || c == '.' || c == '~') {
      out.push_back(c);
    } else {
      out.append(1, '%').append(1, kHex[byte >> 4]).append(1, kHex[byte & 15]);
    }
  }
  return out;
}

}  // namespace burstlet::provider
