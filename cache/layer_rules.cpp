#include "cache/layer_rules.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "metrics/status.h"

namespace burstlet::cache {
namespace {

constexpr std::string_view kWhiteout = ".wh.";
constexpr std::string_view kWhiteoutMeta = ".wh..wh.";
constexpr std::string_view kOpaque = ".wh..wh..opq";

bool StartsWith(std::string_view text, std::string_view prefix) { return text.substr(0, prefix.size()) == prefix; }

}  // namespace

absl::StatusOr<EntryMeaning> MeaningOf(const std::vector<std::string>& path) {
  for (std::size_t i = 0; i < path.size(); ++i) {
    if (!StartsWith(path[i], kWhiteout)) continue;
    if (StartsWith(path[i], kWhiteoutMeta) && path[i] != kOpaque) return EntryMeaning::kIgnored;
    if (i + 1 < path.size()) return absl::InvalidArgumentError("a whiteout used as a directory");
    if (path[i] == kOpaque) return EntryMeaning::kOpaque;
    const std::string name = HiddenName(path[i]);
    if (name.empty() || name == "." || name == "..") return absl::InvalidArgumentError("a whiteout that names nothing");
    return EntryMeaning::kWhiteout;
  }
  return EntryMeaning::kContent;
}

std::string HiddenName(const std::string& name) { return name.substr(kWhiteout.size()); }

bool KeepsXattr(std::string_view name) {
  return name == "security.capability" || (StartsWith(name, "user.") && !StartsWith(name, "user.overlay."));
}

std::string PrintableName(const std::string& name) {
  std::string out;
  for (const char c : name.substr(0, 200)) out += (c >= 0x20 && c < 0x7f) ? c : '?';
  return out;
}

std::uint32_t ClampNanoseconds(std::int64_t nanoseconds) {
  return static_cast<std::uint32_t>(std::clamp<std::int64_t>(nanoseconds, 0, 999'999'999));
}

absl::StatusOr<std::span<const std::uint8_t>> GuardedSource::Next() {
  if (cancelled_ != nullptr && cancelled_->load(std::memory_order_relaxed)) {
    return absl::CancelledError("unpacking was cancelled");
  }
  ASSIGN_OR_RETURN(const auto block, from_.Next());
  if (block.size() > left_) {
    return absl::ResourceExhaustedError(absl::StrCat("layer unpacks to more than ", limit_, " bytes"));
  }
  left_ -= block.size();
  return block;
}

absl::StatusOr<std::uint64_t> ForEachEntry(GuardedSource& archive, TarReader& reader,
                                           const std::function<absl::Status(const TarEntry&)>& add) {
  std::uint64_t entries = 0;
  while (true) {
    ASSIGN_OR_RETURN(const std::optional<TarEntry> entry, reader.Next());
    if (!entry.has_value()) break;
    ++entries;
    const absl::Status added = add(*entry);
    if (!added.ok()) return Annotate(added, absl::StrCat("unpack \"", PrintableName(entry->path), "\""));
  }
  while (true) {
    ASSIGN_OR_RETURN(const auto rest, archive.Next());
    if (rest.empty()) return entries;
  }
}

}  // namespace burstlet::cache
