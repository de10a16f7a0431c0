// Limits of a pod's traffic, and of the rate at which an interface sends: a token bucket (tc-tbf(8)) at its root, by
// rtnetlink(7).
//
// Threads: any; the calling thread's network namespace is meant. Failure: Status with the kernel's words.
#pragma once

#include <cstdint>
#include <map>
#include <string>

#include "absl/status/status.h"

namespace burstlet::sandbox {

/// Bits per second as the pod sees them; 0 = no limit.
struct Bandwidth {
  std::uint64_t ingress = 0;
  std::uint64_t egress = 0;
  bool limited() const { return ingress != 0 || egress != 0; }
};

/// A pod's limits travel among its sandbox's labels, and so are told again after a restart.
void PutBandwidth(const Bandwidth& bandwidth, std::map<std::string, std::string>& labels);
Bandwidth BandwidthOf(const std::map<std::string, std::string>& labels);

/// Replaces what limited the interface before. Packets above the rate wait for up to about 50 ms, then they are
/// dropped, which is what senders measure.
absl::Status LimitSending(const std::string& interface, std::uint64_t bits_per_second);

}  // namespace burstlet::sandbox
