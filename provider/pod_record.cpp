#include "provider/pod_record.h"

#include <dirent.h>
#include <sys/stat.h>

#include <memory>

#include "absl/strings/str_cat.h"
#include "kube/json_codec.h"
#include "metrics/status.h"
#include "sandbox/os/safe_path.h"

namespace burstlet::kube {

template absl::StatusOr<provider::PodRecord> Decode<provider::PodRecord>(const std::string&, std::vector<std::string>*);
template std::string Encode<provider::PodRecord>(const provider::PodRecord&);

}  // namespace burstlet::kube

namespace burstlet::provider {

absl::Status WritePodRecord(const AgentPaths& paths, const PodRecord& record) {
  PodRecord lean = record;
  lean.pod.metadata.managedFields = {};
  return Annotate(
      sandbox::WriteFileAtomically(paths.PodFile(record.pod.metadata.uid, "record.json"), kube::Encode(lean), 0600),
      "writing the pod's record");
}

absl::StatusOr<PodRecord> ReadPodRecord(const AgentPaths& paths, const std::string& uid) {
  auto text = sandbox::ReadFile(paths.PodFile(uid, "record.json"), 16u << 20);
  if (!text.ok()) return text.status();
  auto record = kube::Decode<PodRecord>(*text);
  if (!record.ok())
    return absl::DataLossError(absl::StrCat("record of pod ", uid, ": ", std::string(record.status().message())));
  if (record->pod.metadata.uid != uid)
    return absl::DataLossError(absl::StrCat("record of pod ", uid, " names another"));
  return record;
}

std::vector<std::string> ListPodRecords(const AgentPaths& paths) {
  std::vector<std::string> uids;
  const std::unique_ptr<DIR, int (*)(DIR*)> directory(opendir((paths.root_dir + "/pods").c_str()), closedir);
  if (!directory) return uids;
  while (const dirent* entry = readdir(directory.get())) {
    const std::string name = entry->d_name;
    if (name != "." && name != "..") uids.push_back(name);
  }
  return uids;
}

}  // namespace burstlet::provider
