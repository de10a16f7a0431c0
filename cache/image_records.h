// The store's memory on disk: which images are whole and what they are called (paths.h draws the files).
//
// Each record is one JSON file, written beside, synced and renamed. A record that can't be read is dropped with a
// warning, never trusted. Threads: one at a time (the store's lock). Failure: Status with the errno.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "cache/digest.h"
#include "cache/fd.h"
#include "cache/image_store.h"

namespace burstlet::cache {

struct ImageRecord {
  Digest id;  // of the config
  struct LayerEntry {
    Digest diff_id;
    std::uint64_t size_bytes = 0;
    Digest image_sum;  // of its EROFS image; empty for a directory
  };
  std::vector<LayerEntry> layers;  // bottom first, as in the config
  ImageConfig config;
};

struct RefRecord {
  std::string name;  // "docker.io/library/nginx:1" or "docker.io/library/nginx@sha256:..."
  Digest id;         // of the image's config
  Digest manifest;   // what the name stood for: manifest or index
};

class ImageRecords {
 public:
  static absl::StatusOr<ImageRecords> Open(const std::string& root);

  std::vector<ImageRecord> LoadImages();
  std::vector<RefRecord> LoadRefs();
  absl::Status Save(const ImageRecord& record);
  absl::Status Save(const RefRecord& record);
  void Remove(const ImageRecord& record);
  void Remove(const RefRecord& record);

 private:
  absl::Status Write(int directory, const std::string& name, const std::string& content);

  Fd images_;
  Fd refs_;
  Fd tmp_;
  std::uint64_t next_tmp_ = 0;
};

}  // namespace burstlet::cache
