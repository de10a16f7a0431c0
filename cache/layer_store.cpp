#include "cache/layer_store.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>

#include <set>

#include "absl/strings/str_cat.h"
#include "cache/blob_file.h"
#include "cache/layer_image.h"
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

/// What a layer is called in the layers folder.
std::string DiskName(const std::string& name, bool image) { return image ? name + kImageSuffix : name; }
std::string DiskName(const Layer& layer) { return DiskName(ShortName(layer.diff_id.hex()), !layer.image_sum.empty()); }

}  // namespace

absl::StatusOr<std::unique_ptr<LayerStore>> LayerStore::Open(const std::string& root, const std::string& format,
                                                             bool keep_mounts) {
  std::unique_ptr<LayerStore> store(new LayerStore(root, keep_mounts));
  ASSIGN_OR_RETURN(store->layers_, OpenDirectory(absl::StrCat(root, "/", kLayersDir)));
  const std::string tmp = absl::StrCat(root, "/", kTmpDir);
  ASSIGN_OR_RETURN(store->tmp_, OpenDirectory(tmp));
  for (const std::string& name : ListNames(store->tmp_.get())) {
    RETURN_IF_ERROR(RemoveTreeAt(store->tmp_.get(), name));
  }
  ASSIGN_OR_RETURN(const LayerFormatChoice choice, ChooseLayerFormat(tmp, format));
  ASSIGN_OR_RETURN(store->mounts_, LayerMounts::Open(root, choice.format));
  // As asked for is nothing to tell.
  if (choice.format != LayerFormat::kDirectory || !choice.why.empty())
    Info("Image layers", {{"format", LayerFormatName(choice.format)}, {"why", choice.why}});
  return store;
}

LayerStore::~LayerStore() {
  if (mounts_ != nullptr && !keep_mounts_) mounts_->UnmountAll();
}

/// The directory where a layer that is in its place can be seen.
absl::StatusOr<std::string> LayerStore::Show(const std::string& name, bool image) {
  const std::string path = absl::StrCat(root_, "/", kLayersDir, "/", DiskName(name, image));
  return image ? mounts_->Mount(name, path) : path;
}

std::shared_ptr<const Layer> LayerStore::Adopt(const Digest& diff_id, std::uint64_t size_bytes,
                                               const Digest& image_sum) {
  const std::string name = ShortName(diff_id.hex());
  const bool image = !image_sum.empty();
  const std::lock_guard<std::mutex> lock(mutex_);
  const auto it = present_.find(name);
  if (it != present_.end()) return it->second->diff_id == diff_id ? it->second : nullptr;
  struct stat st = {};
  if (fstatat(layers_.get(), DiskName(name, image).c_str(), &st, AT_SYMLINK_NOFOLLOW) != 0) return nullptr;
  if (image ? !S_ISREG(st.st_mode) || format() == LayerFormat::kDirectory : !S_ISDIR(st.st_mode)) return nullptr;
  const absl::StatusOr<std::string> directory = Show(name, image);
  if (!directory.ok()) {
    Warn("A layer can't be used", {{"diffID", diff_id.text()}, {"err", directory.status().ToString()}});
    return nullptr;
  }
  auto layer = std::make_shared<const Layer>(Layer{diff_id, *directory, size_bytes, image_sum});
  present_[name] = layer;
  return layer;
}

std::shared_ptr<const Layer> LayerStore::Find(const Digest& diff_id) {
  const std::lock_guard<std::mutex> lock(mutex_);
  const auto it = present_.find(ShortName(diff_id.hex()));
  return it != present_.end() && it->second->diff_id == diff_id ? it->second : nullptr;
}

bool LayerStore::Has(const Layer& layer) { return Find(layer.diff_id).get() == &layer; }

