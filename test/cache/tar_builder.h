// Layers for tests, written with libarchive (PAX), and raw tar blocks for what no library would write.
#pragma once

#include <archive.h>
#include <archive_entry.h>
#include <isa-l/igzip_lib.h>
#include <zstd.h>

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <map>
#include <stdexcept>
#include <string>

namespace burstlet::cache::test {

class TarBuilder {
 public:
  TarBuilder() : archive_(archive_write_new()) {
    archive_write_set_format_pax(archive_);
    archive_write_set_bytes_in_last_block(archive_, 1);
    archive_write_open(archive_, &out_, nullptr, &TarBuilder::Write, nullptr);
  }
  ~TarBuilder() { archive_write_free(archive_); }

  struct Options {
    unsigned mode = 0644;
    std::int64_t uid = 0;
    std::int64_t gid = 0;
    std::int64_t mtime = 1'600'000'000;
    std::map<std::string, std::string> xattrs;
    long mtime_ns = 0;
  };

  TarBuilder& File(const std::string& path, const std::string& content, const Options& options) {
    return Add(path, AE_IFREG, content, "", options);
  }
  TarBuilder& File(const std::string& path, const std::string& content = "") { return File(path, content, Options()); }
  TarBuilder& Dir(const std::string& path, unsigned mode = 0755) {
    Options options;
    options.mode = mode;
    return Add(path, AE_IFDIR, "", "", options);
  }
  TarBuilder& Dir(const std::string& path, const Options& options) { return Add(path, AE_IFDIR, "", "", options); }
  TarBuilder& Symlink(const std::string& path, const std::string& target) { return Symlink(path, target, Options()); }
  TarBuilder& Symlink(const std::string& path, const std::string& target, const Options& options) {
    return Add(path, AE_IFLNK, "", target, options);
  }
  /// A file of `size` bytes that is a hole but for `pieces` (offset to content).
  TarBuilder& Sparse(const std::string& path, std::uint64_t size, const std::map<std::uint64_t, std::string>& pieces,
                     const Options& options) {
    archive_entry* entry = NewEntry(path, AE_IFREG, options);
    archive_entry_set_size(entry, static_cast<la_int64_t>(size));
    for (const auto& [offset, piece] : pieces) {
      archive_entry_sparse_add_entry(entry, static_cast<la_int64_t>(offset), static_cast<la_int64_t>(piece.size()));
    }
    if (archive_write_header(archive_, entry) < ARCHIVE_WARN) throw std::runtime_error(archive_error_string(archive_));
    const std::string zeros(65536, '\0');
    std::uint64_t at = 0;
    const auto fill = [&](std::uint64_t until) {
      while (at < until) {
        const auto count = std::min<std::uint64_t>(until - at, zeros.size());
        archive_write_data(archive_, zeros.data(), count);
        at += count;
      }
    };
    for (const auto& [offset, piece] : pieces) {
      fill(offset);
      archive_write_data(archive_, piece.data(), piece.size());
      at += piece.size();
    }
    fill(size);
    archive_entry_free(entry);
    return *this;
  }
  TarBuilder& Hardlink(const std::string& path, const std::string& target) {
    archive_entry* entry = NewEntry(path, AE_IFREG, Options());
    archive_entry_set_size(entry, 0);
    archive_entry_set_hardlink(entry, target.c_str());
    archive_write_header(archive_, entry);
    archive_entry_free(entry);
    return *this;
  }
  TarBuilder& Special(const std::string& path, unsigned type, unsigned major = 0, unsigned minor = 0) {
    return Special(path, type, major, minor, Options());
  }
  TarBuilder& Special(const std::string& path, unsigned type, unsigned major, unsigned minor, const Options& options) {
    archive_entry* entry = NewEntry(path, type, options);
    archive_entry_set_rdevmajor(entry, major);
    archive_entry_set_rdevminor(entry, minor);
    archive_write_header(archive_, entry);
    archive_entry_free(entry);
    return *this;
  }

  std::string Finish() {
    archive_write_close(archive_);
    return out_;
  }

