// Container ids: 64 hex digits of randomness, as other runtimes have them.
#pragma once

#include <string>

namespace burstlet::provider {

std::string NewContainerId();

}  // namespace burstlet::provider
