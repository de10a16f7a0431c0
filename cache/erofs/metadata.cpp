#include "cache/erofs/metadata.h"

#include <sys/stat.h>

#include <array>
#include <cstring>

#include "absl/strings/str_cat.h"
#include "cache/erofs/format.h"
#include "cache/erofs/xattrs.h"
#include "metrics/status.h"

namespace burstlet::cache::erofs {
namespace {

constexpr std::uint32_t kQueued = 1;    // a nid that no inode gets: the first one is 2
constexpr std::uint32_t kFirstNid = 2;  // not 0, which programs that list directories take for "no entry"

std::uint64_t RoundUp(std::uint64_t value, std::uint64_t unit) { return (value + unit - 1) / unit * unit; }

/// Names of one directory in order, "." and ".." among them.
struct Item {
  std::string_view name;
  InodeId inode;
};

std::vector<Item> ItemsOf(const LayerTree& tree, InodeId directory) {
  std::vector<Item> dots = {{".", directory}, {"..", tree.inode(directory).parent}};
  std::vector<Item> items;
  auto dot = dots.begin();
  for (std::uint32_t at = tree.inode(directory).child; at != kNone; at = tree.entry(at).next) {
    const std::string_view name = tree.NameOf(tree.entry(at));
    while (dot != dots.end() && dot->name < name) items.push_back(*dot++);
    items.push_back({name, tree.entry(at).inode});
  }
  items.insert(items.end(), dot, dots.end());
  return items;
}

/// The number of items from `begin` on that fit into one block, and the bytes they take.
std::pair<std::size_t, std::uint32_t> FitBlock(const std::vector<Item>& items, std::size_t begin) {
  std::uint32_t used = 0;
  std::size_t end = begin;
  while (end < items.size()) {
    const auto need = static_cast<std::uint32_t>(sizeof(Dirent) + items[end].name.size());
    if (used + need > kBlockSize) break;
    used += need;
    ++end;
  }
  return {end - begin, used};
}

std::uint64_t DirectorySize(const std::vector<Item>& items) {
  std::uint64_t size = 0;
  for (std::size_t at = 0; at < items.size();) {
    const auto [count, used] = FitBlock(items, at);
    at += count;
    size += at == items.size() ? used : kBlockSize;
  }
  return size;
}

class MetadataWriter {
 public:
  MetadataWriter(LayerTree& tree, std::uint32_t first_block, std::uint64_t max_bytes, Sink& sink)
      : tree_(tree), first_block_(first_block), max_bytes_(max_bytes), sink_(sink) {}

  absl::StatusOr<MetadataInfo> Run() {
    RETURN_IF_ERROR(Place());
    const std::uint64_t blocks = area_blocks_ + own_blocks_;
    if (first_block_ + blocks >= kNoBlock) return absl::ResourceExhaustedError("image has too many blocks");
    if (blocks * kBlockSize > max_bytes_)
      return absl::ResourceExhaustedError("names and attributes are over the limit");
    for (const InodeId id : order_) RETURN_IF_ERROR(WriteInode(id));
    RETURN_IF_ERROR(PadTo(area_blocks_ * kBlockSize));
    for (const InodeId id : order_) RETURN_IF_ERROR(WriteOwnBlocks(id));
    RETURN_IF_ERROR(Flush());
    MetadataInfo info;
    info.inodes = order_.size();
    // Attributes may have moved the root to the second block, never further: 16 bits hold its place.
    info.root_nid = static_cast<std::uint16_t>(tree_.inode(LayerTree::kRoot).nid);
    info.blocks = blocks;
    return info;
  }

 private:
  static bool Is(const LayerTree::Inode& inode, std::uint32_t type) { return (inode.mode & S_IFMT) == type; }

  /// Gives every inode its nid and its blocks.
  absl::Status Place() {
    offset_ = kFirstNid * kNidUnit;
    order_.push_back(LayerTree::kRoot);
    tree_.mutable_inode(LayerTree::kRoot).nid = kQueued;
    for (std::size_t i = 0; i < order_.size(); ++i) {
      const InodeId id = order_[i];
      if (tree_.IsDirectory(id)) PlaceChildren(id);
      RETURN_IF_ERROR(PlaceInode(id));
    }
    area_blocks_ = RoundUp(offset_, kBlockSize) / kBlockSize;
    return absl::OkStatus();
  }

  void PlaceChildren(InodeId id) {
    tree_.SortChildren(id);
    const std::vector<Item> items = ItemsOf(tree_, id);
    std::uint32_t nlink = 2;
    for (const Item& item : items) {
      if (item.name == "." || item.name == "..") continue;
      if (tree_.IsDirectory(item.inode)) ++nlink;
      LayerTree::Inode& child = tree_.mutable_inode(item.inode);
      if (child.nid != 0) continue;  // a hard link to something seen
      child.nid = kQueued;
      order_.push_back(item.inode);
    }
    LayerTree::Inode& inode = tree_.mutable_inode(id);
    inode.nlink = nlink;
    inode.size = DirectorySize(items);
  }