 private:
  static la_ssize_t Write(archive*, void* out, const void* data, size_t size) {
    static_cast<std::string*>(out)->append(static_cast<const char*>(data), size);
    return static_cast<la_ssize_t>(size);
  }
  archive_entry* NewEntry(const std::string& path, unsigned type, const Options& options) {
    archive_entry* entry = archive_entry_new();
    archive_entry_set_pathname(entry, path.c_str());
    archive_entry_set_filetype(entry, type);
    archive_entry_set_perm(entry, options.mode);
    archive_entry_set_uid(entry, options.uid);
    archive_entry_set_gid(entry, options.gid);
    archive_entry_set_mtime(entry, options.mtime, options.mtime_ns);
    for (const auto& [name, value] : options.xattrs) {
      archive_entry_xattr_add_entry(entry, name.c_str(), value.data(), value.size());
    }
    return entry;
  }
  TarBuilder& Add(const std::string& path, unsigned type, const std::string& content, const std::string& target,
                  const Options& options) {
    archive_entry* entry = NewEntry(path, type, options);
    if (type == AE_IFLNK) archive_entry_set_symlink(entry, target.c_str());
    archive_entry_set_size(entry, static_cast<la_int64_t>(content.size()));
    if (archive_write_header(archive_, entry) < ARCHIVE_WARN) throw std::runtime_error(archive_error_string(archive_));
    if (!content.empty()) archive_write_data(archive_, content.data(), content.size());
    archive_entry_free(entry);
    return *this;
  }

  archive* archive_;
  std::string out_;
};

/// One ustar header with any field values, checksum made right; data padded to blocks.
struct RawEntry {
  std::string name = {};
  char type = '0';
  std::string link = {};
  std::string size_field = {};  // as it stands in the header; empty: data's size in octal
  std::string uid_field = "0000000";
  std::string data = {};
};

inline std::string RawTar(const RawEntry& e) {
  std::string h(512, '\0');
  const auto put = [&](std::size_t at, const std::string& text) { std::memcpy(&h[at], text.data(), text.size()); };
  put(0, e.name.substr(0, 100));
  put(100, "0000644");
  put(108, e.uid_field.substr(0, 8));
  put(116, "0000000");
  char octal[16];
  std::snprintf(octal, sizeof(octal), "%011zo", e.data.size());
  put(124, e.size_field.empty() ? std::string(octal) : e.size_field.substr(0, 12));
  put(136, "13772405000");
  put(148, "        ");
  h[156] = e.type;
  put(157, e.link.substr(0, 100));
  put(257, std::string("ustar\00000", 8));
  unsigned sum = 0;
  for (const char c : h) sum += static_cast<unsigned char>(c);
  std::snprintf(octal, sizeof(octal), "%06o", sum);
  put(148, std::string(octal) + '\0' + ' ');
  std::string out = h + e.data;
  out.resize((out.size() + 511) / 512 * 512, '\0');
  return out;
}

inline std::string TarEnd() { return std::string(1024, '\0'); }

inline std::string Gzip(const std::string& data) {
  isal_zstream stream;
  isal_deflate_stateless_init(&stream);
  stream.gzip_flag = IGZIP_GZIP;
  stream.end_of_stream = 1;
  std::string out(data.size() + data.size() / 8 + 4096, '\0');
  stream.next_in = reinterpret_cast<std::uint8_t*>(const_cast<char*>(data.data()));
  stream.avail_in = static_cast<std::uint32_t>(data.size());
  stream.next_out = reinterpret_cast<std::uint8_t*>(out.data());
  stream.avail_out = static_cast<std::uint32_t>(out.size());
  if (isal_deflate_stateless(&stream) != COMP_OK) throw std::runtime_error("deflate");
  out.resize(stream.total_out);
  return out;
}

inline std::string Zstd(const std::string& data) {
  std::string out(ZSTD_compressBound(data.size()), '\0');
  out.resize(ZSTD_compress(out.data(), out.size(), data.data(), data.size(), 3));
  return out;
}

}  // namespace burstlet::cache::test
