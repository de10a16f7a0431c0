#include "provider/env_files.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>

#include "absl/strings/str_cat.h"
#include "metrics/status.h"
#include "provider/translate/env_file.h"
#include "sandbox/os/syscalls.h"
#include "sandbox/os/unique_fd.h"

namespace burstlet::provider {
namespace {

using sandbox::UniqueFd;

absl::StatusOr<std::string> ReadBelow(int volume, const std::string& path) {
  // A FIFO that somebody put there must not hold us up, and a device must not be touched: looked at before it is read.
  const UniqueFd fd(sandbox::OpenAt2(volume, path.c_str(), O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC,
                                     RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS));
  if (!fd.valid()) return ErrnoError(errno, absl::StrCat("failed to open environment variable file \"", path, "\""));
  struct stat status;
  if (fstat(fd.get(), &status) != 0) return ErrnoError(errno, path);
  if (!S_ISREG(status.st_mode)) return absl::InvalidArgumentError(absl::StrCat(path, ": not an ordinary file"));
  std::string text;
  char buffer[16384];
  while (true) {
    const ssize_t got = read(fd.get(), buffer, sizeof(buffer));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return ErrnoError(errno, path);
    if (got == 0) return text;
    text.append(buffer, static_cast<std::size_t>(got));
    if (text.size() > kMaxEnvFileBytes) return absl::InvalidArgumentError(absl::StrCat(path, ": larger than 1 MiB"));
  }
}

absl::StatusOr<std::string> ReadFrom(sandbox::Sandbox& sandbox, const std::string& volume, const std::string& path) {
  ASSIGN_OR_RETURN(const int opened, sandbox.OpenVolume(volume));
  const UniqueFd root(opened);
  return ReadBelow(root.get(), path);
}

}  // namespace

EnvFileTexts ReadEnvFiles(sandbox::Sandbox& sandbox, const kube::Container& container) {
  EnvFileTexts texts;
  for (const kube::EnvVar& variable : container.env) {
    if (!variable.valueFrom || !variable.valueFrom->fileKeyRef) continue;
    const kube::FileKeySelector& ref = *variable.valueFrom->fileKeyRef;
    const std::pair<std::string, std::string> key(ref.volumeName, ref.path);
    if (!texts.contains(key)) texts.emplace(key, ReadFrom(sandbox, ref.volumeName, ref.path));
  }
  return texts;
}

}  // namespace burstlet::provider
