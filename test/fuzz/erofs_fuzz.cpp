// Any archive that becomes an EROFS image becomes one that reads back, whatever its entries were.
//
// With an even first byte the rest is the archive, compressed or not; with an odd one it is a script of entries whose
// names collide, climb and link to each other, since random bytes have no checksum of a tar header.
#include <cstdlib>
#include <string>

#include "cache/inflate.h"
#include "cache/layer_image.h"
#include "test/cache/erofs_reader.h"
#include "test/cache/memory_sink.h"
#include "test/cache/tar_builder.h"

namespace {

using burstlet::cache::test::RawEntry;
using burstlet::cache::test::RawTar;
using burstlet::cache::test::TarEnd;

class Script {
 public:
  Script(const std::uint8_t* data, std::size_t size) : data_(data), left_(size) {}

  std::string Tar() {
    std::string tar;
    while (left_ > 0) tar += One();
    return tar + TarEnd();
  }

 private:
  std::uint8_t Next() {
    if (left_ == 0) return 0;
    --left_;
    return *data_++;
  }

  std::string Path() {
    static const std::string kNames[] = {
        "a",   "b", "c", "..", ".", ".wh.a", ".wh.b", ".wh..wh..opq", ".wh.", "-", "", "~", std::string(255, 'n'),
        "l/l", "l", "d"};
    std::string path;
    const std::uint8_t parts = Next() % 5;
    for (std::uint8_t i = 0; i <= parts; ++i) path += (i == 0 ? "" : "/") + kNames[Next() % 16];
    return path;
  }

  /// An extended attribute as a PAX record.
  static std::string Xattr(const std::string& name, const std::string& value) {
    const std::string rest = " SCHILY.xattr." + name + "=" + value + "\n";
    std::size_t length = rest.size();
    while (std::to_string(length).size() + rest.size() != length) length = std::to_string(length).size() + rest.size();
    return std::to_string(length) + rest;
  }

  std::string One() {
    static const char kTypes[] = {'0', '0', '5', '2', '1', '3', '4', '6'};
    RawEntry entry;
    entry.type = kTypes[Next() % 8];
    entry.name = Path();
    const std::uint8_t more = Next();
    std::string tar;
    std::string pax;
    if ((more & 1) != 0) pax += Xattr("user." + std::string(more, 'x'), std::string(more * 17u, 'v'));
    if ((more & 2) != 0) pax += Xattr("security.capability", "whatever it is");
    if ((more & 4) != 0) pax += Xattr("trusted.overlay.opaque", "y");
    if (!pax.empty()) tar += RawTar({.name = "pax", .type = 'x', .data = pax});
    if (entry.type == '1' || entry.type == '2') {
      entry.link = (more & 8) != 0 ? std::string(more * 15u + 1, 't') : ((more & 16) != 0 ? "/" : "") + Path();
      if (entry.link.size() > 100) {
        tar += RawTar({.name = "././@LongLink", .type = 'K', .data = entry.link + std::string(1, '\0')});
      }
    }
    if (entry.name.size() > 100) {
      tar += RawTar({.name = "././@LongLink", .type = 'L', .data = entry.name + std::string(1, '\0')});
    }
    if (entry.type == '0') entry.data = std::string(Next() * 67u, 'f');
    return tar + RawTar(entry);
  }

  const std::uint8_t* data_;
  std::size_t left_;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  namespace cache = burstlet::cache;
  if (size < 2) return 0;
  const bool script = (data[0] & 1) != 0;
  if (script && size > 2000) return 0;
  cache::MemorySource source(
      script ? Script(data + 1, size - 1).Tar() : std::string(reinterpret_cast<const char*>(data) + 1, size - 1),
      data[0] + 1);
  const auto inflated = cache::Inflate(source);
  cache::test::MemorySink sink;
  cache::UnpackLimits limits;
  limits.max_bytes = 8u << 20;
  limits.max_entries = 1000;
  limits.max_metadata_bytes = 4u << 20;
  const auto made = cache::WriteLayerImage(*inflated, cache::DigestOf("fuzz"), sink, limits);
  if (!made.ok()) return 0;
  if (sink.bytes.size() != made->image.bytes) std::abort();
  cache::test::ErofsReader(sink.bytes).ReadAll();  // an exception ends the program
  return 0;
}
