// Sends one container log over a connection: what is there, and with `follow` what comes.
//
// The file is read in pieces on the connection's strand, never further ahead of the client than Wire::kHighWater. It
// ends at the end of the file or, following, when the container has ended and the file is read; a log that was renamed
// and made anew (rotation) is read to its end before the new one. Failure before the first byte is a response, after it
// the connection closes. Source: cri-client/pkg/logs/logs.go.
#pragma once

#include <memory>

#include "kube/server/kubelet_server.h"
#include "kube/server/log_watch.h"
#include "kube/server/wire.h"

namespace burstlet::kube {

/// On the exchange's strand. Answers the exchange in any case.
void StreamLog(Exchange& exchange, const LogSource& source, const LogOptions& options,
               std::shared_ptr<LogWatcher> watcher);

/// The offset from which the file holds its last `lines` complete lines (and an unfinished one after them).
absl::StatusOr<std::int64_t> FindTailStart(int fd, std::int64_t size, std::int64_t lines);

}  // namespace burstlet::kube
