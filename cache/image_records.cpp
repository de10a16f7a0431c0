#include "cache/image_records.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>

#include "absl/strings/str_cat.h"
#include "cache/json.h"
#include "cache/paths.h"
#include "metrics/log.h"
#include "metrics/status.h"

namespace burstlet::cache {
namespace {

constexpr std::size_t kMaxRecord = 16u << 20;

absl::StatusOr<Fd> OpenDirectory(const std::string& path) {
  if (mkdir(path.c_str(), 0700) != 0 && errno != EEXIST) return ErrnoError(errno, absl::StrCat("make ", path));
  Fd fd(open(path.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  if (!fd.valid()) return ErrnoError(errno, absl::StrCat("open ", path));
  return fd;
}

std::string FileName(const Digest& id) { return ShortName(id.hex()) + ".json"; }
std::string FileName(const std::string& ref) { return ShortName(DigestOf(ref).hex()) + ".json"; }

Json ToJson(const std::vector<std::string>& texts) {
  Json out = Json::Array();
  for (const std::string& text : texts) out.array.emplace_back(text);
  return out;
}

Json ToJson(const ImageConfig& config) {
  Json out = Json::Object();
  out.object["entrypoint"] = ToJson(config.entrypoint);
  out.object["cmd"] = ToJson(config.cmd);
  out.object["env"] = ToJson(config.env);
  out.object["user"] = config.user;
  out.object["workingDir"] = config.working_dir;
  out.object["stopSignal"] = config.stop_signal;
  out.object["volumes"] = ToJson(config.volumes);
  Json labels = Json::Object();
  for (const auto& [key, value] : config.labels) labels.object.emplace(key, value);
  out.object["labels"] = std::move(labels);
  return out;
}

ImageConfig ConfigFromJson(const Json& json) {
  ImageConfig config;
  config.entrypoint = json["entrypoint"].Strings();
  config.cmd = json["cmd"].Strings();
  config.env = json["env"].Strings();
  config.user = json["user"].Text();
  config.working_dir = json["workingDir"].Text();
  config.stop_signal = json["stopSignal"].Text();
  config.volumes = json["volumes"].Strings();
  for (const auto& [key, value] : json["labels"].object) config.labels.emplace(key, value.Text());
  return config;
}

absl::StatusOr<ImageRecord> ImageFromJson(const Json& json) {
  ImageRecord record;
  ASSIGN_OR_RETURN(record.id, Digest::Parse(json["id"].Text()));
  for (const Json& item : json["layers"].array) {
    ImageRecord::LayerEntry layer;
    ASSIGN_OR_RETURN(layer.diff_id, Digest::Parse(item["diffID"].Text()));
    layer.size_bytes = static_cast<std::uint64_t>(item["size"].number);
    const std::string sum = item["image"].Text();
    if (!sum.empty()) {
      ASSIGN_OR_RETURN(layer.image_sum, Digest::Parse(sum));
    }
    record.layers.push_back(std::move(layer));
  }
  record.config = ConfigFromJson(json["config"]);
  return record;
}

absl::StatusOr<RefRecord> RefFromJson(const Json& json) {
  RefRecord record;
  record.name = json["name"].Text();
  ASSIGN_OR_RETURN(record.id, Digest::Parse(json["image"].Text()));
  ASSIGN_OR_RETURN(record.manifest, Digest::Parse(json["manifest"].Text()));
  return record;
}

absl::StatusOr<std::string> ReadFile(int directory, const std::string& name) {
  const Fd fd(openat(directory, name.c_str(), O_RDONLY | O_NOFOLLOW | O_CLOEXEC));
  if (!fd.valid()) return ErrnoError(errno, absl::StrCat("open ", name));
  std::string out;
  char buffer[65536];
  while (out.size() <= kMaxRecord) {
    const ssize_t got = read(fd.get(), buffer, sizeof(buffer));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return ErrnoError(errno, absl::StrCat("read ", name));
    if (got == 0) return out;
    out.append(buffer, static_cast<std::size_t>(got));
  }
  return absl::InvalidArgumentError(absl::StrCat(name, " is too large"));
}

/// Reads each "*.json" of a directory; what can't be read is removed.
template <typename Record, typename Parse>
std::vector<Record> Load(int directory, Parse parse) {
  std::vector<Record> out;
  const int fd = openat(directory, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  DIR* dir = fd < 0 ? nullptr : fdopendir(fd);
  if (dir == nullptr) return out;
  while (const dirent* entry = readdir(dir)) {
    const std::string name = entry->d_name;
    if (name == "." || name == "..") continue;
    const auto load = [&]() -> absl::StatusOr<Record> {
      ASSIGN_OR_RETURN(const std::string text, ReadFile(directory, name));
      ASSIGN_OR_RETURN(const Json json, ParseJson(text, kMaxRecord));
      return parse(json);
    };
    absl::StatusOr<Record> record = load();
    if (record.ok()) {
      out.push_back(*std::move(record));
    } else {
      Warn("Dropping an unreadable image record", {{"file", name}, {"err", record.status().ToString()}});
      unlinkat(directory, name.c_str(), 0);
    }
  }
  closedir(dir);
  return out;
}

}  // namespace

absl::StatusOr<ImageRecords> ImageRecords::Open(const std::string& root) {
  ImageRecords records;
  ASSIGN_OR_RETURN(records.images_, OpenDirectory(absl::StrCat(root, "/", kImagesDir)));
  ASSIGN_OR_RETURN(records.refs_, OpenDirectory(absl::StrCat(root, "/", kRefsDir)));
  ASSIGN_OR_RETURN(records.tmp_, OpenDirectory(absl::StrCat(root, "/", kTmpDir)));
  return records;
}

std::vector<ImageRecord> ImageRecords::LoadImages() { return Load<ImageRecord>(images_.get(), ImageFromJson); }
std::vector<RefRecord> ImageRecords::LoadRefs() { return Load<RefRecord>(refs_.get(), RefFromJson); }

absl::Status ImageRecords::Save(const ImageRecord& record) {
  Json json = Json::Object();
  json.object["id"] = record.id.text();
  Json layers = Json::Array();
  for (const ImageRecord::LayerEntry& layer : record.layers) {
    Json item = Json::Object();
    item.object["diffID"] = layer.diff_id.text();
    item.object["size"] = static_cast<std::int64_t>(layer.size_bytes);
    if (!layer.image_sum.empty()) item.object["image"] = layer.image_sum.text();
    layers.array.push_back(std::move(item));
  }
  json.object["layers"] = std::move(layers);
  json.object["config"] = ToJson(record.config);
  return Write(images_.get(), FileName(record.id), json.Dump());
}

absl::Status ImageRecords::Save(const RefRecord& record) {
  Json json = Json::Object();
  json.object["name"] = record.name;
  json.object["image"] = record.id.text();
  json.object["manifest"] = record.manifest.text();
  return Write(refs_.get(), FileName(record.name), json.Dump());
}

void ImageRecords::Remove(const ImageRecord& record) { unlinkat(images_.get(), FileName(record.id).c_str(), 0); }
void ImageRecords::Remove(const RefRecord& record) { unlinkat(refs_.get(), FileName(record.name).c_str(), 0); }

absl::Status ImageRecords::Write(int directory, const std::string& name, const std::string& content) {
  const std::string tmp_name = absl::StrCat("record-", ++next_tmp_);
  const auto write_all = [&]() -> absl::Status {
    const Fd fd(openat(tmp_.get(), tmp_name.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600));
    if (!fd.valid()) return ErrnoError(errno, "make an image record");
    std::size_t done = 0;
    while (done < content.size()) {
      const ssize_t wrote = write(fd.get(), content.data() + done, content.size() - done);
      if (wrote < 0 && errno == EINTR) continue;
      if (wrote <= 0) return ErrnoError(errno, "write an image record");
      done += static_cast<std::size_t>(wrote);
    }
    if (fdatasync(fd.get()) != 0) return ErrnoError(errno, "sync an image record");
    if (renameat(tmp_.get(), tmp_name.c_str(), directory, name.c_str()) != 0) {
      return ErrnoError(errno, "rename an image record into place");
    }
    if (fsync(directory) != 0) return ErrnoError(errno, "sync the image records");
    return absl::OkStatus();
  };
  const absl::Status status = write_all();
  if (!status.ok()) unlinkat(tmp_.get(), tmp_name.c_str(), 0);
  return status;
}

}  // namespace burstlet::cache
