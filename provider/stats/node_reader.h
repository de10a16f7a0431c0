// The machine's own usage, from /proc and /sys. Blocking; threads: any (the reader keeps no state).
// Failure: what cannot be read stays 0 or absent; a machine without memory figures is `failed`.
// Source of the meanings: proc(5); the root cgroup as cadvisor describes it (lib/machine, lib/manager).
#pragma once

#include <string>

#include "provider/stats/samples.h"

namespace burstlet::provider {

struct NodeReaderConfig {
  std::string name;
  std::string root_dir;  // whose disk is the node's
  std::string proc = "/proc";
};

NodeSample ReadNode(const NodeReaderConfig& config, sandbox::StatsDetail detail);
MachineInfo ReadMachine();

/// Space of the file system that `path` lies on; zeros when there is none.
FsSpace ReadSpace(const std::string& path);

}  // namespace burstlet::provider
