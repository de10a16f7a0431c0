#include "provider/cni/cni_records.h"

#include <dirent.h>
#include <unistd.h>

#include <cerrno>
#include <memory>

#include "absl/strings/str_cat.h"
#include "metrics/status.h"
#include "sandbox/os/safe_path.h"

namespace burstlet::provider {
namespace {

constexpr std::size_t kLongestRecord = 4 << 20;
constexpr std::string_view kSuffix = ".json";

}  // namespace

absl::Status CniRecords::Open() const { return sandbox::MakeDirectory(directory_, 0700); }

absl::Status CniRecords::Write(const CniRecord& record) const {
  cache::Json json = cache::Json::Object();
  json.object["id"] = record.id;
  json.object["netns"] = record.netns;
  json.object["args"] = record.args;
  json.object["file"] = record.config.file;
  json.object["config"] = CniConfigJson(record.config);
  json.object["runtime"] = record.runtime;
  json.object["result"] = record.result;
  return sandbox::WriteFileAtomically(Path(record.id), json.Dump(), 0600);
}

absl::StatusOr<CniRecord> CniRecords::Read(const std::string& id) const {
  if (access(Path(id).c_str(), F_OK) != 0 && errno == ENOENT) {
    return absl::NotFoundError(absl::StrCat(id, " has no CNI network"));
  }
  ASSIGN_OR_RETURN(const std::string text, sandbox::ReadFile(Path(id), kLongestRecord));
  const absl::StatusOr<cache::Json> json = cache::ParseJson(text, kLongestRecord);
  if (!json.ok() || (*json)["id"].Text() != id) return absl::DataLossError(absl::StrCat(Path(id), " is damaged"));
  CniRecord record;
  record.id = id;
  record.netns = (*json)["netns"].Text();
  record.args = (*json)["args"].Text();
  ASSIGN_OR_RETURN(record.config, ParseCniConfig((*json)["file"].Text(), (*json)["config"].Dump()));
  record.runtime = (*json)["runtime"];
  record.result = (*json)["result"];
  return record;
}

absl::Status CniRecords::Remove(const std::string& id) const {
  if (unlink(Path(id).c_str()) == 0 || errno == ENOENT) return absl::OkStatus();
  return ErrnoError(errno, Path(id));
}

std::vector<std::string> CniRecords::Ids() const {
  std::vector<std::string> ids;
  const std::unique_ptr<DIR, int (*)(DIR*)> stream(opendir(directory_.c_str()), closedir);
  if (stream == nullptr) return ids;
  while (const dirent* entry = readdir(stream.get())) {
    const std::string_view name = entry->d_name;
    if (name.ends_with(kSuffix)) ids.emplace_back(name.substr(0, name.size() - kSuffix.size()));
  }
  return ids;
}

}  // namespace burstlet::provider
