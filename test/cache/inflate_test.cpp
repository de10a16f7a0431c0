// gzip, zstd, plain: all block sizes, concatenated members, cut off and bent streams.
#include "cache/inflate.h"

#include <catch2/catch.hpp>

#include "cache/http_transport.h"
#include "test/cache/tar_builder.h"

namespace burstlet::cache {
namespace {

using namespace burstlet::cache::test;

absl::StatusOr<std::string> InflateAll(const std::string& data, std::size_t block) {
  MemorySource source(data, block);
  const auto inflated = Inflate(source);
  return ReadAll(*inflated, 64u << 20);
}

std::string Content() {
  std::string out;
  unsigned seed = 1;
  for (int i = 0; i < 700'000; ++i) {
    seed = seed * 1103515245 + 12345;
    out += static_cast<char>(i % 7 == 0 ? seed >> 16 : 'a' + i % 20);
  }
  return out;
}

}  // namespace

TEST_CASE("what was compressed comes out again", "[inflate]") {
  const std::string content = Content();
  for (const std::size_t block : {1u, 3u, 1000u, 65536u, 1u << 20}) {
    INFO(block);
    const std::string& sample = block < 100 ? content.substr(0, 20'000) : content;
    CHECK(*InflateAll(Gzip(sample), block) == sample);
    CHECK(*InflateAll(Zstd(sample), block) == sample);
    CHECK(*InflateAll(sample, block) == sample);
    CHECK(*InflateAll(Gzip(sample) + Gzip("") + Gzip(sample), block) == sample + sample);
    CHECK(*InflateAll(Gzip(sample) + std::string(700, '\0'), block) == sample);
    CHECK(*InflateAll(Zstd(sample) + Zstd(sample), block) == sample + sample);
  }
  CHECK(*InflateAll("", 10) == "");
  CHECK(*InflateAll("a", 10) == "a");
  CHECK(*InflateAll(Gzip(""), 1) == "");
  CHECK(*InflateAll(std::string("\x50\x2a\x4d\x18\x02\x00\x00\x00xx", 10) + Zstd("z"), 2) == "z");
}

TEST_CASE("a stream that is cut off or bent is an error", "[inflate]") {
  const std::string content = Content().substr(0, 50'000);
  for (const std::string& whole : {Gzip(content), Zstd(content)}) {
    for (const std::size_t keep :
         {whole.size() - 1, whole.size() - 5, whole.size() / 2, std::size_t{12}, std::size_t{5}}) {
      INFO(keep);
      CHECK_FALSE(InflateAll(whole.substr(0, keep), 1000).ok());
    }
  }
  std::string bent = Gzip(content);
  bent[bent.size() - 6] ^= 1;  // the checksum
  CHECK_FALSE(InflateAll(bent, 1000).ok());
  CHECK_FALSE(InflateAll(Gzip(content) + "rubbish", 1000).ok());
  CHECK_FALSE(InflateAll(Gzip(content) + std::string(10, '\0') + Gzip(content), 1000).ok());
  CHECK_FALSE(InflateAll(Zstd(content) + "rubbish", 1000).ok());
  CHECK_FALSE(InflateAll("\x1f\x8b", 10).ok());
}

TEST_CASE("a zstd window over 128 MiB is refused before it is allocated", "[inflate]") {
  // Frame header: no single segment, window descriptor for 2^31 bytes, then an empty last raw block.
  const std::string frame("\x28\xb5\x2f\xfd\x00\xa8\x01\x00\x00", 9);
  const auto result = InflateAll(frame, 100);
  REQUIRE_FALSE(result.ok());
  CHECK(result.status().code() == absl::StatusCode::kResourceExhausted);
}

TEST_CASE("a bomb costs what its reader takes", "[inflate]") {
  const std::string bomb = Gzip(std::string(200u << 20, '\0'));
  MemorySource source(bomb);
  const auto inflated = Inflate(source);
  CHECK(ReadAll(*inflated, 1u << 20).status().code() == absl::StatusCode::kResourceExhausted);
}

}  // namespace burstlet::cache
