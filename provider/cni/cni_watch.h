// Follows a folder of CNI configurations by inotify: a network that a DaemonSet installs is in use at once, and the
// node becomes ready by it.
//
// Owner: CniNetwork. Threads: one of its own; Current from any. Failure: the reason why there is no network.
#pragma once

#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <thread>

#include "absl/status/statusor.h"
#include "provider/cni/cni_config.h"
#include "sandbox/os/unique_fd.h"

namespace burstlet::provider {

class CniWatch {
 public:
  using Config = absl::StatusOr<std::shared_ptr<const CniNetworkConfig>>;
  /// A configuration's own test (STATUS), run before it is used and again while it fails.
  using Test = std::function<absl::Status(const CniNetworkConfig&)>;

  /// Makes the folder where it is missing, and reads it once before it returns. `changed` is called on the watch's
  /// thread after each change of what Current returns, readiness or file.
  static absl::StatusOr<std::unique_ptr<CniWatch>> Start(std::string directory, Test test,
                                                         std::function<void()> changed);
  ~CniWatch();

  Config Current() const;

 private:
  CniWatch(std::string directory, Test test, std::function<void()> changed);
  absl::Status Arm();
  void Load();
  void Follow();

  const std::string directory_;
  const Test test_;
  const std::function<void()> changed_;
  sandbox::UniqueFd inotify_, stop_;
  mutable std::mutex mutex_;
  Config current_;
  std::thread thread_;
};

}  // namespace burstlet::provider
