#include "provider/pod_recovery.h"

#include <map>
#include <memory>
#include <string>
#include <utility>

#include "metrics/log.h"
#include "metrics/status.h"
#include "provider/pod_record.h"
#include "provider/termination_message.h"

namespace burstlet::provider {

absl::StatusOr<std::vector<Recovered>> GatherRecovered(sandbox::SandboxDriver& driver, const AgentPaths& paths) {
  ASSIGN_OR_RETURN(std::vector<sandbox::RecoveredSandbox> sandboxes, driver.Recover());
  std::map<std::string, std::unique_ptr<sandbox::Sandbox>> alive;
  for (sandbox::RecoveredSandbox& found : sandboxes) {
    if (found.sandbox != nullptr) alive[found.spec.id] = std::move(found.sandbox);
  }
  std::vector<Recovered> recovered;
  for (const std::string& uid : ListPodRecords(paths)) {
    auto record = ReadPodRecord(paths, uid);
    if (!record.ok()) {
      Error("Pod record not readable: its directory is removed",
            {{"podUID", uid}, {"err", record.status().ToString()}});
      RemoveTree(paths.PodDir(uid));
      continue;
    }
    Recovered entry;
    entry.record = *std::move(record);
    if (const auto it = alive.find(uid); it != alive.end()) {
      auto states = it->second->Containers();
      if (states.ok()) {
        entry.states = *std::move(states);
        entry.sandbox = std::move(it->second);
      } else {
        LogIfError(states.status(), "Sandbox does not answer");
        LogIfError(it->second->Remove(), "Sandbox not removed");
      }
      alive.erase(it);
    }
    Info("Found a pod of a former agent",
         {{"pod", ObjectName(entry.record.pod.metadata)}, {"podUID", uid}, {"alive", entry.sandbox != nullptr}});
    recovered.push_back(std::move(entry));
  }
  for (const auto& [uid, sandbox] : alive) {
    Warn("Removing a sandbox without a pod", {{"podUID", uid}});
    LogIfError(sandbox->Remove(), "Sandbox not removed");
  }
  return recovered;
}

}  // namespace burstlet::provider
