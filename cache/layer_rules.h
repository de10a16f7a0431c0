// What an entry of a layer's archive means, whatever it is written to: whiteouts, attributes that count, bounds.
//
// Source: OCI image spec, layer.md. Pure but for the stream. Threads: one. Failure: Status.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "cache/byte_source.h"
#include "cache/tar_reader.h"

namespace burstlet::cache {

enum class EntryMeaning {
  kContent,
  kWhiteout,  // hides one name of lower layers
  kOpaque,    // hides all that lower layers have in this directory
  kIgnored,   // AUFS' own book-keeping
};

/// The meaning of an entry by its name's components. kInvalidArgument: a whiteout as a directory, one that names
/// nothing.
absl::StatusOr<EntryMeaning> MeaningOf(const std::vector<std::string>& path);
/// The name that a whiteout hides.
std::string HiddenName(const std::string& name);

/// user.* and security.capability are an image's to set; trusted.*, other security.* and overlayfs' marks are not.
bool KeepsXattr(std::string_view name);

/// What an entry is called in an error: untrusted bytes made printable.
std::string PrintableName(const std::string& name);

/// Nanoseconds as a file system takes them.
std::uint32_t ClampNanoseconds(std::int64_t nanoseconds);

/// Stops an endless or oversized stream, and a cancelled one.
class GuardedSource : public ByteSource {
 public:
  /// `cancelled` may be null.
  GuardedSource(ByteSource& from, std::uint64_t limit, const std::atomic<bool>* cancelled)
      : from_(from), left_(limit), limit_(limit), cancelled_(cancelled) {}

  absl::StatusOr<std::span<const std::uint8_t>> Next() override;

 private:
  ByteSource& from_;
  std::uint64_t left_;
  std::uint64_t limit_;
  const std::atomic<bool>* cancelled_;
};

/// Gives every entry of `archive`, which `reader` reads, to `add`, and reads it to its very end: its digest is over all
/// of it. How many entries there were; an error of `add` names the entry.
absl::StatusOr<std::uint64_t> ForEachEntry(GuardedSource& archive, TarReader& reader,
                                           const std::function<absl::Status(const TarEntry&)>& add);

}  // namespace burstlet::cache
