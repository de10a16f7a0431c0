// What a user may write as an image: Docker's reference grammar (distribution/reference), parsed by hand in one pass.
//
// "nginx" -> docker.io/library/nginx:latest. Pure, no I/O, fuzzed. Failure: kInvalidArgument, reason InvalidImageName.
#pragma once

#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "cache/digest.h"

namespace burstlet::cache {

/// A normalised reference. Tag and digest may both be there: the digest decides, the tag is a name.
struct ImageRef {
  std::string domain;  // "docker.io", "localhost:5000", "[::1]:5000"
  std::string path;    // "library/nginx"
  std::string tag;     // empty only when there is a digest
  Digest digest;

  /// "docker.io/library/nginx"
  std::string Name() const { return domain + "/" + path; }
  /// Name with ":tag" and "@digest" as far as there are any.
  std::string Text() const;
  /// The tag or digest to ask the registry for.
  std::string Selector() const { return digest.empty() ? tag : digest.text(); }
};

/// Parses and normalises: default domain, "library/", ":latest".
absl::StatusOr<ImageRef> ParseImageRef(std::string_view text);

}  // namespace burstlet::cache
