// What a group of processes holds open, counted one by one in /proc: only for who asks for everything.
//
// Threads: any. Processes that end meanwhile are skipped. Source: proc(5); cadvisor's
// lib/container/libcontainer/handler.go processStatsFromProcs.
#pragma once

#include <sys/types.h>

#include <vector>

#include "sandbox/stats.h"

namespace burstlet::sandbox {

/// `first` is the process whose limits are told; 0 = none.
ProcessCounts CountProcesses(const std::vector<pid_t>& pids, pid_t first);

}  // namespace burstlet::sandbox
