#include "provider/volumes/atomic_writer.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <ctime>
#include <random>
#include <set>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "metrics/status.h"
#include "provider/volumes/directory.h"

namespace burstlet::provider {
namespace {

using sandbox::UniqueFd;

constexpr std::size_t kMaxPath = 4096;
constexpr std::size_t kMaxName = 255;
const char kData[] = "..data";
const char kNewData[] = "..data_tmp";

std::vector<std::string> Split(const std::string& path) {
  std::vector<std::string> elements = absl::StrSplit(path, '/', absl::SkipEmpty());
  std::erase(elements, ".");
  return elements;
}

std::string LinkTarget(int directory, const std::string& name) {
  std::array<char, kMaxPath> buffer;
  const ssize_t size = ::readlinkat(directory, name.c_str(), buffer.data(), buffer.size());
  return size <= 0 ? "" : std::string(buffer.data(), static_cast<std::size_t>(size));
}

/// The directory behind ..data, or "" when there is none that this writer made.
std::string CurrentDirectory(int volume) {
  std::string name = LinkTarget(volume, kData);
  return IsPlainName(name) && name.rfind("..", 0) == 0 && name != kData ? name : "";
}

absl::StatusOr<std::string> ReadWhole(int directory, const std::string& path, std::size_t expected) {
  ASSIGN_OR_RETURN(const UniqueFd fd, OpenInside(directory, path, O_NONBLOCK));
  std::string content(expected + 1, '\0');  // one more shows that the file is longer
  std::size_t have = 0;
  while (have < content.size()) {
    const ssize_t got = ::read(fd.get(), content.data() + have, content.size() - have);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return ErrnoError(errno, absl::StrCat("read ", path));
    if (got == 0) break;
    have += static_cast<std::size_t>(got);
  }
  content.resize(have);
  return content;
}

absl::Status CountFiles(int directory, std::size_t& count) {
  ASSIGN_OR_RETURN(const auto names, ListNames(directory));
  for (const auto& name : names) {
    struct stat status{};
    if (::fstatat(directory, name.c_str(), &status, AT_SYMLINK_NOFOLLOW) != 0) return ErrnoError(errno, name);
    if (!S_ISDIR(status.st_mode)) {
      ++count;
      continue;
    }
    ASSIGN_OR_RETURN(const UniqueFd child, OpenInside(directory, name, O_DIRECTORY));
    RETURN_IF_ERROR(CountFiles(child.get(), count));
  }
  return absl::OkStatus();
}

/// Whether the files on disk are the payload's, no more and no less.
bool SameContent(int volume, const std::string& current, const Payload& payload) {
  auto directory = OpenInside(volume, current, O_DIRECTORY);
  if (!directory.ok()) return false;
  std::size_t count = 0;
  if (!CountFiles(directory->get(), count).ok() || count != payload.size()) return false;
  for (const auto& [path, file] : payload) {
    auto content = ReadWhole(directory->get(), path, file.data.size());
    if (!content.ok() || *content != file.data) return false;
  }
  return true;
}

absl::Status WriteFile(int directory, const std::string& name, const FileProjection& file,
                       const std::optional<GroupOwnership>& group) {
  const UniqueFd fd(::openat(directory, name.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600));
  if (!fd.valid()) return ErrnoError(errno, absl::StrCat("create ", name));
  std::size_t done = 0;
  while (done < file.data.size()) {
    const ssize_t written = ::write(fd.get(), file.data.data() + done, file.data.size() - done);
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) return ErrnoError(errno, absl::StrCat("write ", name));
    done += static_cast<std::size_t>(written);
  }
  if (file.uid && ::fchown(fd.get(), static_cast<uid_t>(*file.uid), static_cast<gid_t>(-1)) != 0) {
    return ErrnoError(errno, absl::StrCat("chown ", name));
  }
  if (::fchmod(fd.get(), file.mode & 07777) != 0) return ErrnoError(errno, absl::StrCat("chmod ", name));
  return group ? SetGroupOf(fd.get(), *group) : absl::OkStatus();
}

absl::Status WriteFiles(int directory, const Payload& payload, const std::optional<GroupOwnership>& group) {
  std::set<std::string> folders;
  for (const auto& [path, file] : payload) {
    const std::size_t slash = path.rfind('/');
    const std::string folder = slash == std::string::npos ? "" : path.substr(0, slash);
    ASSIGN_OR_RETURN(const UniqueFd parent, MakeInside(directory, folder, 0755));
    RETURN_IF_ERROR(WriteFile(parent.get(), path.substr(folder.empty() ? 0 : slash + 1), file, group));
    for (std::size_t end = folder.size(); end != std::string::npos && end > 0; end = folder.rfind('/', end - 1)) {
      folders.insert(folder.substr(0, end));
    }
  }
  if (!group) return absl::OkStatus();
  for (const auto& folder : folders) {
    ASSIGN_OR_RETURN(const UniqueFd fd, OpenInside(directory, folder, O_DIRECTORY));
    RETURN_IF_ERROR(SetGroupOf(fd.get(), *group));
  }
  return SetGroupOf(directory, *group);
}

std::string TimestampName() {
  static thread_local std::mt19937_64 random{std::random_device{}()};
  const std::time_t now = std::time(nullptr);
  std::tm parts{};
  ::gmtime_r(&now, &parts);
  std::array<char, 64> text;
  const std::size_t size = std::strftime(text.data(), text.size(), "..%Y_%m_%d_%H_%M_%S.", &parts);
  return absl::StrCat(std::string(text.data(), size), random() % 10000000000u);
}

/// A new timestamped directory with the whole payload, not visible yet.
absl::StatusOr<std::string> WriteNewDirectory(int volume, const Payload& payload,
                                              const std::optional<GroupOwnership>& group) {
  std::string name = TimestampName();
  while (::mkdirat(volume, name.c_str(), 0755) != 0) {
    if (errno != EEXIST) return ErrnoError(errno, absl::StrCat("create ", name));
    name = TimestampName();
  }
  auto write = [&]() -> absl::Status {
    ASSIGN_OR_RETURN(const UniqueFd directory, OpenInside(volume, name, O_DIRECTORY));
    if (::fchmod(directory.get(), 0755) != 0) return ErrnoError(errno, absl::StrCat("chmod ", name));
    return WriteFiles(directory.get(), payload, group);
  };
  const absl::Status written = write();
  if (!written.ok()) {
    LogIfError(DeleteTree(volume, name), "A volume's unfinished directory stays behind");
    return written;
  }
  return name;
}

absl::Status Publish(int volume, const std::string& name) {
  if (::unlinkat(volume, kNewData, 0) != 0 && errno != ENOENT) return ErrnoError(errno, "delete ..data_tmp");
  if (::symlinkat(name.c_str(), volume, kNewData) != 0) return ErrnoError(errno, "link ..data_tmp");
  if (::renameat(volume, kNewData, volume, kData) != 0) return ErrnoError(errno, "swap ..data");
  return absl::OkStatus();
}

/// Links for what is there, none for what is gone, and no remains of older writes or of a crash.
absl::Status TidyVisible(int volume, const Payload& payload, const std::string& current) {
  std::map<std::string, std::optional<std::int64_t>> wanted;
  for (const auto& [path, file] : payload) wanted.emplace(path.substr(0, path.find('/')), file.uid);
  for (const auto& [name, uid] : wanted) {
    const std::string target = absl::StrCat(kData, "/", name);
    if (LinkTarget(volume, name) == target) continue;
    if (::symlinkat(target.c_str(), volume, name.c_str()) != 0 && errno != EEXIST) {
      return ErrnoError(errno, absl::StrCat("link ", name));
    }
    if (uid &&
        ::fchownat(volume, name.c_str(), static_cast<uid_t>(*uid), static_cast<gid_t>(-1), AT_SYMLINK_NOFOLLOW) != 0) {
      return ErrnoError(errno, absl::StrCat("chown ", name));
    }
  }
  ASSIGN_OR_RETURN(const auto names, ListNames(volume));
  for (const auto& name : names) {
    if (name == kData || name == current) continue;
    const bool ours = name.rfind("..", 0) == 0;
    const bool stale_link = wanted.count(name) == 0 && LinkTarget(volume, name) == absl::StrCat(kData, "/", name);
    // Other directories are mount points made for volumes inside this one.
    if (ours || stale_link) RETURN_IF_ERROR(DeleteTree(volume, name));
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status ValidatePayloadPath(const std::string& path) {
  auto invalid = [](const std::string& what) {
    return absl::InvalidArgumentError(absl::StrCat("invalid path: ", what));
  };
  if (path.empty()) return invalid("must not be empty: \"\"");
  if (path.front() == '/') return invalid(absl::StrCat("must be relative path: ", path));
  if (path.size() > kMaxPath) return invalid("must be less than or equal to 4096 characters");
  if (path.find('\0') != std::string::npos) return invalid("must not contain NUL");
  const std::vector<std::string> elements = absl::StrSplit(path, '/');
  for (const auto& element : elements) {
    if (element == "..") return invalid(absl::StrCat("must not contain '..': ", path));
    if (element.size() > kMaxName) return invalid("filenames must be less than or equal to 255 characters");
  }
  const std::vector<std::string> clean = Split(path);
  if (clean.empty()) return invalid(absl::StrCat("must name a file: ", path));
  if (clean.front().rfind("..", 0) == 0) return invalid(absl::StrCat("must not start with '..': ", path));
  return absl::OkStatus();
}

absl::StatusOr<bool> WritePayload(int volume, const Payload& payload, const std::optional<GroupOwnership>& group) {
  Payload clean;
  for (const auto& [path, file] : payload) {
    RETURN_IF_ERROR(ValidatePayloadPath(path));
    clean[absl::StrJoin(Split(path), "/")] = file;
  }
  std::string current = CurrentDirectory(volume);
  const bool write = current.empty() || !SameContent(volume, current, clean);
  if (write) {
    ASSIGN_OR_RETURN(current, WriteNewDirectory(volume, clean, group));
    const absl::Status published = Publish(volume, current);
    if (!published.ok()) {
      LogIfError(DeleteTree(volume, current), "A volume's unfinished directory stays behind");
      return published;
    }
    if (group) RETURN_IF_ERROR(SetGroupOf(volume, *group));
  }
  RETURN_IF_ERROR(TidyVisible(volume, clean, current));
  return write;
}

}  // namespace burstlet::provider