  absl::Status PlaceInode(InodeId id) {
    LayerTree::Inode& inode = tree_.mutable_inode(id);
    ASSIGN_OR_RETURN(const std::string xattrs, EncodeXattrs(tree_.XattrsOf(id), inode.opaque));
    const std::uint64_t fixed = sizeof(DiskInode) + xattrs.size();
    std::uint64_t total = fixed;
    if (Is(inode, S_IFDIR) || Is(inode, S_IFLNK)) {
      const std::uint64_t tail = InlineTail(inode, fixed);
      // Kernels want the inode and what is inline with it in one block.
      if (tail > 0 && offset_ % kBlockSize + fixed + tail > kBlockSize) offset_ = RoundUp(offset_, kBlockSize);
      total += tail;
      inode.block = static_cast<std::uint32_t>(own_blocks_);
      own_blocks_ += RoundUp(inode.size - tail, kBlockSize) / kBlockSize;
    } else if (const FileData* data = tree_.Chunks(id)) {
      total += ChunkCount(*data) * sizeof(std::uint32_t);
    }
    inode.nid = static_cast<std::uint32_t>(offset_ / kNidUnit);
    offset_ = RoundUp(offset_ + total, kNidUnit);
    if (offset_ / kNidUnit >= kNone || own_blocks_ >= kNoBlock || offset_ > max_bytes_) {
      return absl::ResourceExhaustedError("names and attributes are over the limit");
    }
    return absl::OkStatus();
  }

  /// How many bytes at the end of a directory or link stand behind its inode.
  static std::uint64_t InlineTail(const LayerTree::Inode& inode, std::uint64_t fixed) {
    const std::uint64_t tail = inode.size % kBlockSize;
    return fixed + tail <= kBlockSize ? tail : 0;
  }

  static std::uint64_t ChunkCount(const FileData& data) {
    const std::uint64_t chunk = std::uint64_t{kBlockSize} << data.chunk_bits;
    return RoundUp(data.size, chunk) / chunk;
  }

  absl::Status WriteInode(InodeId id) {
    const LayerTree::Inode& inode = tree_.inode(id);
    RETURN_IF_ERROR(PadTo(std::uint64_t{inode.nid} * kNidUnit));
    ASSIGN_OR_RETURN(const std::string xattrs, EncodeXattrs(tree_.XattrsOf(id), inode.opaque));
    const FileData* chunks = tree_.Chunks(id);
    DiskInode disk = {};
    Layout layout = chunks != nullptr ? Layout::kChunked : Layout::kPlain;
    std::uint64_t tail = 0;
    if (Is(inode, S_IFDIR) || Is(inode, S_IFLNK)) {
      tail = InlineTail(inode, sizeof(DiskInode) + xattrs.size());
      if (tail > 0) layout = Layout::kInline;
      const bool own = inode.size > tail;
      disk.where = own ? first_block_ + static_cast<std::uint32_t>(area_blocks_) + inode.block : 0;
    } else if (Is(inode, S_IFREG)) {
      disk.where = chunks != nullptr ? chunks->chunk_bits : inode.block;
    } else {
      disk.where = inode.rdev;
    }
    disk.format = static_cast<std::uint16_t>(kInodeExtended | static_cast<std::uint16_t>(layout) << kLayoutShift);
    if (!xattrs.empty()) {
      disk.xattr_count = static_cast<std::uint16_t>((xattrs.size() - sizeof(XattrHeader)) / 4 + 1);
    }
    disk.mode = static_cast<std::uint16_t>(inode.mode);
    disk.size = inode.size;
    disk.ino = ++written_;
    disk.uid = inode.uid;
    disk.gid = inode.gid;
    disk.mtime = static_cast<std::uint64_t>(inode.mtime);
    disk.mtime_ns = inode.mtime_ns;
    disk.nlink = inode.nlink;
    RETURN_IF_ERROR(Append(&disk, sizeof(disk)));
    RETURN_IF_ERROR(Append(xattrs.data(), xattrs.size()));
    if (chunks != nullptr) return WriteChunkMap(*chunks);
    if (tail == 0) return absl::OkStatus();
    if (Is(inode, S_IFLNK)) return Append(tree_.Target(id).data(), tail);
    return WriteDirectory(id, /*inline_part=*/true, /*own_part=*/false);
  }

