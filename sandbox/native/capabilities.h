// Capability names to bits. Pure; an unknown name is an error that names it.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"

namespace burstlet::sandbox {

/// Accepts "CHOWN", "CAP_CHOWN" in any case, and "ALL".
absl::StatusOr<std::uint64_t> CapabilityBits(const std::vector<std::string>& names);

/// The bit's number, from <linux/capability.h>.
inline constexpr std::uint64_t CapabilityBit(int capability) { return 1ull << capability; }

/// All capabilities this kernel knows.
std::uint64_t AllCapabilities();

}  // namespace burstlet::sandbox
