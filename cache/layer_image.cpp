#include "cache/layer_image.h"

#include <sys/stat.h>

#include <optional>
#include <string>
#include <vector>

#include "absl/strings/escaping.h"
#include "cache/layer_rules.h"
#include "cache/rooted_tree.h"
#include "cache/tar_reader.h"
#include "metrics/status.h"

namespace burstlet::cache {
namespace {

using erofs::InodeId;
using erofs::LayerTree;

constexpr std::uint32_t kMaxMajor = (1u << 12) - 1;
constexpr std::uint32_t kMaxMinor = (1u << 20) - 1;
// The image is larger than its archive by padding; that is bounded by the entries, and this is for the metadata.
constexpr std::uint64_t kSlack = 64ull << 20;

class LayerImageWriter {
 public:
  LayerImageWriter(TarReader& reader, erofs::Writer& writer) : reader_(reader), writer_(writer), tree_(writer.tree()) {}

  absl::Status Add(const TarEntry& entry) {
    ASSIGN_OR_RETURN(const std::vector<std::string> path, SplitEntryPath(entry.path));
    if (path.empty()) {
      if (entry.type != TarType::kDirectory) return absl::OkStatus();
      return tree_.SetAttributes(LayerTree::kRoot, AttributesOf(entry, S_IFDIR));
    }
    ASSIGN_OR_RETURN(const EntryMeaning meaning, MeaningOf(path));
    if (meaning == EntryMeaning::kIgnored) return absl::OkStatus();
    if (meaning != EntryMeaning::kContent) return AddWhiteout(path, meaning);
    if (entry.type == TarType::kHardlink) return AddHardlink(entry, path);
    ASSIGN_OR_RETURN(const InodeId parent, tree_.Make(path, path.size() - 1));
    return AddAt(entry, parent, path.back());
  }

  UnpackResult& result() { return result_; }

 private:
  absl::Status AddAt(const TarEntry& entry, InodeId parent, const std::string& name) {
    switch (entry.type) {
      case TarType::kDirectory: {
        const std::optional<InodeId> there = tree_.Find(parent, name);
        const bool opaque = there.has_value() && tree_.IsWhiteout(*there);
        ASSIGN_OR_RETURN(const InodeId id, tree_.AddDirectory(parent, name, AttributesOf(entry, S_IFDIR)));
        if (opaque) tree_.MarkOpaque(id);
        return absl::OkStatus();
      }
      case TarType::kFile:
        return AddFile(entry, parent, name);
      case TarType::kSymlink:
        return tree_.AddSymlink(parent, name, AttributesOf(entry, S_IFLNK, 0777), entry.link_target).status();
      case TarType::kFifo:
        return tree_.AddSpecial(parent, name, AttributesOf(entry, S_IFIFO)).status();
      case TarType::kCharDevice:
      case TarType::kBlockDevice:
        return AddDevice(entry, parent, name);
      case TarType::kHardlink:
      case TarType::kOther:
        break;
    }
    return absl::InvalidArgumentError("an entry of a type that images don't have");
  }

  absl::Status AddFile(const TarEntry& entry, InodeId parent, const std::string& name) {
    RETURN_IF_ERROR(writer_.BeginFile(entry.size));
    while (true) {
      ASSIGN_OR_RETURN(const std::optional<TarBlock> block, reader_.NextBlock());
      if (!block.has_value()) break;
      RETURN_IF_ERROR(writer_.Append(block->offset, block->data));
    }
    ASSIGN_OR_RETURN(erofs::FileData data, writer_.EndFile());
    result_.size_bytes += entry.size;
    return tree_.AddFile(parent, name, AttributesOf(entry, S_IFREG), std::move(data)).status();
  }

  absl::Status AddDevice(const TarEntry& entry, InodeId parent, const std::string& name) {
    const std::uint32_t major = entry.device_major;
    const std::uint32_t minor = entry.device_minor;
    const bool character = entry.type == TarType::kCharDevice;
    if (major > kMaxMajor || minor > kMaxMinor) return absl::InvalidArgumentError("a device number out of range");
    if (character && major == 0 && minor == 0) {
      ++result_.devices_left_out;
      return absl::OkStatus();
    }
    erofs::Attributes of = AttributesOf(entry, character ? S_IFCHR : S_IFBLK);
    of.rdev = (minor & 0xFF) | (major << 8) | ((minor & ~0xFFu) << 12);
    return tree_.AddSpecial(parent, name, of).status();
  }

