// A directory tree that belongs to an image: all access goes through a descriptor of its root and never leaves it.
//
// Names come from archives. The kernel resolves parents with openat2(RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS |
// RESOLVE_NO_XDEV): a symbolic link inside the tree, absolute or climbing, ends inside the tree, as it would in the
// container; the last component is never followed. Threads: one per tree. Failure: Status with the errno.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "cache/fd.h"

namespace burstlet::cache {

/// Splits an archive's name into its components: "." and empty ones drop out. Leading slashes are dropped.
/// kInvalidArgument for ".." anywhere and for names that no file system takes.
absl::StatusOr<std::vector<std::string>> SplitEntryPath(std::string_view path);

class RootedTree {
 public:
  /// `root` is a directory that only we write to.
  explicit RootedTree(Fd root) : root_(std::move(root)) {}

  int root() const { return root_.get(); }

  /// A descriptor (O_PATH) of the directory `components[0 .. count)`, made with mode 0755 where it is missing. A link
  /// that dangles or a file in the way is replaced by a directory. Valid until the next call.
  absl::StatusOr<int> Parent(const std::vector<std::string>& components, std::size_t count);
  /// As Parent, but kNotFound instead of making anything.
  absl::StatusOr<int> ExistingParent(const std::vector<std::string>& components, std::size_t count);
  /// The parent's descriptor must not be used after something above it was removed.
  void ForgetParent() { cached_path_.clear(), cached_.Reset(); }

 private:
  absl::StatusOr<Fd> Resolve(const std::string& path) const;

  Fd root_;
  std::string cached_path_;  // consecutive entries mostly share their directory
  Fd cached_;
};

/// Makes the directory `dir` hide what lower layers have under it (overlayfs' opaque mark, kernel
/// Documentation/filesystems/overlayfs.rst).
absl::Status MarkOpaque(int dir);
/// True when `name` is overlayfs' whiteout: a character device 0:0.
bool IsWhiteoutAt(int dir, const std::string& name);

/// Removes `name` in `dir` and all below it, following nothing, crossing no mount, at any depth with two descriptors.
/// Nothing there is fine.
absl::Status RemoveTreeAt(int dir, const std::string& name);

}  // namespace burstlet::cache
