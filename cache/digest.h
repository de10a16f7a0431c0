// Content digests: "sha256:<hex>", checked before anything else is done with them.
//
// A digest string comes from a registry or a user and ends up in a file name and a URL, so only the two registered
// algorithms with exactly their number of lower-case hex digits are a Digest. Threads: values; a Hasher is one
// thread's. Failure: kInvalidArgument naming the string.
#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"

struct evp_md_ctx_st;

namespace burstlet::cache {

/// A checked content address (OCI image spec, descriptor.md "Digests"): sha256 or sha512.
class Digest {
 public:
  Digest() = default;
  static absl::StatusOr<Digest> Parse(std::string_view text);

  bool empty() const { return text_.empty(); }
  const std::string& text() const { return text_; }
  std::string_view algorithm() const { return std::string_view(text_).substr(0, text_.find(':')); }
  std::string_view hex() const { return std::string_view(text_).substr(text_.find(':') + 1); }

  friend bool operator==(const Digest& a, const Digest& b) = default;
  friend auto operator<=>(const Digest& a, const Digest& b) = default;

 private:
  std::string text_;
};

/// Hashes a stream with the algorithm of the digest it is to be compared with.
class Hasher {
 public:
  explicit Hasher(std::string_view algorithm = "sha256");
  ~Hasher();
  Hasher(const Hasher&) = delete;
  Hasher& operator=(const Hasher&) = delete;

  void Update(const void* data, std::size_t size);
  /// The digest of all that was fed in; the hasher is used up.
  Digest Finish();

 private:
  evp_md_ctx_st* context_;
  std::string algorithm_;
};

/// sha256 of `data`.
Digest DigestOf(std::string_view data);
/// As DigestOf, with `like`'s algorithm.
Digest DigestOf(std::string_view data, const Digest& like);

}  // namespace burstlet::cache
