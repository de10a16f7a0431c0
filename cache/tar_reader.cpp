#include "cache/tar_reader.h"

#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <locale.h>
#include <sys/stat.h>

#include <algorithm>
#include <cstring>

#include "absl/strings/str_cat.h"
#include "metrics/status.h"

namespace burstlet::cache {
namespace {

constexpr std::size_t kMaxName = 4096;  // PATH_MAX: nothing longer can be used anyway
constexpr std::size_t kMaxXattrs = 256;
constexpr std::size_t kMaxXattrValue = 65536;
constexpr std::int64_t kMaxId = INT32_MAX;

/// libarchive converts names through the thread's locale; in "C" it would lose every non-ASCII name.
class Utf8Locale {
 public:
  Utf8Locale() : previous_(uselocale(Locale())) {}
  ~Utf8Locale() { uselocale(previous_); }
  Utf8Locale(const Utf8Locale&) = delete;
  Utf8Locale& operator=(const Utf8Locale&) = delete;

 private:
  static locale_t Locale() {
    static const locale_t locale = newlocale(LC_CTYPE_MASK, "C.UTF-8", nullptr);
    return locale;
  }
  locale_t previous_;
};

std::string Text(const char* text) { return text == nullptr ? std::string() : std::string(text); }

TarType TypeOf(archive_entry* entry) {
  if (archive_entry_hardlink(entry) != nullptr || archive_entry_hardlink_utf8(entry) != nullptr) {
    return TarType::kHardlink;
  }
  switch (archive_entry_filetype(entry)) {
    case AE_IFREG:
      return TarType::kFile;
    case AE_IFDIR:
      return TarType::kDirectory;
    case AE_IFLNK:
      return TarType::kSymlink;
    case AE_IFIFO:
      return TarType::kFifo;
    case AE_IFCHR:
      return TarType::kCharDevice;
    case AE_IFBLK:
      return TarType::kBlockDevice;
    default:
      return TarType::kOther;
  }
}

absl::Status ReadXattrs(archive_entry* entry, TarEntry* out) {
  archive_entry_xattr_reset(entry);
  const char* name = nullptr;
  const void* value = nullptr;
  std::size_t size = 0;
  while (archive_entry_xattr_next(entry, &name, &value, &size) == ARCHIVE_OK) {
    if (name == nullptr || out->xattrs.size() >= kMaxXattrs || size > kMaxXattrValue || std::strlen(name) > 255) {
      return absl::InvalidArgumentError(absl::StrCat("tar: extended attributes of \"", out->path, "\" out of bounds"));
    }
    out->xattrs.emplace_back(name, std::string(static_cast<const char*>(value), size));
  }
  return absl::OkStatus();
}

}  // namespace

struct TarReader::State {
  explicit State(ByteSource& source) : from(source), handle(archive_read_new()) {}
  ~State() { archive_read_free(handle); }

  static la_ssize_t Read(archive* handle, void* self, const void** buffer) {
    State* state = static_cast<State*>(self);
    auto block = state->from.Next();
    if (!block.ok()) {
      state->source_error = block.status();
      archive_set_error(handle, EIO, "source");
      return -1;
    }
    *buffer = block->data();
    return static_cast<la_ssize_t>(block->size());
  }

  absl::Status Error(std::string_view what) const {
    if (!source_error.ok()) return source_error;
    const char* text = archive_error_string(handle);
    return absl::DataLossError(
        absl::StrCat("tar: ", std::string(what), ": ", text == nullptr ? "invalid archive" : text));
  }

