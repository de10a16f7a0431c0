#include "sandbox/net/forwarding.h"

#include <dirent.h>
#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <memory>

#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "metrics/status.h"

namespace burstlet::sandbox {
namespace {

constexpr const char* kConf6 = "/proc/sys/net/ipv6/conf";

/// The first character of a setting: all that is asked for here are small numbers.
absl::StatusOr<char> Read(const std::string& path) {
  const int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return ErrnoError(errno, path);
  char value = 0;
  const ssize_t got = read(fd, &value, 1);
  const int error = errno;
  close(fd);
  if (got != 1) return ErrnoError(got < 0 ? error : EIO, path);
  return value;
}

absl::Status Write(const std::string& path, char value) {
  // Setting what is set already can fail on a read-only /proc/sys and is not worth a write anywhere.
  const absl::StatusOr<char> present = Read(path);
  if (present.ok() && *present == value) return absl::OkStatus();
  const int fd = open(path.c_str(), O_WRONLY | O_CLOEXEC);
  if (fd < 0) return ErrnoError(errno, absl::StrCat("setting ", path));
  const ssize_t put = write(fd, &value, 1);
  const int error = errno;
  close(fd);
  return put == 1 ? absl::OkStatus() : ErrnoError(error, absl::StrCat("setting ", path));
}

absl::Status KeepRouterAdvertisements() {
  const std::unique_ptr<DIR, int (*)(DIR*)> directory(opendir(kConf6), closedir);
  if (directory == nullptr) return ErrnoError(errno, kConf6);
  while (const dirent* entry = readdir(directory.get())) {
    const std::string name = entry->d_name;
    if (name == "." || name == "..") continue;
    const std::string path = absl::StrCat(kConf6, "/", name, "/accept_ra");
    const absl::StatusOr<char> value = Read(path);
    if (value.ok() && *value == '1') RETURN_IF_ERROR(Write(path, '2'));
  }
  return absl::OkStatus();
}

}  // namespace

bool Ipv6Available() { return access(kConf6, F_OK) == 0; }

absl::Status EnableForwarding(bool v4, bool v6) {
  if (v4) RETURN_IF_ERROR(Write("/proc/sys/net/ipv4/ip_forward", '1'));
  if (!v6) return absl::OkStatus();
  const std::string forwarding = absl::StrCat(kConf6, "/all/forwarding");
  ASSIGN_OR_RETURN(const char present, Read(forwarding));
  if (present != '0') return absl::OkStatus();
  RETURN_IF_ERROR(KeepRouterAdvertisements());
  return Write(forwarding, '1');
}

absl::Status AllowLoopback(const std::string& interface) {
  return Write(absl::StrCat("/proc/sys/net/ipv4/conf/", interface, "/route_localnet"), '1');
}

}  // namespace burstlet::sandbox
