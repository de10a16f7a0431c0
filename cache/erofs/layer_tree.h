// The names and attributes of an image that is being written, in memory; the files' contents are on disk already.
//
// Names are bytes: nothing here touches a file system. Directories are found and changed by number; a path is resolved
// as a kernel would with the image as its root (links followed, "..", at most 40 of them), never beyond. Memory is
// bounded: Add fails with kResourceExhausted above the limit. Threads: one. Failure: Status.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_set.h"
#include "absl/status/statusor.h"

namespace burstlet::cache::erofs {

using InodeId = std::uint32_t;
inline constexpr std::uint32_t kNone = 0xFFFFFFFF;

using Xattrs = std::vector<std::pair<std::string, std::string>>;

/// What every inode has. `mode` has the type bits (S_IFMT).
struct Attributes {
  std::uint32_t mode = 0;
  std::uint32_t uid = 0;
  std::uint32_t gid = 0;
  std::int64_t mtime = 0;
  std::uint32_t mtime_ns = 0;
  std::uint32_t rdev = 0;  // as the kernel encodes it on disk (new_encode_dev)
  Xattrs xattrs;
};

/// One run of a file's chunks: [first, first + count) lie on disk one behind the other from `block` on.
struct ChunkRun {
  std::uint64_t first = 0;
  std::uint64_t count = 0;
  std::uint32_t block = 0;
};

/// Where a file's content is. Chunks in no run are holes. `chunk_bits` counts from the block size.
struct FileData {
  std::uint64_t size = 0;
  std::uint32_t chunk_bits = 0;
  std::vector<ChunkRun> runs;
};

class LayerTree {
 public:
  struct Inode {
    std::uint64_t size = 0;
    std::int64_t mtime = 0;
    std::uint32_t mtime_ns = 0;
    std::uint32_t mode = 0;
    std::uint32_t uid = 0;
    std::uint32_t gid = 0;
    std::uint32_t nlink = 0;
    std::uint32_t rdev = 0;
    std::uint32_t block = kNone;   // of a plain file; later of a directory's or link's own blocks
    std::uint32_t extra = kNone;   // index into chunk maps (file) or offset of the target (symbolic link)
    std::uint32_t xattrs = kNone;  // index of the attribute list
    std::uint32_t child = kNone;   // first entry of a directory
    std::uint32_t parent = kNone;  // directory above
    std::uint32_t nid = 0;         // given by the layout
    bool opaque = false;           // hides what lower layers have below
  };
  struct Entry {
    InodeId parent;
    InodeId inode;
    std::uint32_t name;  // offset in the arena
    std::uint32_t next;  // sibling
    std::uint16_t length;
  };

  explicit LayerTree(std::uint64_t max_memory);
  LayerTree(const LayerTree&) = delete;
  LayerTree& operator=(const LayerTree&) = delete;

  static constexpr InodeId kRoot = 0;

  const Inode& inode(InodeId id) const { return inodes_[id]; }
  bool IsDirectory(InodeId id) const;
  /// A character device 0:0, overlayfs' mark for something removed.
  bool IsWhiteout(InodeId id) const;
  std::optional<InodeId> Find(InodeId directory, std::string_view name) const;
  std::string_view Target(InodeId link) const;

  /// The directory that `path` leads to, links followed; kNotFound when there is none.
  absl::StatusOr<InodeId> Resolve(const std::vector<std::string>& path, std::size_t count) const;
  /// As Resolve; what is missing, no directory or a link to nowhere becomes a directory (0755, root, time 0). One made
  /// where a whiteout was is opaque.
  absl::StatusOr<InodeId> Make(const std::vector<std::string>& path, std::size_t count);

  /// Put something under `name`; what was there is gone, all below it too.
  absl::StatusOr<InodeId> AddFile(InodeId directory, std::string_view name, const Attributes& of, FileData data);
  absl::StatusOr<InodeId> AddSymlink(InodeId directory, std::string_view name, const Attributes& of,
                                     std::string_view target);
  /// Whatever has no content: devices, FIFOs, sockets.
  absl::StatusOr<InodeId> AddSpecial(InodeId directory, std::string_view name, const Attributes& of);
  /// Keeps a directory that is there and sets its attributes (its list of extended ones grows).
  absl::StatusOr<InodeId> AddDirectory(InodeId directory, std::string_view name, const Attributes& of);
  absl::Status AddHardlink(InodeId directory, std::string_view name, InodeId target);
  absl::Status SetAttributes(InodeId id, const Attributes& of);
  void MarkOpaque(InodeId directory) { inodes_[directory].opaque = true; }

  // --- for the layout
  Inode& mutable_inode(InodeId id) { return inodes_[id]; }
  const FileData* Chunks(InodeId id) const;
  const Xattrs* XattrsOf(InodeId id) const;
  std::string_view NameOf(const Entry& entry) const { return {arena_.data() + entry.name, entry.length}; }
  const Entry& entry(std::uint32_t index) const { return entries_[index]; }
  /// Puts a directory's entries into the order of their names' bytes.
  void SortChildren(InodeId directory);

 private:
  struct Key {
    InodeId parent;
    std::string_view name;
  };
  struct Hash {
    using is_transparent = void;
    const LayerTree* tree;
    std::size_t operator()(const Key& key) const;
    std::size_t operator()(std::uint32_t entry) const;
  };
  struct Equal {
    using is_transparent = void;
    const LayerTree* tree;
    bool operator()(std::uint32_t a, std::uint32_t b) const { return a == b; }
    bool operator()(std::uint32_t entry, const Key& key) const;
    bool operator()(const Key& key, std::uint32_t entry) const { return (*this)(entry, key); }
  };

  absl::Status Charge(std::uint64_t bytes);
  absl::StatusOr<InodeId> NewInode(const Attributes& of);
  absl::Status Put(InodeId directory, std::string_view name, InodeId inode);
  void Drop(InodeId inode);
  /// Follows a link's target from `from`; `links` counts all followed for one path.
  std::optional<InodeId> Follow(InodeId from, InodeId link, int* links) const;

  std::uint64_t max_memory_;
  std::uint64_t memory_ = 0;
  std::vector<Inode> inodes_;
  std::vector<Entry> entries_;
  std::string arena_;  // names and targets
  std::vector<Xattrs> xattrs_;
  std::vector<FileData> chunks_;
  absl::flat_hash_set<std::uint32_t, Hash, Equal> index_;  // entries by parent and name
};

}  // namespace burstlet::cache::erofs
