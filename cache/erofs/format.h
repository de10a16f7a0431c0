// EROFS on disk, as far as we write it: uncompressed, 4 KiB blocks, extended inodes, inline attributes.
//
// From the kernel's documentation (Documentation/filesystems/erofs.rst: layout of superblock, inodes, directories,
// attributes, chunks); field order and values are the kernel's ABI. All numbers are little endian. One image here:
//
//   block 0           boot area (zeros) and, at byte 1024, the superblock
//   blocks 1 ..       data of regular files, each starts in a block of its own; no tail is packed elsewhere
//   blocks meta ..    inodes with their attributes, symbolic links' targets and short directories inline
//   blocks ..end      what of directories and long targets found no place there
//
// All metadata is one run of blocks behind all data, so an image may be mounted while its data are still holes. Only
// features that Linux 6.1 knows are used. Pure data.
#pragma once

#include <bit>
#include <cstdint>

namespace burstlet::cache::erofs {

static_assert(std::endian::native == std::endian::little, "structures are written as they lie in memory");

inline constexpr std::uint32_t kBlockBits = 12;
inline constexpr std::uint32_t kBlockSize = 1u << kBlockBits;
inline constexpr std::uint32_t kSuperOffset = 1024;
inline constexpr std::uint32_t kMagic = 0xE0F5E1E2;
inline constexpr std::uint32_t kNidUnit = 32;  // a nid counts such units from the start of the metadata
inline constexpr std::uint32_t kNoBlock = 0xFFFFFFFF;

inline constexpr std::uint32_t kCompatChecksum = 0x1;   // the superblock's block has a CRC-32C
inline constexpr std::uint32_t kCompatMtime = 0x2;      // times are those of last change
inline constexpr std::uint32_t kIncompatChunked = 0x4;  // files may be mapped by chunks (Linux 5.15)

inline constexpr std::uint16_t kInodeExtended = 1;
inline constexpr std::uint16_t kLayoutShift = 1;
enum class Layout : std::uint16_t { kPlain = 0, kInline = 2, kChunked = 4 };

inline constexpr std::uint16_t kChunkBitsMask = 0x1F;  // chunk size = block size << bits

struct SuperBlock {
  std::uint32_t magic;
  std::uint32_t checksum;
  std::uint32_t feature_compat;
  std::uint8_t block_bits;
  std::uint8_t extra_slots;
  std::uint16_t root_nid;
  std::uint64_t inodes;
  std::uint64_t build_time;
  std::uint32_t build_time_ns;
  std::uint32_t blocks;
  std::uint32_t meta_block;
  std::uint32_t xattr_block;
  std::uint8_t uuid[16];
  std::uint8_t volume_name[16];
  std::uint32_t feature_incompat;
  std::uint16_t compression;
  std::uint16_t extra_devices;
  std::uint16_t device_slot;
  std::uint8_t dir_block_bits;
  std::uint8_t xattr_prefixes;
  std::uint32_t xattr_prefix_start;
  std::uint64_t packed_nid;
  std::uint8_t reserved[24];
};
static_assert(sizeof(SuperBlock) == 128);

struct DiskInode {
  std::uint16_t format;
  std::uint16_t xattr_count;  // 0, or 1 + what follows the attributes' header in units of 4 bytes
  std::uint16_t mode;
  std::uint16_t reserved;
  std::uint64_t size;
  std::uint32_t where;  // first block, device number, or chunk format
  std::uint32_t ino;
  std::uint32_t uid;
  std::uint32_t gid;
  std::uint64_t mtime;
  std::uint32_t mtime_ns;
  std::uint32_t nlink;
  std::uint8_t reserved2[16];
};
static_assert(sizeof(DiskInode) == 64);

#pragma pack(push, 1)
/// A block of a directory is an array of these, then the names; entries are sorted by name over the whole directory.
struct Dirent {
  std::uint64_t nid;
  std::uint16_t name_offset;  // in the block; the first one also tells how many entries there are
  std::uint8_t type;
  std::uint8_t reserved;
};
#pragma pack(pop)
static_assert(sizeof(Dirent) == 12);

struct XattrHeader {
  std::uint32_t name_filter;
  std::uint8_t shared_count;
  std::uint8_t reserved[7];
};
static_assert(sizeof(XattrHeader) == 12);

/// Followed by the name without its prefix and the value, padded to 4 bytes.
struct XattrEntry {
  std::uint8_t name_length;
  std::uint8_t prefix;
  std::uint16_t value_size;
};
static_assert(sizeof(XattrEntry) == 4);

struct XattrPrefix {
  const char* text;
  std::uint8_t index;
};
inline constexpr XattrPrefix kXattrPrefixes[] = {
    {"user.", 1}, {"system.posix_acl_access", 2}, {"system.posix_acl_default", 3}, {"trusted.", 4}, {"security.", 6}};

/// A directory entry's type for a mode (S_IFMT bits).
constexpr std::uint8_t DirentType(std::uint32_t mode) {
  switch (mode & 0170000) {
    case 0100000:
      return 1;
    case 0040000:
      return 2;
    case 0020000:
      return 3;
    case 0060000:
      return 4;
    case 0010000:
      return 5;
    case 0140000:
      return 6;
    case 0120000:
      return 7;
    default:
      return 0;
  }
}

}  // namespace burstlet::cache::erofs