  ByteSource& from;
  archive* handle;
  absl::Status source_error;
  bool opened = false;
  std::uint64_t max_size = 0;
  std::uint64_t max_entries = 0;
  std::uint64_t entries = 0;
  std::uint64_t size = 0;
  std::uint64_t data_end = 0;
  std::string path;
};

TarReader::TarReader(ByteSource& from, std::uint64_t max_size, std::uint64_t max_entries)
    : state_(std::make_unique<State>(from)) {
  state_->max_size = max_size;
  state_->max_entries = max_entries;
  archive_read_support_format_tar(state_->handle);
  archive_read_support_format_empty(state_->handle);
}

TarReader::~TarReader() = default;

absl::StatusOr<std::optional<TarEntry>> TarReader::Next() {
  const Utf8Locale locale;
  State& s = *state_;
  if (!s.opened) {
    s.opened = true;
    if (archive_read_open(s.handle, &s, nullptr, &State::Read, nullptr) != ARCHIVE_OK) return s.Error("open");
  }
  archive_entry* entry = nullptr;
  const int code = archive_read_next_header(s.handle, &entry);
  if (!s.source_error.ok()) return s.source_error;
  if (code == ARCHIVE_EOF) return std::nullopt;
  if (code != ARCHIVE_OK && code != ARCHIVE_WARN) return s.Error("header");
  if (++s.entries > s.max_entries) {
    return absl::ResourceExhaustedError(absl::StrCat("tar: more than ", s.max_entries, " entries"));
  }

  TarEntry out;
  const char* path = archive_entry_pathname_utf8(entry);
  out.path = Text(path != nullptr ? path : archive_entry_pathname(entry));
  if (out.path.empty()) return absl::InvalidArgumentError("tar: an entry without a readable name");
  if (out.path.size() >= kMaxName) return absl::InvalidArgumentError("tar: a name longer than PATH_MAX");
  out.type = TypeOf(entry);
  if (out.type == TarType::kHardlink) {
    const char* target = archive_entry_hardlink_utf8(entry);
    out.link_target = Text(target != nullptr ? target : archive_entry_hardlink(entry));
  } else if (out.type == TarType::kSymlink) {
    const char* target = archive_entry_symlink_utf8(entry);
    out.link_target = Text(target != nullptr ? target : archive_entry_symlink(entry));
  }
  if (out.link_target.size() >= kMaxName) return absl::InvalidArgumentError("tar: a link target longer than PATH_MAX");
  const std::int64_t uid = archive_entry_uid(entry);
  const std::int64_t gid = archive_entry_gid(entry);
  if (uid < 0 || gid < 0 || uid > kMaxId || gid > kMaxId) {
    return absl::InvalidArgumentError(
        absl::StrCat("tar: owner ", uid, ":", gid, " of \"", out.path, "\" out of range"));
  }
  out.uid = static_cast<std::uint32_t>(uid);
  out.gid = static_cast<std::uint32_t>(gid);
  out.mode = archive_entry_perm(entry) & 07777;
  out.mtime_seconds = archive_entry_mtime(entry);
  out.mtime_nanoseconds = archive_entry_mtime_nsec(entry);
  const std::int64_t size = archive_entry_size_is_set(entry) ? archive_entry_size(entry) : 0;
  if (size < 0) return absl::InvalidArgumentError(absl::StrCat("tar: negative size of \"", out.path, "\""));
  if (static_cast<std::uint64_t>(size) > s.max_size) {
    return absl::ResourceExhaustedError(absl::StrCat("tar: \"", out.path, "\" of ", size, " bytes is over the limit"));
  }
  out.size = static_cast<std::uint64_t>(size);
  out.device_major = static_cast<std::uint32_t>(archive_entry_rdevmajor(entry));
  out.device_minor = static_cast<std::uint32_t>(archive_entry_rdevminor(entry));
  RETURN_IF_ERROR(ReadXattrs(entry, &out));
  s.size = out.size;
  s.data_end = 0;
  s.path = out.path;
  return out;
}

absl::StatusOr<std::optional<TarBlock>> TarReader::NextBlock() {
  const Utf8Locale locale;
  State& s = *state_;
  while (true) {
    const void* data = nullptr;
    std::size_t length = 0;
    la_int64_t offset = 0;
    const int code = archive_read_data_block(s.handle, &data, &length, &offset);
    if (!s.source_error.ok()) return s.source_error;
    if (code == ARCHIVE_EOF) return std::nullopt;
    if (code != ARCHIVE_OK && code != ARCHIVE_WARN) return s.Error(s.path);
    if (length == 0) continue;
    const auto start = static_cast<std::uint64_t>(offset);
    // A sparse map may neither run backwards nor leave the file: pieces are written without further checks.
    if (offset < 0 || start < s.data_end || start > s.size || length > s.size - start) {
      return absl::InvalidArgumentError(absl::StrCat("tar: data of \"", s.path, "\" outside its size"));
    }
    s.data_end = start + length;
    return TarBlock{std::span(static_cast<const std::uint8_t*>(data), length), start};
  }
}

}  // namespace burstlet::cache
