// Reads an EROFS image in memory as strictly as the format says, bounds and order of everything checked; independent of
// the writer but for the structures' layout. Throws std::runtime_error with what is wrong.
#pragma once

#include <cstring>
#include <functional>
#include <map>
#include <set>
#include <stdexcept>
#include <string>
#include <vector>

#include "cache/erofs/crc32c.h"
#include "cache/erofs/format.h"

namespace burstlet::cache::test {

class ErofsReader {
 public:
  struct Node {
    erofs::DiskInode inode = {};
    std::map<std::string, std::string> xattrs;  // "<prefix index>.<rest>"
    std::string content;                        // of a link, and of a file up to 1 MiB
  };

  explicit ErofsReader(const std::string& image) : image_(image) {}

  /// Every name of the tree with what it stands for.
  std::map<std::string, Node> ReadAll() {
    Copy(erofs::kSuperOffset, &super_);
    Check(super_.magic == erofs::kMagic && super_.block_bits == erofs::kBlockBits, "superblock");
    Check(image_.size() == std::uint64_t{super_.blocks} * erofs::kBlockSize, "number of blocks");
    std::string block = image_.substr(erofs::kSuperOffset, erofs::kBlockSize - erofs::kSuperOffset);
    std::memset(block.data() + 4, 0, 4);
    Check(erofs::Crc32c({reinterpret_cast<const std::uint8_t*>(block.data()), block.size()}) == super_.checksum,
          "checksum");
    ReadDirectory("", super_.root_nid, super_.root_nid);
    Check(nids_.size() == super_.inodes, "number of inodes");
    for (const auto& [nid, count] : names_) Check(ReadInode(nid).inode.nlink == count, "link count");
    return std::move(nodes_);
  }

 private:
  static void Check(bool good, const char* what) {
    if (!good) throw std::runtime_error(std::string("EROFS image: ") + what);
  }
  template <typename T>
  void Copy(std::uint64_t at, T* out) const {
    Check(at <= image_.size() && sizeof(T) <= image_.size() - at, "structure outside the image");
    std::memcpy(out, image_.data() + at, sizeof(T));
  }
  std::string Bytes(std::uint64_t at, std::uint64_t size) const {
    Check(at <= image_.size() && size <= image_.size() - at, "bytes outside the image");
    return image_.substr(at, size);
  }
  std::uint64_t AddressOf(std::uint64_t nid) const {
    return std::uint64_t{super_.meta_block} * erofs::kBlockSize + nid * erofs::kNidUnit;
  }

  Node ReadInode(std::uint64_t nid) const {
    Node node;
    const std::uint64_t at = AddressOf(nid);
    Copy(at, &node.inode);
    Check((node.inode.format & 1) == erofs::kInodeExtended, "inode format");
    Check(node.inode.nlink > 0 && erofs::DirentType(node.inode.mode) != 0, "inode");
    const std::uint64_t xattrs = XattrSize(node.inode);
    std::uint64_t x = at + sizeof(erofs::DiskInode) + sizeof(erofs::XattrHeader);
    const std::uint64_t end = at + sizeof(erofs::DiskInode) + xattrs;
    while (x < end) {
      erofs::XattrEntry entry = {};
      Copy(x, &entry);
      const std::string name = std::to_string(entry.prefix) + "." + Bytes(x + sizeof(entry), entry.name_length);
      Check(node.xattrs.emplace(name, Bytes(x + sizeof(entry) + entry.name_length, entry.value_size)).second,
            "an attribute twice");
      x += (sizeof(entry) + entry.name_length + entry.value_size + 3) / 4 * 4;
    }
    Check(xattrs == 0 || x == end, "attributes' end");
    return node;
  }
  static std::uint64_t XattrSize(const erofs::DiskInode& inode) {
    return inode.xattr_count == 0 ? 0 : sizeof(erofs::XattrHeader) + 4ull * (inode.xattr_count - 1);
  }