absl::Status LayerStore::StageDirectory(ByteSource& tar, const UnpackLimits& limits, const std::atomic<bool>* cancelled,
                                        Staged* staged) {
  if (mkdirat(tmp_.get(), staged->tmp_name.c_str(), 0755) != 0) return ErrnoError(errno, "make a layer's directory");
  const Fd directory(openat(tmp_.get(), staged->tmp_name.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  if (!directory.valid()) return ErrnoError(errno, "open a layer's directory");
  if (fchmod(directory.get(), 0755) != 0) return ErrnoError(errno, "set mode of a layer's directory");
  ASSIGN_OR_RETURN(const UnpackResult unpacked, Unpack(tar, directory.get(), limits, cancelled));
  staged->size_bytes = unpacked.size_bytes;
  return absl::OkStatus();
}

absl::Status LayerStore::StageImage(ByteSource& tar, const Digest& diff_id, const UnpackLimits& limits,
                                    const std::atomic<bool>* cancelled, Staged* staged) {
  ASSIGN_OR_RETURN(const std::unique_ptr<BlobFile> file, BlobFile::Create(tmp_.get(), staged->tmp_name));
  ASSIGN_OR_RETURN(const LayerImageResult made, WriteLayerImage(tar, diff_id, *file, limits, cancelled));
  ASSIGN_OR_RETURN(staged->image_sum, file->Finish());
  staged->size_bytes = made.content.size_bytes;
  return absl::OkStatus();
}

absl::StatusOr<std::shared_ptr<const Layer>> LayerStore::Import(ByteSource& tar, const Digest& diff_id,
                                                                const UnpackLimits& limits,
                                                                const std::function<absl::Status()>& verify,
                                                                const std::atomic<bool>* cancelled) {
  Staged staged;
  staged.tmp_name = absl::StrCat("layer-", ++next_tmp_);
  HashingSource hashed(tar, diff_id.algorithm());
  absl::Status status = format() == LayerFormat::kDirectory ? StageDirectory(hashed, limits, cancelled, &staged)
                                                            : StageImage(hashed, diff_id, limits, cancelled, &staged);
  if (status.ok() && verify) status = verify();
  if (status.ok()) {
    const Digest found = hashed.Finish();
    if (found != diff_id) {
      status = absl::DataLossError(
          absl::StrCat("layer's content has the diffID ", found.text(), ", the image's config says ", diff_id.text()));
    }
  }
  absl::StatusOr<std::shared_ptr<const Layer>> layer = absl::UnknownError("not published");
  if (status.ok()) layer = Publish(staged, diff_id);
  Discard(staged.tmp_name);  // nothing is there any more when it was published
  return status.ok() ? layer : status;
}

absl::StatusOr<std::shared_ptr<const Layer>> LayerStore::Publish(const Staged& staged, const Digest& diff_id) {
  const std::string name = ShortName(diff_id.hex());
  const bool image = !staged.image_sum.empty();
  const std::lock_guard<std::mutex> lock(mutex_);
  const auto it = present_.find(name);
  if (it != present_.end()) {
    if (it->second->diff_id == diff_id) return it->second;  // another pull was faster
    return absl::AlreadyExistsError("another layer has this layer's short name");
  }
  if (image) mounts_->Unmount(name);  // what an earlier removal could not take away
  RETURN_IF_ERROR(Place(staged.tmp_name, DiskName(name, image)));
  const absl::StatusOr<std::string> directory = Show(name, image);
  if (!directory.ok()) {
    LogIfError(RemoveTreeAt(layers_.get(), DiskName(name, image)), "remove layer " + name);
    return directory.status();
  }
  auto layer = std::make_shared<const Layer>(Layer{diff_id, *directory, staged.size_bytes, staged.image_sum});
  present_[name] = layer;
  return layer;
}

absl::Status LayerStore::Place(const std::string& tmp_name, const std::string& name) {
  if (renameat(tmp_.get(), tmp_name.c_str(), layers_.get(), name.c_str()) == 0) return absl::OkStatus();
  if (errno != ENOTEMPTY && errno != EEXIST) return ErrnoError(errno, "rename a layer into place");
  // Rubbish that an earlier removal could not finish.
  RETURN_IF_ERROR(RemoveTreeAt(layers_.get(), name));
  if (renameat(tmp_.get(), tmp_name.c_str(), layers_.get(), name.c_str()) == 0) return absl::OkStatus();
  return ErrnoError(errno, "rename a layer into place");
}

void LayerStore::Discard(const std::string& name) { LogIfError(RemoveTreeAt(tmp_.get(), name), "remove " + name); }

std::string LayerStore::Withdraw(const Layer& layer) {
  // First the mount, then the file: what is mounted at a place is always what lies under its name.
  if (!layer.image_sum.empty()) mounts_->Unmount(ShortName(layer.diff_id.hex()));
  const std::string tmp_name = absl::StrCat("gone-", ++next_tmp_);
  const bool moved = renameat(layers_.get(), DiskName(layer).c_str(), tmp_.get(), tmp_name.c_str()) == 0;
  return moved ? tmp_name : "";
}

void LayerStore::Collect() {
  std::vector<std::string> doomed;
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    for (auto it = present_.begin(); it != present_.end();) {
      if (it->second.use_count() > 1) {
        ++it;
        continue;
      }
      doomed.push_back(Withdraw(*it->second));
      it = present_.erase(it);
    }
  }
  for (const std::string& name : doomed) {
    if (!name.empty()) Discard(name);
  }
}

void LayerStore::Sweep() {
  std::set<std::string> names;
  std::set<std::string> mounted;
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    for (const auto& [name, layer] : present_) {
      names.insert(DiskName(*layer));
      if (!layer->image_sum.empty()) mounted.insert(name);
    }
  }
  for (const std::string& name : mounts_->Names()) {
    if (mounted.count(name) == 0) mounts_->Unmount(name);
  }
  for (const std::string& name : ListNames(layers_.get())) {
    if (names.count(name) != 0) continue;
    Info("Removing a layer that no image names", {{"layer", name}});
    LogIfError(RemoveTreeAt(layers_.get(), name), "remove layer " + name);
  }
}

absl::Status LayerStore::Sync() {
  // An image's file was synced before it got its name; of a directory every file is somewhere on the disk.
  const bool images = format() != LayerFormat::kDirectory;
  if ((images ? fsync(layers_.get()) : syncfs(layers_.get())) != 0) return ErrnoError(errno, "sync the image store");
  return absl::OkStatus();
}

std::vector<Layer> LayerStore::Images() {
  std::vector<Layer> images;
  const std::lock_guard<std::mutex> lock(mutex_);
  for (const auto& [name, layer] : present_) {
    if (!layer->image_sum.empty()) images.push_back(*layer);
  }
  return images;
}

absl::StatusOr<Digest> LayerStore::SumOf(const Layer& layer, const std::function<bool(std::size_t)>& pace) {
  return FileSum(layers_.get(), DiskName(layer), pace);
}

void LayerStore::Forget(const Layer& layer) {
  std::string doomed;
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    const auto it = present_.find(ShortName(layer.diff_id.hex()));
    if (it == present_.end() || it->second->image_sum != layer.image_sum) return;
    doomed = Withdraw(*it->second);
    present_.erase(it);
  }
  if (!doomed.empty()) Discard(doomed);
}

}  // namespace burstlet::cache
