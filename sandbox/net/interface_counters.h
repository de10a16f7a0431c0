// Interface counters out of /proc/PID/net/dev: those of the process's network namespace. Pure; threads: any.
// Loopback and the host's ends of pods' pairs are left out, as cadvisor leaves them out
// (lib/container/libcontainer/handler.go).
#pragma once

#include <string_view>
#include <vector>

#include "sandbox/stats.h"

namespace burstlet::sandbox {

/// Lines that are none of an interface are skipped.
std::vector<InterfaceStats> ParseNetDev(std::string_view text);

}  // namespace burstlet::sandbox
