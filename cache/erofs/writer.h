// Writes one EROFS image as a stream: contents go to the sink as they come, names and attributes wait in memory.
//
// Equal calls give equal bytes: no clock, no random numbers. A file's holes stay holes. Between BeginFile and EndFile
// the tree may not be used for that file; then it is put anywhere. Threads: one. Failure: Status; after an error only
// the destructor may be called.
#pragma once

#include <array>
#include <cstdint>
#include <span>

#include "absl/status/statusor.h"
#include "cache/erofs/layer_tree.h"
#include "cache/erofs/sink.h"

namespace burstlet::cache::erofs {

struct WriterOptions {
  std::array<std::uint8_t, 16> uuid = {};
  std::uint64_t max_bytes = 64ull << 30;    // of the image
  std::uint64_t max_memory = 512ull << 20;  // for names and attributes
};

struct ImageInfo {
  std::uint64_t bytes = 0;       // of the image
  std::uint64_t meta_start = 0;  // bytes before are data of files (and block 0)
  std::uint64_t inodes = 0;
};

class Writer {
 public:
  Writer(Sink& sink, const WriterOptions& options);

  LayerTree& tree() { return tree_; }

  /// Starts the content of a file of `size` bytes.
  absl::Status BeginFile(std::uint64_t size);
  /// The next piece, at or behind the end of the one before; what is left out is a hole.
  absl::Status Append(std::uint64_t offset, std::span<const std::uint8_t> data);
  /// Ends the file; the result goes into the tree.
  absl::StatusOr<FileData> EndFile();

  /// Writes metadata and superblock.
  absl::StatusOr<ImageInfo> Finish();

 private:
  absl::Status StartRun(std::uint64_t chunk);
  absl::Status CloseRun();
  absl::Status Emit(std::span<const std::uint8_t> data);
  absl::Status EmitZeros(std::uint64_t count);
  absl::Status Charge(std::uint64_t bytes);
  std::uint64_t chunk_size() const { return std::uint64_t{4096} << file_.chunk_bits; }

  Sink& sink_;
  WriterOptions options_;
  LayerTree tree_;
  std::uint64_t position_;  // in the image
  FileData file_;           // being written
  bool run_open_ = false;
  std::uint64_t cursor_ = 0;  // offset in the file up to which the open run reaches
};

}  // namespace burstlet::cache::erofs
