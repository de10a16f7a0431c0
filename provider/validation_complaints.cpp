// Complaints in the form of field.Error.
#include <algorithm>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "provider/validation.h"

namespace burstlet::provider::validation {

std::string Index(const std::string& path, std::size_t index) { return absl::StrCat(path, "[", index, "]"); }

std::string Key(const std::string& path, const std::string& key) { return absl::StrCat(path, "[", key, "]"); }

std::string Quote(const std::string& text) {
  static constexpr char kHex[] = "0123456789abcdef";
  std::string out = "\"";
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    switch (c) {
      case '"':
        out += "\\\"";
        break;
      case '\\':
        out += "\\\\";
        break;
      case '\n':
        out += "\\n";
        break;
      case '\r':
        out += "\\r";
        break;
      case '\t':
        out += "\\t";
        break;
      default:
        if (byte < 0x20 || byte == 0x7f) {
          out += {'\\', 'x', kHex[byte >> 4], kHex[byte & 15]};
        } else {
          out += c;
        }
    }
  }
  return out + "\"";
}

std::string QuoteList(const std::vector<std::string>& list) {
  return absl::StrCat(
      "[", absl::StrJoin(list, ",", [](std::string* out, const std::string& item) { *out += Quote(item); }), "]");
}

void Complaints::Add(const std::string& path, const std::string& body, const std::string& detail) {
  found_.push_back(absl::StrCat(path, ": ", body, detail.empty() ? "" : ": ", detail));
}

bool Complaints::Append(Complaints& other) {
  const std::vector<std::string> found = other.Take();
  found_.insert(found_.end(), found.begin(), found.end());
  return !found.empty();
}

void Complaints::Required(const std::string& path, const std::string& detail) { Add(path, "Required value", detail); }

void Complaints::Forbidden(const std::string& path, const std::string& detail) { Add(path, "Forbidden", detail); }

void Complaints::Invalid(const std::string& path, const std::string& value, const std::string& detail) {
  InvalidLiteral(path, Quote(value), detail);
}

void Complaints::Invalid(const std::string& path, std::int64_t value, const std::string& detail) {
  InvalidLiteral(path, absl::StrCat(value), detail);
}

void Complaints::InvalidLiteral(const std::string& path, const std::string& literal, const std::string& detail) {
  Add(path, absl::StrCat("Invalid value: ", literal), detail);
}

void Complaints::InvalidEach(const std::string& path, const std::string& value,
                             const std::vector<std::string>& details) {
  for (const std::string& detail : details) Invalid(path, value, detail);
}

void Complaints::NotSupported(const std::string& path, const std::string& value,
                              const std::vector<std::string>& supported) {
  const std::string list =
      absl::StrJoin(supported, ", ", [](std::string* out, const std::string& item) { *out += Quote(item); });
  Add(path, absl::StrCat("Unsupported value: ", Quote(value)), absl::StrCat("supported values: ", list));
}

void Complaints::NotFound(const std::string& path, const std::string& value, const std::string& detail) {
  Add(path, absl::StrCat("Not found: ", Quote(value)), detail);
}

void Complaints::Duplicate(const std::string& path, const std::string& value) {
  Add(path, absl::StrCat("Duplicate value: ", Quote(value)), "");
}

void Complaints::TooLong(const std::string& path, std::size_t limit) {
  Add(path, "Too long", absl::StrCat("may not be more than ", limit, " bytes"));
}

void Complaints::TooMany(const std::string& path, std::size_t actual, std::size_t limit) {
  Add(path, absl::StrCat("Too many: ", actual), absl::StrCat("must have at most ", limit, " items"));
}

void Complaints::OneOf(const std::string& path, const std::string& value, const std::vector<std::string>& supported,
                       bool required) {
  if (required && value.empty()) {
    Required(path);
  } else if (std::find(supported.begin(), supported.end(), value) == supported.end()) {
    NotSupported(path, value, supported);
  }
}

void Complaints::InRange(const std::string& path, std::int64_t value, std::int64_t least, std::int64_t most) {
  if (value < least || value > most)
    Invalid(path, value, absl::StrCat("must be between ", least, " and ", most, ", inclusive"));
}

void Complaints::NotNegative(const std::string& path, std::int64_t value) {
  if (value < 0) Invalid(path, value, "must be greater than or equal to 0");
}

}  // namespace burstlet::provider::validation
