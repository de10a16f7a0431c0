// Wakes those who follow log files: one inotify instance for all of them (a host allows few).
//
// Directories are watched, not files, so that a rotated log's successor is seen. Threads: any (locked); callbacks run
// on the event loop under the lock and must only post. Failure: Watch returns an error (limits of the host) and the
// caller looks by itself from time to time.
#pragma once

#include <utility>

#include <boost/asio/any_io_executor.hpp>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "absl/status/statusor.h"

namespace burstlet::kube {

class LogWatcher {
 public:
  /// `writer_closed`: a writer has closed the file, which is how a container's log ends.
  using Callback = std::function<void(bool writer_closed)>;

  static std::shared_ptr<LogWatcher> Create(boost::asio::any_io_executor executor);
  virtual ~LogWatcher() = default;
  virtual absl::StatusOr<std::uint64_t> Watch(const std::string& path, Callback callback) = 0;
  virtual void Unwatch(std::uint64_t id) = 0;
  virtual void Stop() = 0;
};

}  // namespace burstlet::kube
