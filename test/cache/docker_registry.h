// A real docker-registry (Debian's package) on a free loopback port, for one test.
#pragma once

#include <sys/types.h>

#include <string>

#include "test/cache/image_builder.h"
#include "test/cache/temp_dir.h"

namespace burstlet::cache::test {

/// True when the package is there; tests say so and end early otherwise.
bool HaveDockerRegistry();

inline constexpr char kUser[] = "alice";
inline constexpr char kPassword[] = "s3cret:with:colons";

class DockerRegistry {
 public:
  struct Options {
    std::string storage;  // a directory to share between two registries; empty: its own
    bool tls = false;     // with a login of kUser and kPassword; the CA is ca_file()
  };

  DockerRegistry() : DockerRegistry(Options()) {}
  explicit DockerRegistry(const Options& options);
  ~DockerRegistry();

  int port() const { return port_; }
  std::string host() const { return "127.0.0.1:" + std::to_string(port_); }
  std::string ca_file() const { return dir_ / "cert.pem"; }

  /// Pushes blobs and manifest over plain HTTP.
  void Push(const std::string& repository, const std::string& tag, const TestImage& image);
  void PushManifest(const std::string& repository, const std::string& tag, const std::string& type,
                    const std::string& manifest);

 private:
  void PushBlob(const std::string& repository, const std::string& blob);

  TempDir dir_;
  int port_;
  pid_t pid_ = -1;
};

}  // namespace burstlet::cache::test
