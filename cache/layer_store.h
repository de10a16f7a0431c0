// Unpacked layers on disk, by diffID. The seam for other formats: nothing above knows that a layer is a directory.
//
// A layer appears by one rename, whole or not at all; it stays as long as somebody holds it, and goes when Collect
// finds it unheld. Layers of a former run count only when Adopt names them (an image record did). Threads: any.
// Failure: Status; what was begun is gone then.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "cache/byte_source.h"
#include "cache/digest.h"
#include "cache/fd.h"
#include "cache/unpacker.h"

namespace burstlet::cache {

struct Layer {
  Digest diff_id;
  std::string directory;  // for overlayfs
  std::uint64_t size_bytes = 0;
};

class LayerStore {
 public:
  /// `root` is the images directory, which exists and is ours alone.
  static absl::StatusOr<std::unique_ptr<LayerStore>> Open(const std::string& root);

  /// A layer that a former run finished; null when it is not there.
  std::shared_ptr<const Layer> Adopt(const Digest& diff_id, std::uint64_t size_bytes);
  std::shared_ptr<const Layer> Find(const Digest& diff_id);
  /// Unpacks an uncompressed layer and keeps it when `verify` (asked after the last byte) agrees and the content hashes
  /// to `diff_id`.
  absl::StatusOr<std::shared_ptr<const Layer>> Import(ByteSource& tar, const Digest& diff_id,
                                                      const UnpackLimits& limits,
                                                      const std::function<absl::Status()>& verify,
                                                      const std::atomic<bool>* cancelled);
  /// Removes the layers that nobody holds.
  void Collect();
  /// Removes what is on disk and was not adopted: rubbish of a crash. Only right after opening.
  void Sweep();
  /// Everything written so far is on disk when this returns.
  absl::Status Sync();

 private:
  explicit LayerStore(std::string root) : root_(std::move(root)) {}

  absl::Status Publish(const std::string& tmp_name, const std::string& name);
  void Discard(const std::string& name);

  std::string root_;
  Fd layers_;
  Fd tmp_;
  std::atomic<std::uint64_t> next_tmp_{0};
  std::mutex mutex_;
  std::map<std::string, std::shared_ptr<const Layer>> present_;  // by directory name
};

}  // namespace burstlet::cache
