// A directory for one test, and the few questions that volume tests ask of a file system.
#pragma once

#include <sys/stat.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>

#include "provider/volumes/directory.h"
#include "provider/volumes/node_tmpfs.h"

namespace burstlet::provider::test {

class VolumeDir {
 public:
  VolumeDir() {
    char path[] = "/tmp/burstlet-volumes-XXXXXX";
    REQUIRE(::mkdtemp(path) != nullptr);
    path_ = path;
    auto fd = OpenOwnDirectory(path_);
    REQUIRE(fd.ok());
    fd_ = std::move(*fd);
  }
  ~VolumeDir() {
    // The manager's tmpfs, when a test made one; nothing is removed through a mount.
    const bool unmounted = RemoveNodeTmpfs(path_ + "/volumes").ok();
    if (unmounted) std::filesystem::remove_all(path_);
  }
  const std::string& path() const { return path_; }
  int fd() const { return fd_.get(); }
  std::string operator/(const std::string& name) const { return path_ + "/" + name; }

 private:
  std::string path_;
  sandbox::UniqueFd fd_;
};

inline std::string ReadText(const std::string& path) {
  std::ifstream file(path);
  std::stringstream text;
  text << file.rdbuf();
  return file ? text.str() : "(not there)";
}

inline void WriteText(const std::string& path, const std::string& text) { std::ofstream(path) << text; }

inline mode_t ModeOf(const std::string& path) {
  struct stat status{};
  return ::lstat(path.c_str(), &status) == 0 ? status.st_mode & 07777 : 0;
}

inline std::int64_t GroupOf(const std::string& path) {
  struct stat status{};
  return ::lstat(path.c_str(), &status) == 0 ? static_cast<std::int64_t>(status.st_gid) : -1;
}

inline std::int64_t OwnerOf(const std::string& path) {
  struct stat status{};
  return ::lstat(path.c_str(), &status) == 0 ? static_cast<std::int64_t>(status.st_uid) : -1;
}

/// Mounts and chown need root; without it a test ends here, saying so.
#define NEEDS_ROOT()                                     \
  do {                                                   \
    if (::geteuid() != 0) {                              \
      WARN("skipped: needs root to mount and to chown"); \
      return;                                            \
    }                                                    \
  } while (false)

}  // namespace burstlet::provider::test
