// Base64 (RFC 4648) for credentials. Pure. Failure: kInvalidArgument without the text, which is a secret.
#pragma once

#include <string>
#include <string_view>

#include "absl/status/statusor.h"

namespace burstlet::cache {

std::string Base64Encode(std::string_view data);
/// Standard or URL alphabet, padded or not.
absl::StatusOr<std::string> Base64Decode(std::string_view text);

}  // namespace burstlet::cache
