// The texts of a remote command's session: its status, and the client's terminal sizes. No I/O.
#include <unistd.h>

#include <cctype>
#include <cstdint>

#include "kube/server/exec_session.h"

namespace burstlet::kube {
namespace {

constexpr std::size_t kMaxResizeBytes = 4096;

std::string Quote(std::string_view text) {
  std::string out = "\"";
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (c == '"' || c == '\\') {
      out.push_back('\\');
      out.push_back(c);
    } else if (c == '\n') {
      out.append("\\n");
    } else if (byte < 0x20) {
      static constexpr char kHex[] = "0123456789abcdef";
      out.append("\\u00").append(1, kHex[byte >> 4]).append(1, kHex[byte & 15]);
    } else {
      out.push_back(c);
    }
  }
  return out + "\"";
}

// The number after "name": in a flat object; -1 when there is none.
long Number(const std::string& object, const char* name) {
  std::string lower;
  for (const char c : object) lower.push_back(static_cast<char>(std::tolower(static_cast<unsigned char>(c))));
  const std::size_t at = lower.find(std::string("\"") + name + "\"");
  if (at == std::string::npos) return -1;
  std::size_t digit = lower.find(':', at);
  if (digit == std::string::npos) return -1;
  ++digit;
  while (digit < lower.size() && lower[digit] == ' ') ++digit;
  long value = -1;
  for (; digit < lower.size() && lower[digit] >= '0' && lower[digit] <= '9' && value <= UINT16_MAX; ++digit) {
    value = (value < 0 ? 0 : value) * 10 + (lower[digit] - '0');
  }
  return value;
}

}  // namespace

std::string ExitMessage(int exit_code, bool json) {
  if (exit_code == 0) return json ? R"({"metadata":{},"status":"Success"})" : "";
  const std::string code = std::to_string(exit_code);
  const std::string text = "command terminated with non-zero exit code: command terminated with exit code " + code;
  if (!json) return text;
  return R"({"metadata":{},"status":"Failure","message":")" + text +
         R"(","reason":"NonZeroExitCode","details":{"causes":[{"reason":"ExitCode","message":")" + code + R"("}]}})";
}

std::string FailureMessage(const absl::Status& status, bool json) {
  const std::string text =
      "Internal error occurred: error executing command in container: " + std::string(status.message());
  if (!json) return text;
  return R"({"metadata":{},"status":"Failure","message":)" + Quote(text) + R"(,"reason":"InternalError","code":500})";
}

void ResizeParser::Feed(std::string_view bytes,
                        const std::function<void(std::uint16_t width, std::uint16_t height)>& resize) {
  if (broken_) return;
  text_.append(bytes);
  while (true) {
    const std::size_t begin = text_.find('{');
    const std::size_t end = begin == std::string::npos ? std::string::npos : text_.find('}', begin);
    if (end == std::string::npos) break;
    const std::string object = text_.substr(begin, end - begin + 1);
    text_.erase(0, end + 1);
    const long width = Number(object, "width"), height = Number(object, "height");
    const bool sane = width >= 0 && height >= 0 && width <= UINT16_MAX && height <= UINT16_MAX && width + height > 0;
    if (sane) resize(static_cast<std::uint16_t>(width), static_cast<std::uint16_t>(height));
  }
  // A client that never finishes an object gets no more resizes.
  if (text_.size() > kMaxResizeBytes) {
    broken_ = true;
    text_.clear();
  }
}

CommandEnds::~CommandEnds() {
  Abandon();
  for (const int fd : {ends_.stdin_fd, ends_.stdout_fd, ends_.stderr_fd, ends_.master_fd, ends_.exit_fd}) {
    if (fd >= 0) close(fd);
  }
}

void CommandEnds::Abandon() {
  const std::function<void()> abandon = std::exchange(ends_.abandon, nullptr);
  if (abandon) abandon();
}

}  // namespace burstlet::kube
