// What lies below "<root-dir>/images" (mode 0700: setuid files of images are in there).
//
//   lock                  flock'ed by the store that owns the tree
//   layers/<26 hex>/      one unpacked layer, named by its diffID: the content decides, not the image. Short, because
//                         over a hundred of them go into one mount
//   layers/<26 hex>.erofs the same as an EROFS image; its sum is in the records of the images that use it
//   mounts/<26 hex>/      where that image is mounted, once for all pods; a mount with private propagation itself
//   images/<26 hex>.json  one image that is whole: config digest, layers, what a container needs of the config
//   refs/<26 hex>.json    one name (tag or digest) of an image; its file is named by the sha256 of the name
//   tmp/                  what is being made or removed; emptied when the store is opened
//
// Trust: a layer counts only through an image record, and that is renamed into place after everything it names has
// been synced. So no order of crashes shows half an image. Pure.
#pragma once

#include <string>
#include <string_view>

namespace burstlet::cache {

inline constexpr char kLayersDir[] = "layers";
inline constexpr char kImageSuffix[] = ".erofs";
inline constexpr char kMountsDir[] = "mounts";
inline constexpr char kImagesDir[] = "images";
inline constexpr char kRefsDir[] = "refs";
inline constexpr char kTmpDir[] = "tmp";
inline constexpr char kLockFile[] = "lock";

/// 104 bits of a hash: nobody finds two contents for one name, and the full digest is compared anyway.
inline std::string ShortName(std::string_view hex) { return std::string(hex.substr(0, 26)); }

}  // namespace burstlet::cache
