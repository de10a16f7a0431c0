// Layers on disk, by diffID: EROFS images that are mounted once, or directories where that does not work. The seam:
// above it nobody knows what a layer is but the directory where it can be seen.
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
#include "cache/layer_mounts.h"
#include "cache/unpacker.h"

namespace burstlet::cache {

struct Layer {
  Digest diff_id;
  std::string directory;  // for overlayfs
  std::uint64_t size_bytes = 0;
  Digest image_sum;  // of the EROFS image's file (blob_file.h); empty for a directory
};

class LayerStore {
 public:
  /// `root` is the images directory, which exists and is ours alone. `format`: see ChooseLayerFormat. With
  /// `keep_mounts` layers stay mounted when the store is closed.
  static absl::StatusOr<std::unique_ptr<LayerStore>> Open(const std::string& root, const std::string& format = "auto",
                                                          bool keep_mounts = false);
  ~LayerStore();

  /// A layer that a former run finished; null when it is not there or can't be mounted.
  std::shared_ptr<const Layer> Adopt(const Digest& diff_id, std::uint64_t size_bytes, const Digest& image_sum);
  std::shared_ptr<const Layer> Find(const Digest& diff_id);
  /// Whether `layer` is still what the store has under its diffID.
  bool Has(const Layer& layer);
  /// Reads an uncompressed layer and keeps it when `verify` (asked after the last byte) agrees and the content hashes
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

  /// Copies of the layers whose file can be checked.
  std::vector<Layer> Images();
  /// The sum that the layer's file has now; `pace` as in FileSum. kNotFound when it went meanwhile.
  absl::StatusOr<Digest> SumOf(const Layer& layer, const std::function<bool(std::size_t)>& pace);
  /// Takes a layer away though it may be in use: its file is not what it was. Pods that run go on with their mount.
  void Forget(const Layer& layer);
  /// Takes all mounts away. Nothing may be used afterwards.
  void Unmount() { mounts_->UnmountAll(); }
  LayerFormat format() const { return mounts_->format(); }

 private:
  /// A layer in tmp.
  struct Staged {
    std::string tmp_name;
    std::uint64_t size_bytes = 0;
    Digest image_sum;
  };

  LayerStore(std::string root, bool keep_mounts) : root_(std::move(root)), keep_mounts_(keep_mounts) {}

  absl::Status StageDirectory(ByteSource& tar, const UnpackLimits& limits, const std::atomic<bool>* cancelled,
                              Staged* staged);
  absl::Status StageImage(ByteSource& tar, const Digest& diff_id, const UnpackLimits& limits,
                          const std::atomic<bool>* cancelled, Staged* staged);
  absl::StatusOr<std::shared_ptr<const Layer>> Publish(const Staged& staged, const Digest& diff_id);
  absl::Status Place(const std::string& tmp_name, const std::string& name);
  absl::StatusOr<std::string> Show(const std::string& name, bool image);
  /// Moves a layer out of sight; returns its name in tmp, empty when there is nothing. mutex_ is held.
  std::string Withdraw(const Layer& layer);
  void Discard(const std::string& name);

  std::string root_;
  bool keep_mounts_;
  std::unique_ptr<LayerMounts> mounts_;
  Fd layers_;
  Fd tmp_;
  std::atomic<std::uint64_t> next_tmp_{0};
  std::mutex mutex_;
  std::map<std::string, std::shared_ptr<const Layer>> present_;  // by short name
};

}  // namespace burstlet::cache