  absl::Status AddHardlink(const TarEntry& entry, const std::vector<std::string>& path) {
    ASSIGN_OR_RETURN(const std::vector<std::string> target, SplitEntryPath(entry.link_target));
    if (target.empty()) return absl::InvalidArgumentError("a hard link to the root");
    if (target == path) return absl::OkStatus();
    ASSIGN_OR_RETURN(const InodeId from, tree_.Resolve(target, target.size() - 1));
    const std::optional<InodeId> inode = tree_.Find(from, target.back());
    if (!inode.has_value()) return absl::NotFoundError("hard link target: No such file or directory");
    if (tree_.IsDirectory(*inode) || tree_.IsWhiteout(*inode)) {
      return absl::InvalidArgumentError("a hard link to something that is no file");
    }
    ASSIGN_OR_RETURN(const InodeId parent, tree_.Make(path, path.size() - 1));
    // Making the parent may have replaced what the link is to.
    if (tree_.Find(from, target.back()) != inode) return absl::NotFoundError("hard link target is gone");
    return tree_.AddHardlink(parent, path.back(), *inode);
  }

  absl::Status AddWhiteout(const std::vector<std::string>& path, EntryMeaning meaning) {
    ASSIGN_OR_RETURN(const InodeId parent, tree_.Make(path, path.size() - 1));
    if (meaning == EntryMeaning::kOpaque) {
      tree_.MarkOpaque(parent);
      return absl::OkStatus();
    }
    const std::string name = HiddenName(path.back());
    const std::optional<InodeId> there = tree_.Find(parent, name);
    if (!there.has_value()) {
      erofs::Attributes of;
      of.mode = S_IFCHR;
      return tree_.AddSpecial(parent, name, of).status();
    }
    // A whiteout is about lower layers only: what this layer brings itself stays, but hides what is below.
    if (tree_.IsDirectory(*there)) tree_.MarkOpaque(*there);
    return absl::OkStatus();
  }

  /// Links have no attributes of their own kind, and no mode but 0777.
  static erofs::Attributes AttributesOf(const TarEntry& entry, std::uint32_t type, std::uint32_t all_of_mode = 0) {
    erofs::Attributes of;
    of.mode = type | (all_of_mode != 0 ? all_of_mode : entry.mode);
    of.uid = entry.uid;
    of.gid = entry.gid;
    of.mtime = entry.mtime_seconds;
    of.mtime_ns = ClampNanoseconds(entry.mtime_nanoseconds);
    if (type != S_IFREG && type != S_IFDIR) return of;
    for (const auto& [name, value] : entry.xattrs) {
      if (KeepsXattr(name)) of.xattrs.emplace_back(name, value);
    }
    return of;
  }

  TarReader& reader_;
  erofs::Writer& writer_;
  LayerTree& tree_;
  UnpackResult result_;
};

std::array<std::uint8_t, 16> UuidOf(const Digest& id) {
  std::array<std::uint8_t, 16> uuid = {};
  const std::string bytes = absl::HexStringToBytes(std::string(id.hex()));
  for (std::size_t i = 0; i < uuid.size() && i < bytes.size(); ++i) uuid[i] = static_cast<std::uint8_t>(bytes[i]);
  // RFC 9562, 5.8: version 8, variant 10.
  uuid[6] = static_cast<std::uint8_t>((uuid[6] & 0x0F) | 0x80);
  uuid[8] = static_cast<std::uint8_t>((uuid[8] & 0x3F) | 0x80);
  return uuid;
}

}  // namespace

absl::StatusOr<LayerImageResult> WriteLayerImage(ByteSource& tar, const Digest& id, erofs::Sink& sink,
                                                 const UnpackLimits& limits, const std::atomic<bool>* cancelled) {
  GuardedSource guarded(tar, limits.max_bytes, cancelled);
  TarReader reader(guarded, limits.max_bytes, limits.max_entries);
  erofs::WriterOptions options;
  options.uuid = UuidOf(id);
  options.max_bytes = limits.max_bytes + kSlack;
  options.max_memory = limits.max_metadata_bytes;
  erofs::Writer writer(sink, options);
  LayerImageWriter layer(reader, writer);
  ASSIGN_OR_RETURN(layer.result().entries,
                   ForEachEntry(guarded, reader, [&](const TarEntry& entry) { return layer.Add(entry); }));
  LayerImageResult result;
  ASSIGN_OR_RETURN(result.image, writer.Finish());
  result.content = layer.result();
  return result;
}

}  // namespace burstlet::cache
