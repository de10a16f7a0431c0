#include "cache/digest.h"

#include <openssl/evp.h>

#include <algorithm>
#include <cstdlib>

#include "absl/strings/str_cat.h"
#include "metrics/status.h"

namespace burstlet::cache {
namespace {

bool IsLowerHex(std::string_view text) {
  return std::all_of(text.begin(), text.end(), [](char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'); });
}

std::size_t HexLength(std::string_view algorithm) {
  if (algorithm == "sha256") return 64;
  if (algorithm == "sha512") return 128;
  return 0;
}

}  // namespace

absl::StatusOr<Digest> Digest::Parse(std::string_view text) {
  const std::size_t colon = text.find(':');
  if (colon != std::string_view::npos) {
    const std::string_view hex = text.substr(colon + 1);
    if (hex.size() == HexLength(text.substr(0, colon)) && !hex.empty() && IsLowerHex(hex)) {
      Digest digest;
      digest.text_ = std::string(text);
      return digest;
    }
  }
  return absl::InvalidArgumentError(absl::StrCat("invalid digest \"", std::string(text.substr(0, 160)),
                                                 "\": sha256 or sha512 in lower-case hex is wanted"));
}

Hasher::Hasher(std::string_view algorithm) : context_(EVP_MD_CTX_new()), algorithm_(algorithm) {
  const EVP_MD* md = algorithm_ == "sha512" ? EVP_sha512() : EVP_sha256();
  if (context_ == nullptr || EVP_DigestInit_ex(context_, md, nullptr) != 1) std::abort();
}

Hasher::~Hasher() { EVP_MD_CTX_free(context_); }

void Hasher::Update(const void* data, std::size_t size) { EVP_DigestUpdate(context_, data, size); }

Digest Hasher::Finish() {
  unsigned char raw[EVP_MAX_MD_SIZE];
  unsigned length = 0;
  EVP_DigestFinal_ex(context_, raw, &length);
  static constexpr char kHex[] = "0123456789abcdef";
  std::string text = algorithm_ + ":";
  for (unsigned i = 0; i < length; ++i) {
    text += kHex[raw[i] >> 4];
    text += kHex[raw[i] & 15];
  }
  return Digest::Parse(text).value();
}

Digest DigestOf(std::string_view data) {
  Hasher hasher;
  hasher.Update(data.data(), data.size());
  return hasher.Finish();
}

Digest DigestOf(std::string_view data, const Digest& like) {
  Hasher hasher(like.algorithm());
  hasher.Update(data.data(), data.size());
  return hasher.Finish();
}

}  // namespace burstlet::cache
