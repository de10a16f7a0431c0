// Manifests, indexes and configs of both families (OCI image spec; Docker distribution schema 2), checked.
//
// Pure: bytes in, plain data out, fuzzed. Every digest and size that comes out is well-formed, counts are bounded.
// Failure: kInvalidArgument (malformed), kUnimplemented (docker schema 1, foreign or unknown layer types, encrypted
// layers), kNotFound (no manifest for linux/amd64).
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "absl/status/statusor.h"
#include "cache/digest.h"
#include "cache/image_store.h"

namespace burstlet::cache {

inline constexpr std::size_t kMaxManifestBytes = 4u << 20;
inline constexpr std::size_t kMaxConfigBytes = 8u << 20;

/// What a manifest request may be answered with.
std::string ManifestAcceptHeader();

struct Descriptor {
  std::string media_type;
  Digest digest;
  std::uint64_t size = 0;
};

struct Manifest {
  Descriptor config;
  std::vector<Descriptor> layers;  // bottom first
};

/// An index or manifest list, narrowed to the manifest for this platform.
struct IndexChoice {
  Descriptor manifest;
};

/// `content_type` is the response's; the document's own mediaType wins, as registries mislabel.
absl::StatusOr<std::variant<Manifest, IndexChoice>> ParseManifest(std::string_view body, std::string_view content_type);

struct ParsedConfig {
  ImageConfig config;
  std::vector<Digest> diff_ids;  // bottom first
};

/// `layers`: how many the manifest has; the config must say the same.
absl::StatusOr<ParsedConfig> ParseConfig(std::string_view body, std::size_t layers);

}  // namespace burstlet::cache
