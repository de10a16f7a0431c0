// The rows of /metrics/cadvisor and the families that are told of each: shared by the files that write them.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "metrics/exposition.h"
#include "provider/stats/samples.h"

namespace burstlet::provider::cadvisor {

/// One cgroup. What a pointer leaves null is not told of it.
struct Row {
  std::string labels;  // container, id, image, name, namespace, pod: cadvisor's order is the alphabet's
  std::int64_t at_ms = 0;
  std::int64_t created_at = 0;
  std::int64_t started_at = 0;
  const sandbox::CgroupStats* usage = nullptr;
  const sandbox::Resources* limits = nullptr;
  const std::vector<sandbox::InterfaceStats>* interfaces = nullptr;
  const sandbox::ProcessCounts* processes = nullptr;
  std::optional<DiskUsage> disk;
  std::uint64_t memory_limit = 0;  // 0 = none
  bool machine = false;            // the row "/"
};

std::vector<Row> MakeRows(const StatsSample& sample);

/// container_fs_*: what is used of the node's disk, and transfers.
void WriteDisks(Exposition& out, const std::vector<Row>& rows, const NodeSample& node);
void WriteNetwork(Exposition& out, const std::vector<Row>& rows);
void WriteMachine(Exposition& out, const NodeSample& node, const MachineInfo& machine);

}  // namespace burstlet::provider::cadvisor
