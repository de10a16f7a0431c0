// The image store of this host's disk, with what concerns the disk: how layers are kept, mounted and checked.
//
// Threads and failures as image_store.h says. Closing it ends pulls and takes the mounts away unless they are to stay.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "cache/image_store.h"

namespace burstlet::cache {

/// How layers are kept on this node's disk.
struct LayerOptions {
  std::string format = "auto";  // auto | erofs | erofs-loop | directory (cache/layer_mounts.h)
  bool keep_mounts = false;     // layers stay mounted when the store is closed: for an agent whose pods outlive it
  std::chrono::milliseconds scrub_interval{0};         // between two checks of all layers against bit rot; 0: none
  std::uint64_t scrub_bytes_per_second = 20ull << 20;  // 0: as fast as it goes
};

class LocalImageStore : public ImageStore {
 public:
  /// As ImageStore::Open. kFailedPrecondition: the format does not work on this host.
  static absl::StatusOr<std::unique_ptr<LocalImageStore>> Open(const std::string& root, const RegistryConfig& config,
                                                               const LayerOptions& layers);

  /// Checks every layer on disk now; how many were damaged, and are pulled anew at their next use.
  virtual std::size_t Scrub() = 0;
  /// Takes the layers' mounts away, when no pod is left and none will come: then only closing may follow.
  virtual void Unmount() = 0;
};

}  // namespace burstlet::cache
