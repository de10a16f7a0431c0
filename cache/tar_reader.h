// A tar stream as a sequence of checked entries: ustar, PAX, GNU, sparse. libarchive parses, this file bounds it.
//
// No file system here: what comes out is data of known size limits, names included, never a host path. Pure apart
// from the source, fuzzed. Threads: one. Failure: kDataLoss (broken archive), kInvalidArgument (an entry that no
// honest tool writes: NUL or over-long names, ids beyond 2^31, sizes that are no sizes), kResourceExhausted (limits).
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "cache/byte_source.h"

namespace burstlet::cache {

enum class TarType { kFile, kDirectory, kSymlink, kHardlink, kFifo, kCharDevice, kBlockDevice, kOther };

struct TarEntry {
  TarType type = TarType::kFile;
  std::string path;         // as written: untrusted
  std::string link_target;  // symlink and hard link: untrusted
  std::uint32_t mode = 0;   // permission bits with setuid, setgid, sticky
  std::uint32_t uid = 0;
  std::uint32_t gid = 0;
  std::int64_t mtime_seconds = 0;
  std::int64_t mtime_nanoseconds = 0;
  std::uint64_t size = 0;
  std::uint32_t device_major = 0;  // of a device
  std::uint32_t device_minor = 0;
  std::vector<std::pair<std::string, std::string>> xattrs;
};

/// A piece of the current file; holes between pieces read as zero.
struct TarBlock {
  std::span<const std::uint8_t> data;
  std::uint64_t offset = 0;
};

class TarReader {
 public:
  /// `max_size` bounds one file's apparent size, `max_entries` their number.
  TarReader(ByteSource& from, std::uint64_t max_size, std::uint64_t max_entries);
  ~TarReader();

  /// The next entry, or nothing at the end.
  absl::StatusOr<std::optional<TarEntry>> Next();
  /// The next piece of the current entry's data, or nothing at its end.
  absl::StatusOr<std::optional<TarBlock>> NextBlock();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace burstlet::cache