  absl::Status WriteChunkMap(const FileData& data) {
    const auto run_blocks = [&](std::uint64_t chunks) { return static_cast<std::uint32_t>(chunks << data.chunk_bits); };
    std::uint64_t at = 0;
    const std::uint64_t count = ChunkCount(data);
    const auto holes = [&](std::uint64_t until) -> absl::Status {
      for (; at < until; ++at) RETURN_IF_ERROR(Append(&kNoBlock, sizeof(kNoBlock)));
      return absl::OkStatus();
    };
    for (const ChunkRun& run : data.runs) {
      RETURN_IF_ERROR(holes(run.first));
      for (; at < run.first + run.count; ++at) {
        const std::uint32_t block = run.block + run_blocks(at - run.first);
        RETURN_IF_ERROR(Append(&block, sizeof(block)));
      }
    }
    return holes(count);
  }

  absl::Status WriteOwnBlocks(InodeId id) {
    const LayerTree::Inode& inode = tree_.inode(id);
    if (!Is(inode, S_IFDIR) && !Is(inode, S_IFLNK)) return absl::OkStatus();
    ASSIGN_OR_RETURN(const std::string xattrs, EncodeXattrs(tree_.XattrsOf(id), inode.opaque));
    const std::uint64_t tail = InlineTail(inode, sizeof(DiskInode) + xattrs.size());
    if (inode.size == tail) return absl::OkStatus();
    if (Is(inode, S_IFDIR)) {
      RETURN_IF_ERROR(WriteDirectory(id, tail == 0, true));
    } else {
      RETURN_IF_ERROR(Append(tree_.Target(id).data(), inode.size));
    }
    return PadTo(RoundUp(position_, kBlockSize));
  }

  /// A directory's blocks: those that are full, the rest at its end, or both.
  absl::Status WriteDirectory(InodeId id, bool inline_part, bool own_part) {
    const std::vector<Item> items = ItemsOf(tree_, id);
    const std::uint64_t size = tree_.inode(id).size;
    std::uint64_t written = 0;
    std::array<std::uint8_t, kBlockSize> block;
    for (std::size_t at = 0; at < items.size();) {
      const auto [count, used] = FitBlock(items, at);
      const bool rest = size - written < kBlockSize;
      if (rest ? inline_part : own_part) {
        FillBlock(items, at, count, block.data());
        std::memset(block.data() + used, 0, kBlockSize - used);
        RETURN_IF_ERROR(Append(block.data(), rest ? used : kBlockSize));
      }
      written += rest ? used : kBlockSize;
      at += count;
    }
    return absl::OkStatus();
  }

  void FillBlock(const std::vector<Item>& items, std::size_t begin, std::size_t count, std::uint8_t* block) const {
    auto name_at = static_cast<std::uint32_t>(count * sizeof(Dirent));
    for (std::size_t i = 0; i < count; ++i) {
      const Item& item = items[begin + i];
      const LayerTree::Inode& inode = tree_.inode(item.inode);
      Dirent dirent = {};
      dirent.nid = inode.nid;
      dirent.name_offset = static_cast<std::uint16_t>(name_at);
      dirent.type = DirentType(inode.mode);
      std::memcpy(block + i * sizeof(Dirent), &dirent, sizeof(dirent));
      std::memcpy(block + name_at, item.name.data(), item.name.size());
      name_at += static_cast<std::uint32_t>(item.name.size());
    }
  }

  absl::Status Append(const void* data, std::size_t size) {
    const auto* bytes = static_cast<const std::uint8_t*>(data);
    buffer_.insert(buffer_.end(), bytes, bytes + size);
    position_ += size;
    return buffer_.size() >= kBuffer ? Flush() : absl::OkStatus();
  }
  absl::Status PadTo(std::uint64_t position) {
    buffer_.resize(buffer_.size() + (position - position_));
    position_ = position;
    return absl::OkStatus();
  }
  absl::Status Flush() {
    RETURN_IF_ERROR(sink_.Write(buffer_));
    buffer_.clear();
    return absl::OkStatus();
  }

  static constexpr std::size_t kBuffer = 64 * 1024;

  LayerTree& tree_;
  std::uint32_t first_block_;
  std::uint64_t max_bytes_;
  Sink& sink_;
  std::vector<InodeId> order_;
  std::uint64_t offset_ = 0;       // of the next inode, from the start of the metadata
  std::uint64_t area_blocks_ = 0;  // of all inodes
  std::uint64_t own_blocks_ = 0;   // of directories and links, behind them
  std::uint64_t position_ = 0;     // written
  std::uint32_t written_ = 0;      // inodes
  std::vector<std::uint8_t> buffer_;
};

}  // namespace

absl::StatusOr<MetadataInfo> WriteMetadata(LayerTree& tree, std::uint32_t first_block, std::uint64_t max_bytes,
                                           Sink& sink) {
  return MetadataWriter(tree, first_block, max_bytes, sink).Run();
}

}  // namespace burstlet::cache::erofs
