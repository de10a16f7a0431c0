#include "provider/volumes/host_path.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "metrics/status.h"
#include "sandbox/os/safe_path.h"

namespace burstlet::provider {
namespace {

struct TypeName {
  const char* type;  // the API's word, also the kubelet's for what it found
  const char* noun;
  mode_t format;
};

constexpr TypeName kTypes[] = {{"Directory", "directory", S_IFDIR},
                               {"File", "file", S_IFREG},
                               {"Socket", "socket file", S_IFSOCK},
                               {"CharDevice", "character device", S_IFCHR},
                               {"BlockDevice", "block device", S_IFBLK}};

absl::StatusOr<std::string> TypeOf(const std::string& path) {
  struct stat status{};
  if (::stat(path.c_str(), &status) != 0) {
    if (errno == ENOENT) return absl::NotFoundError(absl::StrCat("path \"", path, "\" does not exist"));
    return ErrnoError(errno, absl::StrCat("stat ", path));
  }
  for (const auto& type : kTypes) {
    if ((status.st_mode & S_IFMT) == type.format) return std::string(type.type);
  }
  return absl::FailedPreconditionError("only recognise file, directory, socket, block device and character device");
}

absl::Status Expect(const std::string& path, const TypeName& wanted) {
  auto found = TypeOf(path);
  if (!found.ok()) {
    return absl::FailedPreconditionError(
        absl::StrCat("hostPath type check failed, ", path, " is not a ", wanted.noun,
                     ", unable to determine its type: ", std::string(found.status().message())));
  }
  if (*found == wanted.type) return absl::OkStatus();
  return absl::FailedPreconditionError(
      absl::StrCat("hostPath type check failed: ", path, " is not a ", wanted.noun, ", it's a ", *found));
}

bool Exists(const std::string& path) {
  struct stat status{};
  return ::stat(path.c_str(), &status) == 0;
}

absl::Status MakeFile(const std::string& path) {
  const int fd = ::open(path.c_str(), O_RDONLY | O_CREAT | O_CLOEXEC | O_NONBLOCK, 0644);
  if (fd < 0 && errno != EEXIST) return ErrnoError(errno, absl::StrCat("create ", path));
  if (fd >= 0) ::close(fd);
  return absl::OkStatus();
}

}  // namespace

absl::Status CheckHostPath(const kube::HostPathVolumeSource& source) {
  const std::string& path = source.path;
  const std::vector<std::string> elements = absl::StrSplit(path, '/');
  if (std::find(elements.begin(), elements.end(), "..") != elements.end()) {
    return absl::InvalidArgumentError(absl::StrCat("invalid HostPath `", path, "`: must not contain '..'"));
  }
  if (path.empty() || path.front() != '/' || path.find('\0') != std::string::npos) {
    return absl::InvalidArgumentError(absl::StrCat("invalid HostPath `", path, "`: must be an absolute path"));
  }
  const std::string type = source.type.value_or("");
  // No check is asked for; what is missing becomes a directory, which is what container runtimes do.
  if (type.empty()) return Exists(path) ? absl::OkStatus() : sandbox::MakeDirectory(path, 0755);
  if (type == "DirectoryOrCreate" && !Exists(path)) return sandbox::MakeDirectory(path, 0755);
  if (type == "FileOrCreate" && !Exists(path)) return MakeFile(path);
  for (const auto& known : kTypes) {
    if (type == known.type || type == absl::StrCat(known.type, "OrCreate")) return Expect(path, known);
  }
  return absl::InvalidArgumentError(absl::StrCat(type, " is an invalid volume type"));
}

}  // namespace burstlet::provider
