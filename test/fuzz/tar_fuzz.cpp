// Compressed and plain archives: read to the end within bounds. No file system, so that it runs fast and unprivileged.
#include <cstdlib>
#include <string>

#include "cache/inflate.h"
#include "cache/rooted_tree.h"
#include "cache/tar_reader.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  namespace cache = burstlet::cache;
  constexpr std::uint64_t kMaxSize = 1u << 20;
  constexpr std::uint64_t kMaxTotal = 8u << 20;
  if (size == 0) return 0;
  cache::MemorySource source(std::string(reinterpret_cast<const char*>(data) + 1, size - 1), data[0] + 1);
  const auto inflated = cache::Inflate(source);
  cache::TarReader reader(*inflated, kMaxSize, 1000);
  std::uint64_t total = 0;
  while (true) {
    const auto entry = reader.Next();
    if (!entry.ok() || !entry->has_value()) return 0;
    if ((*entry)->path.empty() || (*entry)->path.size() >= 4096 || (*entry)->size > kMaxSize) std::abort();
    (void)cache::SplitEntryPath((*entry)->path);
    std::uint64_t end = 0;
    while (true) {
      const auto block = reader.NextBlock();
      if (!block.ok()) return 0;
      if (!block->has_value()) break;
      if ((*block)->offset < end || (*block)->offset + (*block)->data.size() > (*entry)->size) std::abort();
      end = (*block)->offset + (*block)->data.size();
      total += (*block)->data.size();
      if (total > kMaxTotal) return 0;
    }
  }
}
