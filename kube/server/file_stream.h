// A response whose body is what a descriptor holds: a file up to a size, or a pipe or socket to its end.
//
// Never further ahead of the client than Wire::kHighWater. Threads: the connection's strand. Failure after the first
// byte: the connection closes before the body's end, so that the client knows.
#pragma once

#include <cstdint>
#include <string>

#include "kube/server/owned_fd.h"
#include "kube/server/wire.h"

namespace burstlet::kube {

/// `size` bytes of a regular file, or everything up to the end when it is below zero. Answers the exchange with 200.
void StreamFile(Exchange& exchange, OwnedFd fd, std::int64_t size, const std::string& content_type);

}  // namespace burstlet::kube
