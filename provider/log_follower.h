// The pods' logs on a terminal: every container's CRI log, followed and prefixed, for `burstlet run`.
//
// Owner: Standalone. Loop thread only; inotify, no polling.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "kube/async/loop.h"

namespace burstlet::provider {

class LogFollower {
 public:
  virtual ~LogFollower() = default;
  /// Follows `path` from its start; lines go out as "[prefix] text". A file that is followed already is left alone.
  virtual void Follow(const std::string& path, const std::string& prefix) = 0;
  /// Writes out what has come since: before a file is removed.
  virtual void Drain() = 0;
};

/// `write` gets whole lines and which stream ("stdout", "stderr") they came on.
std::unique_ptr<LogFollower> NewLogFollower(
    kube::Loop& loop, std::function<void(const std::string& line, const std::string& stream)> write);

}  // namespace burstlet::provider
