// Limits of the rate at which an interface sends: a token bucket (tc-tbf(8)) at its root, by rtnetlink(7).
//
// Threads: any; the calling thread's network namespace is meant. Failure: Status with the kernel's words.
#pragma once

#include <cstdint>
#include <string>

#include "absl/status/status.h"

namespace burstlet::sandbox {

/// Replaces what limited the interface before. Packets above the rate wait for up to about 50 ms, then they are
/// dropped, which is what senders measure.
absl::Status LimitSending(const std::string& interface, std::uint64_t bits_per_second);

}  // namespace burstlet::sandbox
