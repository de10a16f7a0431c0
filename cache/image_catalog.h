// The images that are whole: in memory for the start path, on disk for the next start.
//
// Find touches memory only; writers sync to disk under a lock of their own. A pin is any live Image: removal is
// refused while one exists. Threads: any. Failure: Status; memory changes only after the disk has.
#pragma once

#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/statusor.h"
#include "cache/image_records.h"
#include "cache/image_ref.h"
#include "cache/image_store.h"
#include "cache/layer_store.h"

namespace burstlet::cache {

class ImageCatalog {
 public:
  /// Loads the records, adopts their layers and sweeps what no record names.
  static absl::StatusOr<std::unique_ptr<ImageCatalog>> Open(const std::string& root, LayerStore& layers);
  ~ImageCatalog();

  /// By tag, by digest, or by the image's own id ("sha256:...").
  std::shared_ptr<const Image> Find(const std::string& reference);
  std::vector<std::shared_ptr<const Image>> List();
  std::vector<StoredImage> Usage();

  /// Makes `ref` (and its digest form) name the image. Its layers must be synced. kDataLoss when one of them was found
  /// damaged meanwhile.
  absl::StatusOr<std::shared_ptr<const Image>> Add(const ImageRef& ref, const Digest& manifest,
                                                   const ImageRecord& record,
                                                   std::vector<std::shared_ptr<const Layer>> layers);
  /// Makes `ref` name the image that its repository already has under `manifest`; null when there is none.
  absl::StatusOr<std::shared_ptr<const Image>> AddName(const ImageRef& ref, const Digest& manifest);
  absl::Status Remove(const std::string& reference);
  /// Removes every image with this layer, though it may be in use: the layer was found damaged.
  void RemoveWithLayer(const Digest& diff_id);

 private:
  struct Pin {};
  struct Snapshot {
    Image image;
    std::shared_ptr<Pin> pin;
  };
  struct Entry {
    ImageRecord record;
    std::vector<std::shared_ptr<const Layer>> layers;  // bottom first
    std::shared_ptr<Pin> pin;
    std::map<std::string, std::shared_ptr<Snapshot>> snapshots;  // by repository digest
  };

  ImageCatalog(ImageRecords records, LayerStore& layers) : records_(std::move(records)), layers_(layers) {}

  absl::Status Load();
  absl::Status WriteNames(const ImageRef& ref, const Digest& manifest, const Digest& id);
  void SetNames(const ImageRef& ref, const Digest& manifest, const Digest& id);
  std::shared_ptr<const Image> Get(const std::string& name);
  void Rebuild(const std::string& id);
  const RefRecord* Resolve(const std::string& reference) const;
  static bool Pinned(const Entry& entry);
  /// Takes an image and its names out of memory; mutex_ is held. Its names, for the records.
  std::vector<RefRecord> Detach(const std::string& id, Entry* removed);

  ImageRecords records_;  // guarded by writing_
  LayerStore& layers_;
  std::mutex writing_;                                // taken before mutex_, held over disk writes
  std::mutex mutex_;                                  // memory, for moments
  absl::flat_hash_map<std::string, Entry> images_;    // by id
  absl::flat_hash_map<std::string, RefRecord> refs_;  // by name
};

}  // namespace burstlet::cache
