#include "provider/termination_message.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "metrics/log.h"
#include "metrics/status.h"
#include "sandbox/os/safe_path.h"
#include "sandbox/os/unique_fd.h"

namespace burstlet::provider {
namespace {

constexpr std::size_t kMaxMessageBytes = 4096;
constexpr std::size_t kMaxLogBytes = 2048;
constexpr std::size_t kMaxLogLines = 80;
constexpr std::size_t kLogWindow = 64u << 10;

/// At most `limit` bytes from `offset` of a regular file; "" otherwise.
std::string ReadRegular(const std::string& path, std::size_t limit, bool from_end) {
  const sandbox::UniqueFd fd(open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK));
  if (fd.get() < 0) return "";
  struct stat info{};
  if (fstat(fd.get(), &info) != 0 || !S_ISREG(info.st_mode)) return "";
  off_t offset = 0;
  if (from_end && info.st_size > static_cast<off_t>(limit)) offset = info.st_size - static_cast<off_t>(limit);
  std::string out(limit, '\0');
  const ssize_t got = pread(fd.get(), out.data(), limit, offset);
  out.resize(got > 0 ? static_cast<std::size_t>(got) : 0);
  return out;
}

/// The text of the last lines of a CRI log: "<time> <stream> <tag> <text>".
std::string TailOfLog(const std::string& log_path) {
  const std::string window = ReadRegular(log_path, kLogWindow, true);
  std::vector<std::string> lines;
  std::size_t at = 0;
  while (at < window.size()) {
    std::size_t end = window.find('\n', at);
    if (end == std::string::npos) break;
    const std::string line = window.substr(at, end - at);
    at = end + 1;
    std::size_t text = 0;
    for (int field = 0; field < 3 && text != std::string::npos; ++field) {
      text = line.find(' ', text);
      if (text != std::string::npos) ++text;
    }
    if (text == std::string::npos) continue;
    const bool partial = line.find(" P ") != std::string::npos && line.find(" P ") + 3 == text;
    lines.push_back(line.substr(text) + (partial ? "" : "\n"));
  }
  if (lines.size() > kMaxLogLines) lines.erase(lines.begin(), lines.end() - static_cast<std::ptrdiff_t>(kMaxLogLines));
  std::string out;
  for (const std::string& line : lines) out += line;
  if (out.size() > kMaxLogBytes) out = out.substr(out.size() - kMaxLogBytes);
  return out;
}

/// The API server takes valid UTF-8 only; what is not becomes U+FFFD, as Go's string conversion does it.
std::string ToUtf8(const std::string& bytes) {
  std::string out;
  for (std::size_t i = 0; i < bytes.size();) {
    const auto lead = static_cast<unsigned char>(bytes[i]);
    std::size_t length = lead < 0x80 ? 1 : (lead >> 5) == 6 ? 2 : (lead >> 4) == 14 ? 3 : (lead >> 3) == 30 ? 4 : 0;
    bool valid = length != 0 && i + length <= bytes.size() && lead != 0xc0 && lead != 0xc1 && lead <= 0xf4;
    for (std::size_t k = 1; valid && k < length; ++k) valid = (static_cast<unsigned char>(bytes[i + k]) >> 6) == 2;
    if (valid && length == 3) {
      const auto second = static_cast<unsigned char>(bytes[i + 1]);
      valid = !(lead == 0xe0 && second < 0xa0) && !(lead == 0xed && second >= 0xa0);
    }
    if (valid && length == 4) {
      const auto second = static_cast<unsigned char>(bytes[i + 1]);
      valid = !(lead == 0xf0 && second < 0x90) && !(lead == 0xf4 && second >= 0x90);
    }
    if (valid) {
      out.append(bytes, i, length);
      i += length;
    } else {
      out += "\xef\xbf\xbd";
      ++i;
    }
  }
  return out;
}

}  // namespace

std::string ReadTerminationMessage(const std::string& message_path, const std::string& log_path) {
  std::string message = ReadRegular(message_path, kMaxMessageBytes, false);
  if (message.empty() && !log_path.empty()) message = TailOfLog(log_path);
  return ToUtf8(message);
}

void RemoveOldFiles(const std::vector<std::string>& paths) {
  for (const std::string& path : paths) {
    if (unlink(path.c_str()) != 0 && errno != ENOENT) LogIfError(ErrnoError(errno, path), "Old file not removed");
  }
}

void RemoveTree(const std::string& path) {
  const std::size_t slash = path.rfind('/');
  if (slash == std::string::npos || slash == 0) return;
  const sandbox::UniqueFd parent(open(path.substr(0, slash).c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  if (parent.get() < 0) return;  // nothing there
  const absl::Status removed = sandbox::RemoveTree(parent.get(), path.substr(slash + 1));
  if (!absl::IsNotFound(removed)) LogIfError(removed, "Directory not removed");
}

}  // namespace burstlet::provider
