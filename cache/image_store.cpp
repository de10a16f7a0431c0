#include "cache/image_store.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>

#include "absl/strings/str_cat.h"
#include "cache/image_catalog.h"
#include "cache/layer_store.h"
#include "cache/local_image_store.h"
#include "cache/paths.h"
#include "cache/puller.h"
#include "cache/registry_client.h"
#include "cache/scrubber.h"
#include "metrics/status.h"

namespace burstlet::cache {
namespace {

/// Images below one directory of the local file system.
class DiskImageStore : public LocalImageStore {
 public:
  DiskImageStore(Fd lock, const RegistryConfig& config, const LayerOptions& options, std::unique_ptr<LayerStore> layers,
                 std::unique_ptr<ImageCatalog> catalog)
      : lock_(std::move(lock)),
        layers_(std::move(layers)),
        catalog_(std::move(catalog)),
        registry_(config, ProxyConfig::FromEnvironment()),
        scrubber_(*layers_, *catalog_, options.scrub_interval, options.scrub_bytes_per_second),
        puller_(config, registry_, *layers_, *catalog_) {}

  std::shared_ptr<const Image> Find(const std::string& reference) override { return catalog_->Find(reference); }
  absl::StatusOr<PullResult> Pull(const PullRequest& request) override { return puller_.Pull(request); }
  std::vector<std::shared_ptr<const Image>> List() override { return catalog_->List(); }
  std::vector<StoredImage> Usage() override { return catalog_->Usage(); }
  absl::Status Remove(const std::string& reference) override { return catalog_->Remove(reference); }
  std::size_t Scrub() override { return scrubber_.Pass(); }
  void Unmount() override { layers_->Unmount(); }

 private:
  Fd lock_;
  std::unique_ptr<LayerStore> layers_;
  std::unique_ptr<ImageCatalog> catalog_;
  RegistryClient registry_;
  Scrubber scrubber_;
  Puller puller_;  // last: it stops first
};

absl::StatusOr<Fd> LockRoot(const std::string& root) {
  for (std::size_t at = root.find('/', 1); at != std::string::npos; at = root.find('/', at + 1)) {
    if (mkdir(root.substr(0, at).c_str(), 0700) != 0 && errno != EEXIST)
      return ErrnoError(errno, absl::StrCat("make ", root.substr(0, at)));
  }
  if (mkdir(root.c_str(), 0700) != 0 && errno != EEXIST) return ErrnoError(errno, absl::StrCat("make ", root));
  // Setuid programs of images are in here: no other user may pass.
  if (chmod(root.c_str(), 0700) != 0) return ErrnoError(errno, absl::StrCat("set mode of ", root));
  const std::string path = absl::StrCat(root, "/", kLockFile);
  Fd fd(open(path.c_str(), O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600));
  if (!fd.valid()) return ErrnoError(errno, absl::StrCat("open ", path));
  if (flock(fd.get(), LOCK_EX | LOCK_NB) != 0) {
    return absl::FailedPreconditionError(absl::StrCat("the image store ", root, " is in use by another process"));
  }
  return fd;
}

}  // namespace

absl::StatusOr<std::unique_ptr<LocalImageStore>> LocalImageStore::Open(const std::string& root,
                                                                       const RegistryConfig& config,
                                                                       const LayerOptions& options) {
  ASSIGN_OR_RETURN(Fd lock, LockRoot(root));
  ASSIGN_OR_RETURN(std::unique_ptr<LayerStore> layers, LayerStore::Open(root, options.format, options.keep_mounts));
  ASSIGN_OR_RETURN(std::unique_ptr<ImageCatalog> catalog, ImageCatalog::Open(root, *layers));
  return std::unique_ptr<LocalImageStore>(
      std::make_unique<DiskImageStore>(std::move(lock), config, options, std::move(layers), std::move(catalog)));
}

absl::StatusOr<std::unique_ptr<ImageStore>> ImageStore::Open(const std::string& root, const RegistryConfig& config) {
  // Mounts that outlive an agent are for who says so: LocalImageStore has the choice.
  return LocalImageStore::Open(root, config, {.format = "directory"});
}

}  // namespace burstlet::cache