  /// A file's bytes, [from, from + size); data that are metadata (directories, links) may be inline.
  std::string Data(std::uint64_t nid, const erofs::DiskInode& inode, std::uint64_t from, std::uint64_t size) const {
    const std::uint64_t fixed = AddressOf(nid) + sizeof(erofs::DiskInode) + XattrSize(inode);
    switch (static_cast<erofs::Layout>(inode.format >> erofs::kLayoutShift)) {
      case erofs::Layout::kPlain:
        return Bytes(std::uint64_t{inode.where} * erofs::kBlockSize + from, size);
      case erofs::Layout::kInline: {
        const std::uint64_t tail = inode.size % erofs::kBlockSize;
        Check(tail > 0 && (inode.mode & 0170000) != 0100000, "inline data");
        Check(AddressOf(nid) / erofs::kBlockSize == (fixed + tail - 1) / erofs::kBlockSize,
              "inline data cross a block");
        const std::uint64_t whole = inode.size - tail;
        const std::string all =
            (whole > 0 ? Bytes(std::uint64_t{inode.where} * erofs::kBlockSize, whole) : "") + Bytes(fixed, tail);
        return all.substr(from, size);
      }
      case erofs::Layout::kChunked: {
        const std::uint64_t chunk = std::uint64_t{erofs::kBlockSize} << (inode.where & erofs::kChunkBitsMask);
        std::string out;
        while (out.size() < size) {
          const std::uint64_t at = from + out.size();
          std::uint32_t block = 0;
          Copy(fixed + at / chunk * 4, &block);
          const std::uint64_t take = std::min(size - out.size(), chunk - at % chunk);
          out += block == erofs::kNoBlock ? std::string(take, '\0')
                                          : Bytes(std::uint64_t{block} * erofs::kBlockSize + at % chunk, take);
        }
        return out;
      }
    }
    Check(false, "layout");
    return "";
  }

  void ReadDirectory(const std::string& path, std::uint64_t nid, std::uint64_t parent) {
    struct Step {
      std::string path;
      std::uint64_t nid;
      std::uint64_t parent;
    };
    std::vector<Step> steps = {{path, nid, parent}};
    while (!steps.empty()) {
      const Step step = steps.back();
      steps.pop_back();
      Check(nids_.insert(step.nid).second, "a directory twice");
      Node node = ReadInode(step.nid);
      Check((node.inode.mode & 0170000) == 0040000, "directory");
      ++names_[step.nid];  // "."
      const std::string data = Data(step.nid, node.inode, 0, node.inode.size);
      nodes_[step.path.empty() ? "." : step.path] = std::move(node);
      std::string previous;
      bool dot = false, dotdot = false;
      for (std::uint64_t at = 0; at < data.size(); at += erofs::kBlockSize) {
        for (const auto& [name, entry] : Block(data.substr(at, erofs::kBlockSize))) {
          Check(previous < name, "names out of order");
          previous = name;
          if (name == ".") {
            dot = entry.nid == step.nid;
          } else if (name == "..") {
            dotdot = entry.nid == step.parent;
            ++names_[step.parent];
          } else {
            const std::string full = step.path.empty() ? name : step.path + "/" + name;
            const Node child = ReadInode(entry.nid);
            Check(entry.type == erofs::DirentType(child.inode.mode), "type in a directory");
            if (entry.type == 2) {
              ++names_[entry.nid];
              steps.push_back({full, entry.nid, step.nid});
            } else {
              AddFile(full, entry.nid, child);
            }
          }
        }
      }
      Check(dot && dotdot, "\".\" or \"..\"");
    }
  }

  void AddFile(const std::string& path, std::uint64_t nid, Node node) {
    nids_.insert(nid);
    ++names_[nid];
    const std::uint32_t type = node.inode.mode & 0170000;
    if (type == 0100000 || type == 0120000) {
      const std::uint64_t size = std::min<std::uint64_t>(node.inode.size, 1u << 20);
      node.content = Data(nid, node.inode, 0, size);
      if (size < node.inode.size) Data(nid, node.inode, node.inode.size - 1, 1);
    }
    nodes_[path] = std::move(node);
  }

  static std::vector<std::pair<std::string, erofs::Dirent>> Block(const std::string& block) {
    std::vector<std::pair<std::string, erofs::Dirent>> out;
    erofs::Dirent first = {};
    Check(block.size() >= sizeof(first), "directory block");
    std::memcpy(&first, block.data(), sizeof(first));
    const std::size_t count = first.name_offset / sizeof(first);
    Check(count > 0 && first.name_offset % sizeof(first) == 0 && first.name_offset <= block.size(),
          "directory block's start");
    std::vector<erofs::Dirent> entries(count);
    std::memcpy(entries.data(), block.data(), count * sizeof(first));
    for (std::size_t i = 0; i < count; ++i) {
      const std::size_t begin = entries[i].name_offset;
      const std::size_t end = i + 1 < count ? entries[i + 1].name_offset : block.size();
      Check(begin < end && end <= block.size(), "name in a directory block");
      std::string name = block.substr(begin, end - begin);
      if (i + 1 == count) name = name.substr(0, name.find('\0'));
      Check(!name.empty() && name.size() <= 255 && name.find('\0') == std::string::npos &&
                name.find('/') == std::string::npos,
            "name");
      out.emplace_back(name, entries[i]);
    }
    return out;
  }

  const std::string& image_;
  erofs::SuperBlock super_ = {};
  std::map<std::string, Node> nodes_;
  std::set<std::uint64_t> nids_;
  std::map<std::uint64_t, std::uint32_t> names_;  // how often an inode is named, as its link count should say
};

}  // namespace burstlet::cache::test
