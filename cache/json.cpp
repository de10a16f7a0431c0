#include "cache/json.h"

#include <cpprest/json.h>

#include <utility>

#include "absl/strings/str_cat.h"

namespace burstlet::cache {
namespace {

constexpr int kMaxDepth = 64;

/// The parser below recurses, so depth is counted before it sees the text.
bool TooDeep(std::string_view text) {
  int depth = 0;
  bool in_string = false;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (in_string) {
      if (c == '\\') ++i;
      if (c == '"') in_string = false;
    } else if (c == '"') {
      in_string = true;
    } else if (c == '[' || c == '{') {
      if (++depth > kMaxDepth) return true;
    } else if (c == ']' || c == '}') {
      --depth;
    }
  }
  return false;
}

Json Convert(const web::json::value& value) {
  Json out;
  switch (value.type()) {
    case web::json::value::Boolean:
      out.type = Json::Type::kBool;
      out.boolean = value.as_bool();
      break;
    case web::json::value::Number:
      out.type = Json::Type::kNumber;
      out.number = value.as_number().is_int64() ? value.as_number().to_int64() : -1;
      break;
    case web::json::value::String:
      out.type = Json::Type::kString;
      out.string = value.as_string();
      break;
    case web::json::value::Array:
      out.type = Json::Type::kArray;
      for (const web::json::value& item : value.as_array()) out.array.push_back(Convert(item));
      break;
    case web::json::value::Object:
      out.type = Json::Type::kObject;
      for (const auto& [key, item] : value.as_object()) out.object.emplace(key, Convert(item));
      break;
    case web::json::value::Null:
      break;
  }
  return out;
}

void Quote(const std::string& text, std::string* out) {
  static constexpr char kHex[] = "0123456789abcdef";
  *out += '"';
  for (const char c : text) {
    if (c == '"' || c == '\\') {
      *out += '\\';
      *out += c;
    } else if (static_cast<unsigned char>(c) < 0x20) {
      *out += "\\u00";
      *out += kHex[(c >> 4) & 15];
      *out += kHex[c & 15];
    } else {
      *out += c;
    }
  }
  *out += '"';
}

void Write(const Json& json, std::string* out) {
  const char* separator = "";
  switch (json.type) {
    case Json::Type::kNull:
      *out += "null";
      break;
    case Json::Type::kBool:
      *out += json.boolean ? "true" : "false";
      break;
    case Json::Type::kNumber:
      *out += std::to_string(json.number);
      break;
    case Json::Type::kString:
      Quote(json.string, out);
      break;
    case Json::Type::kArray:
      *out += '[';
      for (const Json& item : json.array) {
        *out += std::exchange(separator, ",");
        Write(item, out);
      }
      *out += ']';
      break;
    case Json::Type::kObject:
      *out += '{';
      for (const auto& [key, item] : json.object) {
        *out += std::exchange(separator, ",");
        Quote(key, out);
        *out += ':';
        Write(item, out);
      }
      *out += '}';
      break;
  }
}

}  // namespace

const Json& Json::operator[](std::string_view key) const {
  static const Json kNull;
  const auto it = object.find(std::string(key));
  return it == object.end() ? kNull : it->second;
}

std::vector<std::string> Json::Strings() const {
  std::vector<std::string> out;
  for (const Json& item : array) {
    if (item.IsString()) out.push_back(item.string);
  }
  return out;
}

std::string Json::Dump() const {
  std::string out;
  Write(*this, &out);
  return out;
}

absl::StatusOr<Json> ParseJson(std::string_view text, std::size_t max_bytes) {
  if (text.size() > max_bytes) {
    return absl::InvalidArgumentError(absl::StrCat("JSON document larger than ", max_bytes, " bytes"));
  }
  if (TooDeep(text)) return absl::InvalidArgumentError("JSON document nested too deeply");
  try {
    return Convert(web::json::value::parse(std::string(text)));
  } catch (const std::exception& e) {
    return absl::InvalidArgumentError(absl::StrCat("invalid JSON: ", e.what()));
  }
}

}  // namespace burstlet::cache
