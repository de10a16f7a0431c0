// What the agent remembers of each pod's CNI network: written before the first plugin runs and gone after the last has
// taken it down, so that whatever a plugin made is taken down by the configuration that made it, also after a crash.
//
//   <root-dir>/cni/<pod uid>.json    configuration, result of ADD, what the pod asked for
//
// Threads: any, one caller at a time per pod. Failure: errno statuses; a damaged record is kDataLoss.
#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "cache/json.h"
#include "provider/cni/cni_config.h"

namespace burstlet::provider {

struct CniRecord {
  std::string id;
  std::string netns;  // the path that the plugins were given
  std::string args;   // CNI_ARGS
  CniNetworkConfig config;
  cache::Json runtime = cache::Json::Object();  // capability -> its arguments
  cache::Json result;                           // null until ADD is through
};

class CniRecords {
 public:
  explicit CniRecords(std::string directory) : directory_(std::move(directory)) {}

  absl::Status Open() const;
  absl::Status Write(const CniRecord& record) const;
  absl::StatusOr<CniRecord> Read(const std::string& id) const;
  absl::Status Remove(const std::string& id) const;
  std::vector<std::string> Ids() const;

 private:
  std::string Path(const std::string& id) const { return directory_ + "/" + id + ".json"; }
  const std::string directory_;
};

}  // namespace burstlet::provider
