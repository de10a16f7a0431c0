#include "cache/image_ref.h"

#include <algorithm>
#include <cctype>

#include "absl/strings/str_cat.h"
#include "cache/image_store.h"
#include "metrics/status.h"

namespace burstlet::cache {
namespace {

constexpr std::string_view kDefaultDomain = "docker.io";
constexpr std::size_t kMaxNameLength = 255;
constexpr std::size_t kMaxTagLength = 128;

bool IsLowerAlnum(char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9'); }
bool IsAlnum(char c) { return IsLowerAlnum(c) || (c >= 'A' && c <= 'Z'); }
bool IsDigit(char c) { return c >= '0' && c <= '9'; }
bool IsHex(char c) { return IsDigit(c) || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F'); }

template <typename Predicate>
bool AllOf(std::string_view text, Predicate predicate) {
  return std::all_of(text.begin(), text.end(), predicate);
}

/// alphanumeric runs joined by one '.', one or two '_', or any number of '-'.
bool IsPathComponent(std::string_view text) {
  if (text.empty() || !IsLowerAlnum(text.front()) || !IsLowerAlnum(text.back())) return false;
  std::size_t i = 0;
  while (i < text.size()) {
    if (IsLowerAlnum(text[i])) {
      ++i;
      continue;
    }
    const char separator = text[i];
    std::size_t end = i;
    while (end < text.size() && text[end] == separator) ++end;
    const std::size_t run = end - i;
    const bool fits = (separator == '.' && run == 1) || (separator == '_' && run <= 2) || separator == '-';
    if (!fits || !IsLowerAlnum(text[end])) return false;
    i = end;
  }
  return true;
}

bool IsDomainLabel(std::string_view text) {
  return !text.empty() && IsAlnum(text.front()) && IsAlnum(text.back()) &&
         AllOf(text, [](char c) { return IsAlnum(c) || c == '-'; });
}

bool IsDomain(std::string_view text) {
  std::string_view host = text;
  if (!text.empty() && text.front() == '[') {
    const std::size_t close = text.find(']');
    if (close == std::string_view::npos || close < 2) return false;
    if (!AllOf(text.substr(1, close - 1), [](char c) { return IsHex(c) || c == ':'; })) return false;
    const std::string_view rest = text.substr(close + 1);
    return rest.empty() || (rest.size() > 1 && rest.size() <= 6 && rest[0] == ':' && AllOf(rest.substr(1), IsDigit));
  }
  const std::size_t colon = text.find(':');
  if (colon != std::string_view::npos) {
    const std::string_view port = text.substr(colon + 1);
    if (port.empty() || port.size() > 5 || !AllOf(port, IsDigit)) return false;
    host = text.substr(0, colon);
  }
  while (true) {
    const std::size_t dot = host.find('.');
    if (!IsDomainLabel(host.substr(0, dot))) return false;
    if (dot == std::string_view::npos) return true;
    host.remove_prefix(dot + 1);
  }
}

bool IsRemoteName(std::string_view text) {
  while (true) {
    const std::size_t slash = text.find('/');
    if (!IsPathComponent(text.substr(0, slash))) return false;
    if (slash == std::string_view::npos) return true;
    text.remove_prefix(slash + 1);
  }
}

bool IsTag(std::string_view text) {
  return !text.empty() && text.size() <= kMaxTagLength && (IsAlnum(text[0]) || text[0] == '_') &&
         AllOf(text, [](char c) { return IsAlnum(c) || c == '_' || c == '.' || c == '-'; });
}

absl::Status Invalid(std::string_view text, std::string_view why) {
  return ReasonError(
      absl::StatusCode::kInvalidArgument, "InvalidImageName",
      absl::StrCat("couldn't parse image name \"", std::string(text.substr(0, 300)), "\": ", std::string(why)));
}

/// The first component is a host when it looks like one; otherwise it belongs to Docker Hub's path.
void SplitDomain(std::string_view name, std::string* domain, std::string* path) {
  const std::size_t slash = name.find('/');
  const std::string_view first = name.substr(0, slash);
  const bool is_host = slash != std::string_view::npos &&
                       (first.find_first_of(".:[") != std::string_view::npos || first == "localhost" ||
                        std::any_of(first.begin(), first.end(), [](char c) { return c >= 'A' && c <= 'Z'; }));
  if (is_host) {
    *domain = std::string(first);
    *path = std::string(name.substr(slash + 1));
  } else {
    *domain = std::string(kDefaultDomain);
    *path = std::string(name);
  }
  if (*domain == "index.docker.io") *domain = std::string(kDefaultDomain);
  if (*domain == kDefaultDomain && path->find('/') == std::string::npos) *path = "library/" + *path;
}

}  // namespace

std::string ImageRef::Text() const {
  std::string text = Name();
  if (!tag.empty()) text += ":" + tag;
  if (!digest.empty()) text += "@" + digest.text();
  return text;
}

absl::StatusOr<ImageRef> ParseImageRef(std::string_view text) {
  if (text.empty()) return Invalid(text, "repository name must have at least one component");
  if (text.size() > 1024) return Invalid(text, "reference too long");
  if (text.size() == 64 && AllOf(text, [](char c) { return IsDigit(c) || (c >= 'a' && c <= 'f'); })) {
    return Invalid(text, "cannot specify 64-byte hexadecimal strings");
  }
  ImageRef ref;
  std::string_view rest = text;
  const std::size_t at = rest.find('@');
  if (at != std::string_view::npos) {
    absl::StatusOr<Digest> digest = Digest::Parse(rest.substr(at + 1));
    if (!digest.ok()) return Invalid(text, "invalid reference format: unsupported or malformed digest");
    ref.digest = *std::move(digest);
    rest = rest.substr(0, at);
  }
  const std::size_t slash = rest.rfind('/');
  const std::size_t colon = rest.find(':', slash == std::string_view::npos ? 0 : slash + 1);
  if (colon != std::string_view::npos) {
    ref.tag = std::string(rest.substr(colon + 1));
    if (!IsTag(ref.tag)) return Invalid(text, "invalid reference format: bad tag");
    rest = rest.substr(0, colon);
  }
  if (rest.empty()) return Invalid(text, "invalid reference format");
  SplitDomain(rest, &ref.domain, &ref.path);
  if (!IsDomain(ref.domain)) return Invalid(text, "invalid reference format: bad registry host");
  if (!IsRemoteName(ref.path)) {
    const bool upper = std::any_of(ref.path.begin(), ref.path.end(), [](char c) { return c >= 'A' && c <= 'Z'; });
    return Invalid(text,
                   upper ? "invalid reference format: repository name must be lowercase" : "invalid reference format");
  }
  if (ref.path.size() > kMaxNameLength) {
    return Invalid(text, "repository name must not be more than 255 characters");
  }
  if (ref.tag.empty() && ref.digest.empty()) ref.tag = "latest";
  return ref;
}

absl::StatusOr<std::string> NormalizeReference(const std::string& reference) {
  ASSIGN_OR_RETURN(const ImageRef ref, ParseImageRef(reference));
  return ref.Text();
}

bool IsLatestTag(const std::string& reference) {
  const absl::StatusOr<ImageRef> ref = ParseImageRef(reference);
  return ref.ok() && ref->digest.empty() && ref->tag == "latest";
}

}  // namespace burstlet::cache
