#include "cache/layer_store.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>

#include "absl/strings/str_cat.h"
#include "cache/paths.h"
#include "cache/rooted_tree.h"
#include "metrics/log.h"
#include "metrics/status.h"

namespace burstlet::cache {
namespace {

absl::StatusOr<Fd> OpenDirectory(const std::string& path) {
  if (mkdir(path.c_str(), 0700) != 0 && errno != EEXIST) return ErrnoError(errno, absl::StrCat("make ", path));
  Fd fd(open(path.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  if (!fd.valid()) return ErrnoError(errno, absl::StrCat("open ", path));
  return fd;
}

std::vector<std::string> ListNames(int directory) {
  std::vector<std::string> names;
  const int fd = openat(directory, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  DIR* dir = fd < 0 ? nullptr : fdopendir(fd);
  if (dir == nullptr) {
    if (fd >= 0) close(fd);
    return names;
  }
  while (const dirent* entry = readdir(dir)) {
    const std::string name = entry->d_name;
    if (name != "." && name != "..") names.push_back(name);
  }
  closedir(dir);
  return names;
}

}  // namespace

absl::StatusOr<std::unique_ptr<LayerStore>> LayerStore::Open(const std::string& root) {
  std::unique_ptr<LayerStore> store(new LayerStore(root));
  ASSIGN_OR_RETURN(store->layers_, OpenDirectory(absl::StrCat(root, "/", kLayersDir)));
  ASSIGN_OR_RETURN(store->tmp_, OpenDirectory(absl::StrCat(root, "/", kTmpDir)));
  for (const std::string& name : ListNames(store->tmp_.get())) {
    RETURN_IF_ERROR(RemoveTreeAt(store->tmp_.get(), name));
  }
  return store;
}

std::shared_ptr<const Layer> LayerStore::Adopt(const Digest& diff_id, std::uint64_t size_bytes) {
  const std::string name = ShortName(diff_id.hex());
  const std::lock_guard<std::mutex> lock(mutex_);
  const auto it = present_.find(name);
  if (it != present_.end()) return it->second->diff_id == diff_id ? it->second : nullptr;
  struct stat st = {};
  if (fstatat(layers_.get(), name.c_str(), &st, AT_SYMLINK_NOFOLLOW) != 0 || !S_ISDIR(st.st_mode)) return nullptr;
  auto layer =
      std::make_shared<const Layer>(Layer{diff_id, absl::StrCat(root_, "/", kLayersDir, "/", name), size_bytes});
  present_[name] = layer;
  return layer;
}

std::shared_ptr<const Layer> LayerStore::Find(const Digest& diff_id) {
  const std::lock_guard<std::mutex> lock(mutex_);
  const auto it = present_.find(ShortName(diff_id.hex()));
  return it != present_.end() && it->second->diff_id == diff_id ? it->second : nullptr;
}

absl::StatusOr<std::shared_ptr<const Layer>> LayerStore::Import(ByteSource& tar, const Digest& diff_id,
                                                                const UnpackLimits& limits,
                                                                const std::function<absl::Status()>& verify,
                                                                const std::atomic<bool>* cancelled) {
  const std::string tmp_name = absl::StrCat("layer-", ++next_tmp_);
  if (mkdirat(tmp_.get(), tmp_name.c_str(), 0755) != 0) return ErrnoError(errno, "make a layer's directory");
  const Fd directory(openat(tmp_.get(), tmp_name.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  if (!directory.valid()) return ErrnoError(errno, "open a layer's directory");
  if (fchmod(directory.get(), 0755) != 0) return ErrnoError(errno, "set mode of a layer's directory");

  HashingSource hashed(tar, diff_id.algorithm());
  const absl::StatusOr<UnpackResult> unpacked = Unpack(hashed, directory.get(), limits, cancelled);
  absl::Status status = unpacked.ok() && verify ? verify() : unpacked.status();
  if (status.ok()) {
    const Digest found = hashed.Finish();
    if (found != diff_id) {
      status = absl::DataLossError(
          absl::StrCat("layer's content has the diffID ", found.text(), ", the image's config says ", diff_id.text()));
    }
  }
  const std::string name = ShortName(diff_id.hex());
  if (status.ok()) {
    const std::lock_guard<std::mutex> lock(mutex_);
    const auto it = present_.find(name);
    if (it == present_.end()) {
      status = Publish(tmp_name, name);
      if (status.ok()) {
        auto layer = std::make_shared<const Layer>(
            Layer{diff_id, absl::StrCat(root_, "/", kLayersDir, "/", name), unpacked->size_bytes});
        present_[name] = layer;
        return layer;
      }
    } else if (it->second->diff_id == diff_id) {
      const std::shared_ptr<const Layer> layer = it->second;  // another pull was faster
      Discard(tmp_name);
      return layer;
    } else {
      status = absl::AlreadyExistsError("another layer has this layer's short name");
    }
  }
  Discard(tmp_name);
  return status;
}

absl::Status LayerStore::Publish(const std::string& tmp_name, const std::string& name) {
  if (renameat(tmp_.get(), tmp_name.c_str(), layers_.get(), name.c_str()) == 0) return absl::OkStatus();
  if (errno != ENOTEMPTY && errno != EEXIST) return ErrnoError(errno, "rename a layer into place");
  // Rubbish that an earlier removal could not finish.
  RETURN_IF_ERROR(RemoveTreeAt(layers_.get(), name));
  if (renameat(tmp_.get(), tmp_name.c_str(), layers_.get(), name.c_str()) == 0) return absl::OkStatus();
  return ErrnoError(errno, "rename a layer into place");
}

void LayerStore::Discard(const std::string& name) { LogIfError(RemoveTreeAt(tmp_.get(), name), "remove " + name); }

void LayerStore::Collect() {
  std::vector<std::string> doomed;
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    for (auto it = present_.begin(); it != present_.end();) {
      if (it->second.use_count() > 1) {
        ++it;
        continue;
      }
      const std::string tmp_name = absl::StrCat("gone-", ++next_tmp_);
      if (renameat(layers_.get(), it->first.c_str(), tmp_.get(), tmp_name.c_str()) == 0) doomed.push_back(tmp_name);
      it = present_.erase(it);
    }
  }
  for (const std::string& name : doomed) Discard(name);
}

void LayerStore::Sweep() {
  for (const std::string& name : ListNames(layers_.get())) {
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      if (present_.count(name) != 0) continue;
    }
    Info("Removing a layer that no image names", {{"layer", name}});
    LogIfError(RemoveTreeAt(layers_.get(), name), "remove layer " + name);
  }
}

absl::Status LayerStore::Sync() {
  if (syncfs(layers_.get()) != 0) return ErrnoError(errno, "sync the image store");
  return absl::OkStatus();
}

}  // namespace burstlet::cache
