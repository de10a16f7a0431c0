#include "cache/erofs/layer_tree.h"

#include <sys/stat.h>

#include <algorithm>

#include "absl/hash/hash.h"
#include "absl/strings/str_cat.h"
#include "cache/erofs/format.h"
#include "metrics/status.h"

namespace burstlet::cache::erofs {
namespace {

constexpr int kMaxLinks = 40;  // path_resolution(7)
// What an entry costs in the tables besides its bytes: capacity that doubles, and the index.
constexpr std::uint64_t kEntryCost = 2 * sizeof(LayerTree::Entry) + 16;
constexpr std::uint64_t kInodeCost = 2 * sizeof(LayerTree::Inode);

bool HasType(std::uint32_t mode, std::uint32_t type) { return (mode & S_IFMT) == type; }

}  // namespace

std::size_t LayerTree::Hash::operator()(const Key& key) const {
  return absl::HashOf(key.parent, absl::string_view(key.name.data(), key.name.size()));
}
std::size_t LayerTree::Hash::operator()(std::uint32_t entry) const {
  const Entry& e = tree->entries_[entry];
  return (*this)(Key{e.parent, tree->NameOf(e)});
}
bool LayerTree::Equal::operator()(std::uint32_t entry, const Key& key) const {
  const Entry& e = tree->entries_[entry];
  return e.parent == key.parent && tree->NameOf(e) == key.name;
}

LayerTree::LayerTree(std::uint64_t max_memory) : max_memory_(max_memory), index_(0, Hash{this}, Equal{this}) {
  Inode root;
  root.mode = S_IFDIR | 0755;
  root.nlink = 1;
  root.parent = kRoot;
  inodes_.push_back(root);
}

absl::Status LayerTree::Charge(std::uint64_t bytes) {
  memory_ += bytes;
  if (memory_ <= max_memory_) return absl::OkStatus();
  return absl::ResourceExhaustedError(
      absl::StrCat("layer has more names and attributes than fit into ", max_memory_ >> 20, " MiB"));
}

bool LayerTree::IsDirectory(InodeId id) const { return HasType(inodes_[id].mode, S_IFDIR); }
bool LayerTree::IsWhiteout(InodeId id) const { return HasType(inodes_[id].mode, S_IFCHR) && inodes_[id].rdev == 0; }

std::string_view LayerTree::Target(InodeId link) const {
  const Inode& inode = inodes_[link];
  return std::string_view(arena_).substr(inode.extra, inode.size);
}

std::optional<InodeId> LayerTree::Find(InodeId directory, std::string_view name) const {
  const auto it = index_.find(Key{directory, name});
  if (it == index_.end()) return std::nullopt;
  return entries_[*it].inode;
}

std::optional<InodeId> LayerTree::Follow(InodeId from, InodeId link, int* links) const {
  std::vector<std::string_view> pending;  // targets still to be walked, innermost last
  InodeId at = from;
  InodeId next_link = link;
  while (true) {
    if (next_link != kNone) {
      if (++*links > kMaxLinks) return std::nullopt;
      pending.push_back(Target(next_link));
      if (pending.back().front() == '/') at = kRoot;
      next_link = kNone;
    }
    while (!pending.empty() && pending.back().empty()) pending.pop_back();
    if (pending.empty()) return at;
    std::string_view& rest = pending.back();
    const std::size_t slash = rest.find('/');
    const std::string_view name = rest.substr(0, slash);
    rest = slash == std::string_view::npos ? std::string_view() : rest.substr(slash + 1);
    if (name.empty() || name == ".") continue;
    if (name == "..") {
      at = inodes_[at].parent;
      continue;
    }
    const std::optional<InodeId> found = Find(at, name);
    if (!found.has_value()) return std::nullopt;
    if (IsDirectory(*found)) {
      at = *found;
    } else if (HasType(inodes_[*found].mode, S_IFLNK)) {
      next_link = *found;
    } else {
      return std::nullopt;
    }
  }
}

absl::StatusOr<InodeId> LayerTree::Resolve(const std::vector<std::string>& path, std::size_t count) const {
  InodeId at = kRoot;
  int links = 0;
  for (std::size_t i = 0; i < count; ++i) {
    std::optional<InodeId> found = Find(at, path[i]);
    if (found.has_value() && HasType(inodes_[*found].mode, S_IFLNK)) found = Follow(at, *found, &links);
    if (!found.has_value() || !IsDirectory(*found)) {
      return absl::NotFoundError(absl::StrCat("no directory \"", path[i], "\""));
    }
    at = *found;
  }
  return at;
}

absl::StatusOr<InodeId> LayerTree::Make(const std::vector<std::string>& path, std::size_t count) {
  InodeId at = kRoot;
  int links = 0;
  for (std::size_t i = 0; i < count; ++i) {
    const std::optional<InodeId> there = Find(at, path[i]);
    std::optional<InodeId> found = there;
    if (found.has_value() && HasType(inodes_[*found].mode, S_IFLNK)) found = Follow(at, *found, &links);
    if (!found.has_value() || !IsDirectory(*found)) {
      const bool whiteout = there.has_value() && IsWhiteout(*there);
      Attributes made;
      made.mode = S_IFDIR | 0755;
      ASSIGN_OR_RETURN(found, AddDirectory(at, path[i], made));
      // Removed below and made anew here: nothing of the lower directory may show through.
      if (whiteout) MarkOpaque(*found);
    }
    at = *found;
  }
  return at;
}

absl::StatusOr<InodeId> LayerTree::NewInode(const Attributes& of) {
  RETURN_IF_ERROR(Charge(kInodeCost));
  if (inodes_.size() >= kNone) return absl::ResourceExhaustedError("layer has too many files");
  const InodeId id = static_cast<InodeId>(inodes_.size());
  inodes_.emplace_back();
  RETURN_IF_ERROR(SetAttributes(id, of));
  return id;
}

absl::Status LayerTree::SetAttributes(InodeId id, const Attributes& of) {
  Inode& inode = inodes_[id];
  inode.mode = of.mode;
  inode.uid = of.uid;
  inode.gid = of.gid;
  inode.mtime = of.mtime;
  inode.mtime_ns = of.mtime_ns;
  inode.rdev = of.rdev;
  if (of.xattrs.empty()) return absl::OkStatus();
  if (inode.xattrs == kNone) {
    inode.xattrs = static_cast<std::uint32_t>(xattrs_.size());
    xattrs_.emplace_back();
  }
  Xattrs& list = xattrs_[inode.xattrs];
  for (const auto& [name, value] : of.xattrs) {
    RETURN_IF_ERROR(Charge(name.size() + value.size() + 4 * sizeof(std::string)));
    const auto same = std::find_if(list.begin(), list.end(), [&n = name](const auto& item) { return item.first == n; });
    if (same != list.end()) {
      same->second = value;
    } else {
      list.emplace_back(name, value);
    }
  }
  return absl::OkStatus();
}

absl::Status LayerTree::Put(InodeId directory, std::string_view name, InodeId inode) {
  ++inodes_[inode].nlink;
  if (IsDirectory(inode)) inodes_[inode].parent = directory;
  const auto it = index_.find(Key{directory, name});
  if (it != index_.end()) {
    const InodeId old = std::exchange(entries_[*it].inode, inode);
    Drop(old);
    return absl::OkStatus();
  }
  RETURN_IF_ERROR(Charge(kEntryCost + 2 * name.size()));
  if (arena_.size() + name.size() >= kNone) return absl::ResourceExhaustedError("layer has too many names");
  Entry entry;
  entry.parent = directory;
  entry.inode = inode;
  entry.name = static_cast<std::uint32_t>(arena_.size());
  entry.length = static_cast<std::uint16_t>(name.size());
  entry.next = inodes_[directory].child;
  arena_.append(name);
  const auto number = static_cast<std::uint32_t>(entries_.size());
  entries_.push_back(entry);
  inodes_[directory].child = number;
  index_.insert(number);
  return absl::OkStatus();
}

void LayerTree::Drop(InodeId inode) {
  std::vector<InodeId> doomed = {inode};
  while (!doomed.empty()) {
    const InodeId id = doomed.back();
    doomed.pop_back();
    --inodes_[id].nlink;
    if (!IsDirectory(id)) continue;
    for (std::uint32_t at = std::exchange(inodes_[id].child, kNone); at != kNone; at = entries_[at].next) {
      doomed.push_back(entries_[at].inode);
      index_.erase(at);
    }
  }
}

absl::StatusOr<InodeId> LayerTree::AddFile(InodeId directory, std::string_view name, const Attributes& of,
                                           FileData data) {
  ASSIGN_OR_RETURN(const InodeId id, NewInode(of));
  Inode& inode = inodes_[id];
  inode.size = data.size;
  const std::uint64_t chunk = std::uint64_t{kBlockSize} << data.chunk_bits;
  const std::uint64_t chunks = (data.size + chunk - 1) / chunk;
  if (chunks == 0) {
    inode.block = 0;
  } else if (data.runs.size() == 1 && data.runs[0].first == 0 && data.runs[0].count == chunks) {
    inode.block = data.runs[0].block;
  } else {
    RETURN_IF_ERROR(Charge(data.runs.size() * sizeof(ChunkRun) + 2 * sizeof(FileData)));
    inode.extra = static_cast<std::uint32_t>(chunks_.size());
    data.runs.shrink_to_fit();
    chunks_.push_back(std::move(data));
  }
  RETURN_IF_ERROR(Put(directory, name, id));
  return id;
}

absl::StatusOr<InodeId> LayerTree::AddSymlink(InodeId directory, std::string_view name, const Attributes& of,
                                              std::string_view target) {
  if (target.empty() || target.size() >= 4096 || target.find('\0') != std::string_view::npos) {
    return absl::InvalidArgumentError("a symbolic link with a target that no file system takes");
  }
  RETURN_IF_ERROR(Charge(2 * target.size()));
  ASSIGN_OR_RETURN(const InodeId id, NewInode(of));
  if (arena_.size() + target.size() >= kNone) return absl::ResourceExhaustedError("layer has too many names");
  inodes_[id].extra = static_cast<std::uint32_t>(arena_.size());
  inodes_[id].size = target.size();
  arena_.append(target);
  RETURN_IF_ERROR(Put(directory, name, id));
  return id;
}

absl::StatusOr<InodeId> LayerTree::AddSpecial(InodeId directory, std::string_view name, const Attributes& of) {
  ASSIGN_OR_RETURN(const InodeId id, NewInode(of));
  RETURN_IF_ERROR(Put(directory, name, id));
  return id;
}

absl::StatusOr<InodeId> LayerTree::AddDirectory(InodeId directory, std::string_view name, const Attributes& of) {
  const std::optional<InodeId> there = Find(directory, name);
  if (there.has_value() && IsDirectory(*there)) {
    RETURN_IF_ERROR(SetAttributes(*there, of));
    return *there;
  }
  ASSIGN_OR_RETURN(const InodeId id, NewInode(of));
  RETURN_IF_ERROR(Put(directory, name, id));
  return id;
}

absl::Status LayerTree::AddHardlink(InodeId directory, std::string_view name, InodeId target) {
  if (IsDirectory(target)) return absl::InvalidArgumentError("a hard link to a directory");
  const std::optional<InodeId> there = Find(directory, name);
  if (there.has_value() && *there == target) return absl::OkStatus();
  return Put(directory, name, target);
}

const FileData* LayerTree::Chunks(InodeId id) const {
  const Inode& inode = inodes_[id];
  return HasType(inode.mode, S_IFREG) && inode.extra != kNone ? &chunks_[inode.extra] : nullptr;
}

const Xattrs* LayerTree::XattrsOf(InodeId id) const {
  return inodes_[id].xattrs == kNone ? nullptr : &xattrs_[inodes_[id].xattrs];
}

void LayerTree::SortChildren(InodeId directory) {
  std::vector<std::uint32_t> children;
  for (std::uint32_t at = inodes_[directory].child; at != kNone; at = entries_[at].next) children.push_back(at);
  // std::string_view compares as unsigned bytes, which is EROFS' order.
  std::sort(children.begin(), children.end(),
            [this](std::uint32_t a, std::uint32_t b) { return NameOf(entries_[a]) < NameOf(entries_[b]); });
  std::uint32_t next = kNone;
  for (auto it = children.rbegin(); it != children.rend(); ++it) {
    entries_[*it].next = next;
    next = *it;
  }
  inodes_[directory].child = next;
}

}  // namespace burstlet::cache::erofs
