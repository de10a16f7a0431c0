// Mounts of layer images: each once, at "<images>/mounts/<name>", shared by every pod that uses the layer.
//
// The folder is a mount of its own with private propagation, so no other namespace gets them. They outlive the agent:
// the next one finds them by their place. What is mounted there belongs to the layer's file, since a mount is taken
// away before its file is changed or removed. Threads: any, one a name. Failure: Status with the errno.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "cache/fd.h"

namespace burstlet::cache {

/// How layers are kept; `auto` in the configuration takes the first that works.
enum class LayerFormat {
  kErofsFile,  // EROFS images mounted as files (Linux 6.12)
  kErofsLoop,  // EROFS images by loop devices
  kDirectory,  // unpacked directories
};
const char* LayerFormatName(LayerFormat format);

struct LayerFormatChoice {
  LayerFormat format = LayerFormat::kDirectory;
  std::string why;  // what better ones said; empty when there is none better
};

/// Tries the formats with a tiny image in `directory` (which exists and may hold files). `wanted`: "auto", or one
/// format's name, which is then the only one tried: kFailedPrecondition when it does not work here.
absl::StatusOr<LayerFormatChoice> ChooseLayerFormat(const std::string& directory, const std::string& wanted);

/// A detached read-only mount of the image in `file`.
absl::StatusOr<Fd> MountImage(const std::string& file, bool loop);

class LayerMounts {
 public:
  /// `root` is the images directory. With kDirectory nothing is ever mounted, and what is there is taken away.
  static absl::StatusOr<std::unique_ptr<LayerMounts>> Open(const std::string& root, LayerFormat format);

  LayerFormat format() const { return format_; }
  /// The directory where the image in `file` can be seen from now on.
  absl::StatusOr<std::string> Mount(const std::string& name, const std::string& file);
  /// Takes it away; pods that use it keep it until they end. Nothing there is fine.
  void Unmount(const std::string& name);
  std::vector<std::string> Names() const;
  /// Takes all away, the folder's own mount too.
  void UnmountAll();

 private:
  LayerMounts(std::string directory, LayerFormat format) : directory_(std::move(directory)), format_(format) {}
  std::string PlaceOf(const std::string& name) const { return directory_ + "/" + name; }

  std::string directory_;
  LayerFormat format_;
};

}  // namespace burstlet::cache
