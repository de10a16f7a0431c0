// Manifests, indexes and configs: what is taken, what is refused by name.
#include "cache/manifest.h"

#include <catch2/catch.hpp>

#include "test/cache/image_builder.h"

namespace burstlet::cache {
namespace {

using namespace burstlet::cache::test;

TestImage Sample(bool oci) { return MakeImage({PlainLayer("one"), PlainLayer("two")}, oci); }

std::string Replace(std::string text, const std::string& from, const std::string& to) {
  for (std::size_t at = 0; (at = text.find(from, at)) != std::string::npos; at += to.size())
    text.replace(at, from.size(), to);
  return text;
}

std::string ErrorOf(const std::string& body, const std::string& type = "") {
  const auto parsed = ParseManifest(body, type);
  REQUIRE_FALSE(parsed.ok());
  return std::string(parsed.status().message());
}

}  // namespace

TEST_CASE("manifests of both families are read, whatever the content type says", "[manifest]") {
  for (const bool oci : {false, true}) {
    const TestImage image = Sample(oci);
    for (const std::string& type : {image.manifest_type, std::string("text/plain"), std::string()}) {
      const auto parsed = ParseManifest(image.manifest, type);
      REQUIRE(parsed.ok());
      const auto& manifest = std::get<Manifest>(*parsed);
      CHECK(manifest.config.digest.text() == image.ConfigDigest());
      REQUIRE(manifest.layers.size() == 2);
      CHECK(manifest.layers[1].digest.text() == DigestOf("two").text());
      CHECK(manifest.layers[1].size == 3);
    }
    const auto index = ParseManifest(MakeIndex(image, oci), "");
    REQUIRE(index.ok());
    CHECK(std::get<IndexChoice>(*index).manifest.digest.text() == image.ManifestDigest());
  }
}

TEST_CASE("an OCI manifest without mediaType is known by the response's type with parameters", "[manifest]") {
  TestImage image = Sample(true);
  image.manifest = Replace(image.manifest, "\"mediaType\":\"" + image.manifest_type + "\",", "");
  CHECK(ParseManifest(image.manifest, image.manifest_type + "; charset=utf-8").ok());
  CHECK(ParseManifest(image.manifest, "").ok());
}

TEST_CASE("what is no usable manifest is refused by name", "[manifest]") {
  const TestImage image = Sample(false);
  CHECK(ErrorOf("").find("JSON") != std::string::npos);
  CHECK(ErrorOf("[]").find("object") != std::string::npos);
  CHECK(ErrorOf("{}").find("unknown manifest type") != std::string::npos);
  CHECK(ErrorOf(R"({"schemaVersion":1,"fsLayers":[]})").find("schema 1") != std::string::npos);
  CHECK(ErrorOf("{}", "application/vnd.docker.distribution.manifest.v1+prettyjws").find("schema 1") !=
        std::string::npos);
  CHECK(ErrorOf(R"({"layers":[],"manifests":[]})").find("in one document") != std::string::npos);
  CHECK(ErrorOf(std::string(kMaxManifestBytes + 1, ' ')).find("larger") != std::string::npos);
  CHECK(ErrorOf(std::string(100'000, '[')).find("deep") != std::string::npos);
  CHECK(ErrorOf(Replace(image.manifest, "vnd.oci.image.layer.v1.tar", "vnd.docker.image.rootfs.foreign.diff.tar.gzip"))
            .find("foreign") != std::string::npos);
  CHECK(ErrorOf(Replace(image.manifest, "vnd.oci.image.layer.v1.tar", "vnd.oci.image.layer.nondistributable.v1.tar"))
            .find("foreign") != std::string::npos);
  CHECK(ErrorOf(Replace(image.manifest, "layer.v1.tar", "layer.v1.tar+gzip+encrypted")).find("encrypted") !=
        std::string::npos);
  CHECK(ErrorOf(Replace(image.manifest, "application/vnd.oci.image.layer.v1.tar", "application/wasm"))
            .find("media type") != std::string::npos);
  CHECK(ErrorOf(Replace(image.manifest, "sha256:", "sha1:")).find("digest") != std::string::npos);
  CHECK(ErrorOf(Replace(image.manifest, "sha256:", "../sha256:")).find("digest") != std::string::npos);
  CHECK(ErrorOf(Replace(image.manifest, "\"size\":3}", "\"size\":-3}")).find("size") != std::string::npos);
  CHECK(ErrorOf(Replace(image.manifest, "\"size\":3}", "\"size\":1e30}")).find("size") != std::string::npos);
  CHECK(ErrorOf(Replace(image.manifest, "\"size\":3}", "\"size\":\"3\"}")).find("size") != std::string::npos);
}

TEST_CASE("an index without this platform names what it has", "[manifest]") {
  const std::string index = Replace(MakeIndex(Sample(true), true), "amd64", "riscv64");
  const auto parsed = ParseManifest(index, "");
  REQUIRE_FALSE(parsed.ok());
  CHECK(parsed.status().code() == absl::StatusCode::kNotFound);
  CHECK(std::string(parsed.status().message()).find("linux/riscv64") != std::string::npos);
}

TEST_CASE("the config says how to run and must fit the manifest", "[manifest]") {
  const TestImage image = Sample(false);
  const auto parsed = ParseConfig(image.config, 2);
  REQUIRE(parsed.ok());
  CHECK(parsed->config.cmd == std::vector<std::string>{"/bin/app"});
  CHECK(parsed->config.env == std::vector<std::string>{"PATH=/bin"});
  CHECK(parsed->config.working_dir == "/srv");
  CHECK(parsed->config.labels.at("extra") == "x");
  CHECK(parsed->diff_ids[0].text() == DigestOf("one").text());
  CHECK_FALSE(ParseConfig(image.config, 1).ok());
  CHECK_FALSE(ParseConfig(image.config, 3).ok());
  CHECK_FALSE(ParseConfig(Replace(image.config, "amd64", "arm64"), 2).ok());
  CHECK_FALSE(ParseConfig(Replace(image.config, "linux", "windows"), 2).ok());
  CHECK_FALSE(ParseConfig(Replace(image.config, "sha256:", "sha256:0"), 2).ok());
  CHECK_FALSE(ParseConfig("null", 0).ok());
  CHECK(ParseConfig(R"({"rootfs":{"type":"layers","diff_ids":[]},"config":null})", 0).ok());
  CHECK(ParseConfig(R"({"rootfs":{"type":"layers","diff_ids":[]},"config":{"Cmd":null,"Volumes":{"/data":{}}}})", 0)
            ->config.volumes == std::vector<std::string>{"/data"});
}

}  // namespace burstlet::cache
