// Any archive, compressed or not, that becomes an EROFS image becomes one that reads back, whatever its entries were.
#include <cstdlib>
#include <string>

#include "cache/inflate.h"
#include "cache/layer_image.h"
#include "test/cache/erofs_reader.h"
#include "test/cache/memory_sink.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  namespace cache = burstlet::cache;
  if (size == 0) return 0;
  cache::MemorySource source(std::string(reinterpret_cast<const char*>(data) + 1, size - 1), data[0] + 1);
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
