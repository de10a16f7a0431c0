#include "cache/erofs/writer.h"

#include <algorithm>
#include <bit>
#include <cstring>

#include "absl/strings/str_cat.h"
#include "cache/erofs/crc32c.h"
#include "cache/erofs/format.h"
#include "cache/erofs/metadata.h"
#include "metrics/status.h"

namespace burstlet::cache::erofs {
namespace {

// A sparse file's map is metadata: larger files have larger chunks, so that it stays below 256 KiB.
constexpr std::uint64_t kMaxChunks = 65536;

std::uint32_t ChunkBits(std::uint64_t size) {
  const std::uint64_t blocks = size / kBlockSize + 1;
  if (blocks <= kMaxChunks) return 0;
  return static_cast<std::uint32_t>(std::bit_width((blocks - 1) / kMaxChunks));
}

std::uint64_t RoundUp(std::uint64_t value, std::uint64_t unit) { return (value + unit - 1) / unit * unit; }

}  // namespace

Writer::Writer(Sink& sink, const WriterOptions& options)
    : sink_(sink), options_(options), tree_(options.max_memory), position_(kBlockSize) {}

absl::Status Writer::Charge(std::uint64_t bytes) {
  if (bytes > options_.max_bytes || position_ > options_.max_bytes - bytes) {
    return absl::ResourceExhaustedError(absl::StrCat("image has more than ", options_.max_bytes, " bytes"));
  }
  position_ += bytes;
  return absl::OkStatus();
}

absl::Status Writer::Emit(std::span<const std::uint8_t> data) {
  RETURN_IF_ERROR(Charge(data.size()));
  return sink_.Write(data);
}

absl::Status Writer::EmitZeros(std::uint64_t count) {
  if (count == 0) return absl::OkStatus();
  RETURN_IF_ERROR(Charge(count));
  return sink_.Zeros(count);
}

absl::Status Writer::BeginFile(std::uint64_t size) {
  // The kernel's offsets are signed; a chunk's size has 5 bits.
  if (size > (std::uint64_t{1} << 62) || ChunkBits(size) > kChunkBitsMask) {
    return absl::InvalidArgumentError(absl::StrCat("a file of ", size, " bytes"));
  }
  file_ = FileData();
  file_.size = size;
  file_.chunk_bits = ChunkBits(size);
  run_open_ = false;
  cursor_ = 0;
  return absl::OkStatus();
}

absl::Status Writer::StartRun(std::uint64_t chunk) {
  if (position_ / kBlockSize >= kNoBlock) return absl::ResourceExhaustedError("image has too many blocks");
  file_.runs.push_back({chunk, 0, static_cast<std::uint32_t>(position_ / kBlockSize)});
  run_open_ = true;
  cursor_ = chunk * chunk_size();
  return absl::OkStatus();
}

absl::Status Writer::CloseRun() {
  const std::uint64_t end = std::min(RoundUp(cursor_, chunk_size()), RoundUp(file_.size, kBlockSize));
  RETURN_IF_ERROR(EmitZeros(end - cursor_));
  ChunkRun& run = file_.runs.back();
  run.count = RoundUp(end, chunk_size()) / chunk_size() - run.first;
  run_open_ = false;
  cursor_ = end;
  return absl::OkStatus();
}

absl::Status Writer::Append(std::uint64_t offset, std::span<const std::uint8_t> data) {
  if (data.empty()) return absl::OkStatus();
  if (offset < cursor_ || offset > file_.size || data.size() > file_.size - offset) {
    return absl::InvalidArgumentError("a file's data outside its size");
  }
  const std::uint64_t chunk = offset / chunk_size();
  // A gap within a chunk or up to the next one's start is filled; a longer one is a hole.
  if (run_open_ && chunk > RoundUp(cursor_, chunk_size()) / chunk_size()) RETURN_IF_ERROR(CloseRun());
  if (!run_open_) RETURN_IF_ERROR(StartRun(chunk));
  RETURN_IF_ERROR(EmitZeros(offset - cursor_));
  RETURN_IF_ERROR(Emit(data));
  cursor_ = offset + data.size();
  return absl::OkStatus();
}

absl::StatusOr<FileData> Writer::EndFile() {
  if (run_open_) RETURN_IF_ERROR(CloseRun());
  return std::move(file_);
}

absl::StatusOr<ImageInfo> Writer::Finish() {
  ImageInfo info;
  info.meta_start = position_;
  if (position_ / kBlockSize >= kNoBlock) return absl::ResourceExhaustedError("image has too many blocks");
  const auto meta_block = static_cast<std::uint32_t>(position_ / kBlockSize);
  ASSIGN_OR_RETURN(
      const MetadataInfo meta,
      WriteMetadata(tree_, meta_block, options_.max_bytes - std::min(options_.max_bytes, position_), sink_));
  info.inodes = meta.inodes;
  info.bytes = position_ + meta.blocks * kBlockSize;

  SuperBlock super = {};
  super.magic = kMagic;
  super.feature_compat = kCompatChecksum | kCompatMtime;
  super.block_bits = kBlockBits;
  super.root_nid = meta.root_nid;
  super.inodes = meta.inodes;
  super.blocks = static_cast<std::uint32_t>(info.bytes / kBlockSize);
  super.meta_block = meta_block;
  std::memcpy(super.uuid, options_.uuid.data(), sizeof(super.uuid));
  super.feature_incompat = kIncompatChunked;
  std::array<std::uint8_t, kBlockSize> block = {};
  std::memcpy(block.data() + kSuperOffset, &super, sizeof(super));
  super.checksum = Crc32c(std::span(block).subspan(kSuperOffset));
  std::memcpy(block.data() + kSuperOffset, &super, sizeof(super));
  RETURN_IF_ERROR(sink_.WriteFirstBlock(block));
  return info;
}

}  // namespace burstlet::cache::erofs
